"""One SNL training step in PyTorch.

Whole: one energy call on rows and samples together. In chunks: gradients add up over chunks of
rows and chunks of samples, so that a chunk's activations stay in cache. `compile` compiles loss
and backward; the fused Adam is one kernel as it is. `keep` lets malloc keep freed memory.
"""

import common

ARGS = common.arguments(__doc__, "eager or compile, then -CHUNK, then -keep; or any part of it")

import torch
import torch.nn.functional as F

import reference

torch.set_num_threads(ARGS.threads)


class Step:
    """Parameters, optimiser and buffers; called, it trains by one step and returns the loss."""

    def __init__(self, args, problem):
        self.n, self.m, self.chunk = args.batch, args.samples, args.chunk
        tensor = lambda array: torch.tensor(array, dtype=torch.float32)
        self.data = tensor(problem.data)
        self.mean, self.factor = tensor(problem.mean), tensor(problem.factor.T)
        self.log_scale = problem.log_scale
        self.weights = [tensor(w).requires_grad_() for w in problem.weights]
        self.b = torch.tensor(problem.b, dtype=torch.float32, requires_grad=True)
        groups = [{"params": self.weights}, {"params": [self.b], "lr": common.LEARNING_RATE}]
        self.adam = torch.optim.Adam(
            groups,
            lr=common.LEARNING_RATE,
            betas=(common.BETA1, common.BETA2),
            eps=common.EPSILON,
            fused=True,
        )
        if args.kind == "compile":
            for name in ("whole", "of_rows", "of_noise"):
                setattr(self, name, torch.compile(getattr(self, name), dynamic=False))

    def energy(self, x):
        *layers, output = self.weights
        for weight, bias in zip(layers[::2], layers[1::2]):
            x = F.silu(F.linear(x, weight, bias))
        return x @ output

    def sample(self, noise):
        """Samples of the proposal and their log q."""
        return (
            torch.addmm(self.mean, noise, self.factor),
            -0.5 * noise.square().sum(1) - self.log_scale,
        )

    def whole(self, rows, noise):
        samples, log_q = self.sample(noise)
        energy = self.energy(torch.cat((rows, samples)))
        weights = torch.exp(-energy[self.n :] - log_q - self.b)
        return energy[: self.n].mean() + self.b + weights.mean() - 1

    def of_rows(self, rows):
        """A chunk's part of the loss."""
        return self.energy(rows).sum() / self.n + self.b * (len(rows) / self.n)

    def of_noise(self, noise):
        """A chunk's part of the loss."""
        samples, log_q = self.sample(noise)
        return torch.exp(-self.energy(samples) - log_q - self.b).sum() / self.m

    def gradient(self, rows, noise):
        """Leaves the gradient in the parameters and returns the loss. `noise(k)` gives k rows."""
        self.adam.zero_grad(set_to_none=True)
        if self.chunk is None:
            loss = self.whole(rows, noise(self.m))
            loss.backward()
            return loss.detach()
        total = torch.tensor(-1.0)
        for chunk in rows.split(self.chunk):
            loss = self.of_rows(chunk)
            loss.backward()
            total += loss.detach()
        for start in range(0, self.m, self.chunk):
            loss = self.of_noise(noise(min(self.chunk, self.m - start)))
            loss.backward()
            total += loss.detach()
        return total

    def update(self):
        torch.nn.utils.clip_grad_norm_(self.weights, common.CLIP_NORM, foreach=True)
        self.b.grad.clamp_(-1, 1)
        self.adam.step()

    def __call__(self):
        rows = self.data[torch.randint(len(self.data), (self.n,))]
        loss = self.gradient(rows, lambda k: torch.randn(k, self.data.shape[1]))
        self.update()
        return loss


def check(step, problem):
    """Differences from the reference, on the problem's own rows and noise."""
    rows = torch.tensor(problem.rows, dtype=torch.float32)

    def evaluate():
        noise = iter(torch.tensor(problem.noise, dtype=torch.float32).split(step.chunk or step.m))
        loss = step.gradient(rows, lambda _: next(noise))
        return float(loss), [p.grad.numpy().copy() for p in (*step.weights, step.b)]

    loss, gradient = evaluate()
    for _ in range(reference.UPDATES):
        evaluate()
        step.update()
    return problem.differences(
        loss, gradient, [p.detach().numpy() for p in (*step.weights, step.b)]
    )


problem = reference.Problem(ARGS)
step = Step(ARGS, problem)
if ARGS.check:
    common.report_check(ARGS, check(step, problem))
else:
    common.report(ARGS, "pytorch", torch.__version__, step)
