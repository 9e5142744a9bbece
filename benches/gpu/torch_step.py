"""One SNL training step in PyTorch on a GPU: the peer of `snel bench step --device cuda:N`.

Variants are HOW-PRECISION. HOW: eager; compile (torch.compile of the loss and its backward); graph
(that, and the whole step with its draws and its update replayed as one CUDA graph). PRECISION: fp32;
tf32 (products on tensor cores); bf16 (autocast). Every step draws its own rows and samples. A step's
time is that between two CUDA events around it. It has never run on a GPU.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

ROWS = 65_536
RATE = 1e-3
SPREAD = 1.2  # of the proposal, as in `snel bench step`
CLIP_NORM = 10.0
LOG_2PI = 1.8378770664093453
HOWS = ("eager", "compile", "graph")
PRECISIONS = ("fp32", "tf32", "bf16")
VARIANTS = [f"{how}-{precision}" for how in HOWS for precision in PRECISIONS]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--variant", required=True, choices=VARIANTS)
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--samples", type=int, default=65_536)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3.0)
    return parser.parse_args()


class Step:
    """Parameters, optimiser and data; called, it trains by one step and returns the loss."""

    def __init__(self, args):
        how, precision = args.variant.split("-")
        self.n, self.m, self.dim = args.batch, args.samples, args.dim
        self.device, self.half = torch.device(args.device), precision == "bf16"
        tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        torch.manual_seed(0)
        self.data = torch.randn(ROWS, args.dim, device=self.device)
        levels = [args.dim] + [args.width] * args.depth + [1]
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(a, b, bias=b > 1) for a, b in zip(levels, levels[1:])
        ).to(self.device)
        self.b = torch.zeros((), device=self.device, requires_grad=True)
        # A full covariance, as in the peer, though it is diagonal.
        self.factor = SPREAD * torch.eye(args.dim, device=self.device)
        log_spread = torch.log(torch.tensor(SPREAD)).item()
        self.log_scale = args.dim * (0.5 * LOG_2PI + log_spread)
        parameters = [*self.layers.parameters(), self.b]
        on_gpu = self.device.type == "cuda"
        self.adam = torch.optim.Adam(parameters, lr=RATE, fused=on_gpu, capturable=on_gpu)
        self.start_b()
        if how != "eager":
            self.loss = torch.compile(self.loss, dynamic=False)

    def energy(self, x):
        *hidden, output = self.layers
        for layer in hidden:
            x = F.silu(layer(x))
        return output(x).float().squeeze(1)

    def log_weights(self, noise):
        """log-weights of the proposal's samples that `noise` gives, and their energies' points."""
        log_q = -0.5 * noise.square().sum(1) - self.log_scale
        return noise @ self.factor.T, log_q

    def loss(self, rows, noise):
        samples, log_q = self.log_weights(noise)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            energy = self.energy(torch.cat((rows, samples)))
        weights = torch.exp(-energy[self.n :] - log_q - self.b)
        return energy[: self.n].mean() + self.b + weights.mean() - 1

    def start_b(self):
        """b is log Z at the start, by a few samples; or the first weights would be far from one."""
        with torch.no_grad():
            noise = torch.randn(4096, self.dim, device=self.device)
            samples, log_q = self.log_weights(noise)
            log_z = torch.logsumexp(-self.energy(samples) - log_q, 0)
            self.b.copy_(log_z - torch.log(torch.tensor(4096.0)))

    def __call__(self):
        rows = self.data[torch.randint(ROWS, (self.n,), device=self.device)]
        noise = torch.randn(self.m, self.dim, device=self.device)
        self.adam.zero_grad(set_to_none=True)
        loss = self.loss(rows, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.layers.parameters(), CLIP_NORM)
        self.b.grad.clamp_(-1, 1)
        self.adam.step()
        return loss.detach()


def graph_of(step):
    """The step as a CUDA graph, whose replay returns the loss."""
    stream = torch.cuda.Stream(step.device)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    step.adam.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss

    return replay


def timed_on_gpu(step):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    loss = step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end), float(loss)


def timed_on_cpu(step):
    start = time.perf_counter()
    loss = float(step())
    return 1e3 * (time.perf_counter() - start), loss


def main():
    args = arguments()
    on_gpu = torch.device(args.device).type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} sees no GPU")
    if on_gpu:
        torch.cuda.set_device(args.device)
    step = Step(args)
    how = args.variant.split("-")[0]
    if how == "graph" and not on_gpu:
        sys.exit("CUDA graphs need a GPU")
    timed = timed_on_gpu if on_gpu else timed_on_cpu
    step_parts = graph_of(step) if how == "graph" else step
    start = time.perf_counter()
    first_loss = timed(step_parts)[1]  # compiles
    first = time.perf_counter() - start
    for _ in range(5):
        timed(step_parts)
    times, end = [], time.perf_counter() + args.seconds
    while len(times) < 5 or time.perf_counter() < end:
        time_ms, loss = timed(step_parts)
        times.append(time_ms)
    count = sum(p.numel() for p in step.layers.parameters()) + 1
    median = statistics.median(times)
    quartiles = statistics.quantiles(times, n=4)
    document = {
        "peer": "pytorch",
        "variant": args.variant,
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(step.device) if on_gpu else "cpu",
        "dim": args.dim,
        "width": args.width,
        "depth": args.depth,
        "samples": args.samples,
        "batch": args.batch,
        "median_ms": median,
        "min_ms": min(times),
        "max_ms": max(times),
        "quartiles_ms": [quartiles[0], quartiles[2]],
        "steps": len(times),
        "first_step_s": first,
        "gflops": 6 * count * (args.samples + args.batch) / median * 1e-6,
        "peak_memory_mib": torch.cuda.max_memory_allocated(step.device) / 2**20 if on_gpu else None,
        "first_loss": first_loss,
        "loss": loss,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
