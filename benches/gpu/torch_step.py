"""One SNL training step in PyTorch on a GPU: the peer of `snel bench step --device cuda:N`.

Variants are HOW-PRECISION. HOW: eager; compile (torch.compile of loss and backward); graph (compiled,
and replayed as a CUDA graph). PRECISION: fp32; tf32 (products on tensor cores); bf16 (autocast).
Written on a machine without a GPU, and has never run.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

ROWS = 65_536
RATE = 1e-3
SPREAD = 1.2  # of the proposal, as in `snel bench step`
CLIP_NORM = 10.0
LOG_2PI = 1.8378770664093453


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--dim", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--samples", type=int, default=65_536)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=5.0)
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
        self.log_scale = args.dim * (0.5 * LOG_2PI + torch.log(torch.tensor(SPREAD)).item())
        parameters = [*self.layers.parameters(), self.b]
        fused = self.device.type == "cuda"
        self.adam = torch.optim.Adam(parameters, lr=RATE, fused=fused, capturable=fused)
        if how != "eager":
            mode = "reduce-overhead" if how == "graph" else "default"
            self.loss = torch.compile(self.loss, dynamic=False, mode=mode)

    def energy(self, x):
        *hidden, output = self.layers
        for layer in hidden:
            x = F.silu(layer(x))
        return output(x).float().squeeze(1)

    def loss(self, rows, noise):
        log_q = -0.5 * noise.square().sum(1) - self.log_scale
        samples = noise @ self.factor.T
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            energy = self.energy(torch.cat((rows, samples)))
        weights = torch.exp(-energy[self.n :] - log_q - self.b)
        return energy[: self.n].mean() + self.b + weights.mean() - 1

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

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def main():
    args = arguments()
    step = Step(args)
    for _ in range(5):  # compiles, records, warms up
        loss = float(step())
    step.wait()
    times, end = [], time.perf_counter() + args.seconds
    while len(times) < 5 or time.perf_counter() < end:
        before = time.perf_counter()
        loss = float(step())  # waits
        times.append(1e3 * (time.perf_counter() - before))
    count = sum(p.numel() for p in step.layers.parameters()) + 1
    median = statistics.median(times)
    on_gpu = step.device.type == "cuda"
    document = {
        "peer": "pytorch",
        "variant": args.variant,
        "version": torch.__version__,
        "device": torch.cuda.get_device_name(step.device) if on_gpu else "cpu",
        "median_ms": median,
        "min_ms": min(times),
        "max_ms": max(times),
        "steps": len(times),
        "gflops": 6 * count * (args.samples + args.batch) / median * 1e-6,
        "peak_memory_mib": torch.cuda.max_memory_allocated(step.device) / 2**20 if on_gpu else None,
        "loss": loss,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
