"""One SNL training step in PyTorch.

Whole: one energy call on rows and samples together. In chunks: gradients add up over chunks of
rows and chunks of samples, so that a chunk's activations stay in cache. `compile` compiles loss
and backward; `graph` the whole step without the draws. `keep` lets malloc keep freed memory.
"""

import common

ARGS = common.arguments(__doc__, "eager or compile or graph; then maybe -CHUNK (not graph), -keep")

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
        self.b = tensor(problem.b).requires_grad_()
        self.parameters = [*self.weights, self.b]
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

    def energy(self, weights, x):
        *layers, output = weights
        for weight, bias in zip(layers[::2], layers[1::2]):
            x = F.silu(F.linear(x, weight, bias))
        return x @ output

    def sample(self, noise):
        """Samples of the proposal and their log q."""
        return (
            torch.addmm(self.mean, noise, self.factor),
            -0.5 * noise.square().sum(1) - self.log_scale,
        )

    def whole(self, parameters, rows, noise):
        """The loss."""
        *weights, b = parameters
        samples, log_q = self.sample(noise)
        energy = self.energy(weights, torch.cat((rows, samples)))
        return energy[: self.n].mean() + b + torch.exp(-energy[self.n :] - log_q - b).mean() - 1

    def of_rows(self, parameters, rows):
        """A chunk's part of the loss."""
        *weights, b = parameters
        return self.energy(weights, rows).sum() / self.n + b * (len(rows) / self.n)

    def of_noise(self, parameters, noise):
        """A chunk's part of the loss."""
        *weights, b = parameters
        samples, log_q = self.sample(noise)
        return torch.exp(-self.energy(weights, samples) - log_q - b).sum() / self.m

    def gradient(self, rows, noise):
        """Leaves the gradient in the parameters and returns the loss. `noise(k)` gives k rows."""
        self.adam.zero_grad(set_to_none=True)
        if self.chunk is None:
            loss = self.whole(self.parameters, rows, noise(self.m))
            loss.backward()
            return loss.detach()
        total = torch.tensor(-1.0)
        for chunk in rows.split(self.chunk):
            loss = self.of_rows(self.parameters, chunk)
            loss.backward()
            total += loss.detach()
        for start in range(0, self.m, self.chunk):
            loss = self.of_noise(self.parameters, noise(min(self.chunk, self.m - start)))
            loss.backward()
            total += loss.detach()
        return total

    def advance(self, rows, noise):
        """Trains by a step on these rows and returns the loss."""
        loss = self.gradient(rows, noise)
        torch.nn.utils.clip_grad_norm_(self.weights, common.CLIP_NORM, foreach=True)
        self.b.grad.clamp_(-1, 1)
        self.adam.step()
        return loss

    def __call__(self):
        rows = self.data[torch.randint(len(self.data), (self.n,))]
        return self.advance(rows, lambda k: torch.randn(k, self.data.shape[1]))


class GraphStep(Step):
    """The step with all but the draws in one compiled graph: gradient, clipping and Adam."""

    def __init__(self, args, problem):
        super().__init__(args, problem)
        self.p = [p.detach() for p in self.parameters]  # the same memory
        self.first, self.second = ([torch.zeros_like(p) for p in self.p] for _ in range(2))
        self.t = torch.zeros(())
        self.compiled = torch.compile(self.train, dynamic=False)

    def derive(self, rows, noise):
        return torch.func.grad_and_value(self.whole)(self.p, rows, noise)

    def train(self, rows, noise):
        (*weights, b), loss = self.derive(rows, noise)
        clip = common.CLIP_NORM / torch.sqrt(sum(g.square().sum() for g in weights))
        gradient = [*(g * clip.clamp(max=1) for g in weights), b.clamp(-1, 1)]
        self.t += 1
        rate = common.LEARNING_RATE / (1 - common.BETA1**self.t)
        correct = 1 / (1 - common.BETA2**self.t)
        for p, g, first, second in zip(self.p, gradient, self.first, self.second):
            first.lerp_(g, 1 - common.BETA1)
            second.lerp_(g * g, 1 - common.BETA2)
            p -= rate * first / (torch.sqrt(second * correct) + common.EPSILON)
        return loss

    def gradient(self, rows, noise):
        gradient, loss = self.derive(rows, noise(self.m))
        for p, g in zip(self.parameters, gradient):
            p.grad = g
        return loss

    def advance(self, rows, noise):
        with torch.no_grad():
            return self.compiled(rows, noise(self.m))


def check(step, problem):
    """Differences from the reference, on the problem's own rows and noise."""
    rows = torch.tensor(problem.rows, dtype=torch.float32)

    def noise():
        chunks = iter(torch.tensor(problem.noise, dtype=torch.float32).split(step.chunk or step.m))
        return lambda _: next(chunks)

    numpy = lambda tensors: [t.detach().numpy().copy() for t in tensors]
    loss = float(step.gradient(rows, noise()))
    gradient = numpy(p.grad for p in step.parameters)
    for _ in range(reference.UPDATES):
        step.advance(rows, noise())
    return problem.differences(loss, gradient, numpy(step.parameters))


problem = reference.Problem(ARGS)
step = (GraphStep if ARGS.kind == "graph" else Step)(ARGS, problem)
if ARGS.check:
    common.report_check(ARGS, check(step, problem))
else:
    common.report(ARGS, "pytorch", torch.__version__, step)
