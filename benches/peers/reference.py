"""The step in float64 NumPy: plain, and the judge of the peers."""

import math

import numpy as np

import common

UPDATES = 3  # of the check


class Problem:
    """Data, proposal and first parameters, drawn from one seed; with the formula on them.

    The loss is `mean E(row) + b + mean exp(-E(x) - log q(x) - b) - 1`, where `x = mean + L z`.
    """

    def __init__(self, args, seed=0):
        draw = np.random.default_rng(seed)
        self.data = draw.standard_normal((common.ROWS, args.dim), dtype=np.float32)
        self.mean = 0.1 * draw.standard_normal(args.dim)
        below = np.tril(draw.standard_normal((args.dim, args.dim)), -1)
        self.factor = np.eye(args.dim) + 0.1 * below / math.sqrt(args.dim)  # L
        self.log_scale = 0.5 * args.dim * math.log(2 * math.pi)  # log det L = 0
        self.weights, inputs = [], args.dim
        for _ in range(args.depth):
            self.weights.append(draw.standard_normal((args.width, inputs)) * math.sqrt(2 / inputs))
            self.weights.append(draw.uniform(-1, 1, args.width) / math.sqrt(inputs))
            inputs = args.width
        self.weights.append(0.1 * draw.standard_normal(inputs) / math.sqrt(inputs))
        self.rows = self.data[: args.batch]
        self.noise = draw.standard_normal((args.samples, args.dim), dtype=np.float32)
        # b starts below the estimate of the log-normaliser: its gradient is not zero.
        log_weights = self.log_weights(self.weights, self.noise[:4096])
        top = log_weights.max()
        self.b = top + math.log(np.exp(log_weights - top).mean()) - 1

    def sample(self, noise):
        noise = noise.astype(np.float64)
        return self.mean + noise @ self.factor.T, -0.5 * (noise**2).sum(1) - self.log_scale

    def log_weights(self, weights, noise):
        samples, log_q = self.sample(noise)
        return -forward(weights, samples)[0] - log_q

    def loss(self, weights, b):
        log_weights = self.log_weights(weights, self.noise)
        rows = forward(weights, self.rows.astype(np.float64))[0]
        return rows.mean() + b + np.exp(log_weights - b).mean() - 1

    def gradient(self, weights, b):
        """Of the energy's parameters and b."""
        samples, log_q = self.sample(self.noise)
        points = np.concatenate((self.rows.astype(np.float64), samples))
        energy, trace = forward(weights, points)
        n, m = len(self.rows), len(samples)
        cotangent = np.concatenate((np.full(n, 1 / n), -np.exp(-energy[n:] - log_q - b) / m))
        return [*backward(weights, trace, cotangent), cotangent.sum()]

    def train(self, steps):
        """Parameters after `steps` updates on the same rows and noise."""
        p = [*self.weights, np.float64(self.b)]
        first, second = [0.0] * len(p), [0.0] * len(p)
        for t in range(1, steps + 1):
            gradient = self.gradient(p[:-1], p[-1])
            clip = min(1.0, common.CLIP_NORM / norm(gradient[:-1]))
            gradient = [clip * g for g in gradient[:-1]] + [np.clip(gradient[-1], -1, 1)]
            for i, g in enumerate(gradient):
                first[i] = common.BETA1 * first[i] + (1 - common.BETA1) * g
                second[i] = common.BETA2 * second[i] + (1 - common.BETA2) * g * g
                scale = np.sqrt(second[i] / (1 - common.BETA2**t)) + common.EPSILON
                p[i] = p[i] - common.LEARNING_RATE * first[i] / (1 - common.BETA1**t) / scale
        return p

    def differences(self, loss, gradient, trained):
        """Relative differences of a peer's loss, gradient, and parameters after the updates."""
        start = [*self.weights, np.float64(self.b)]
        expected = self.gradient(self.weights, self.b)
        moved = minus(self.train(UPDATES), start)
        expected_loss = self.loss(self.weights, self.b)
        return {
            "loss": abs(loss - expected_loss) / abs(expected_loss),
            "b_gradient": abs(gradient[-1] - expected[-1]),
            "norm": abs(norm(gradient[:-1]) / norm(expected[:-1]) - 1),
            "gradient": norm(minus(gradient, expected)) / norm(expected),
            "updates": norm(minus(minus(trained, start), moved)) / norm(moved),
        }


def forward(weights, x):
    """Energies, and each layer's input and pre-activation."""
    *layers, output = weights
    trace = []
    for weight, bias in zip(layers[::2], layers[1::2]):
        z = x @ weight.T + bias
        trace.append((x, z))
        x = z / (1 + np.exp(-z))
    trace.append((x, None))
    return x @ output, trace


def backward(weights, trace, cotangent):
    """Gradient of `sum(cotangent * E)`."""
    *layers, output = weights
    gradient = [cotangent @ trace[-1][0]]
    back = cotangent[:, None] * output
    for weight, (x, z) in zip(layers[-2::-2], trace[-2::-1]):
        sigmoid = 1 / (1 + np.exp(-z))
        back = back * sigmoid * (1 + z * (1 - sigmoid))
        gradient = [back.T @ x, back.sum(0), *gradient]
        back = back @ weight
    return gradient


def norm(tensors):
    return math.sqrt(sum(float((np.asarray(t, np.float64) ** 2).sum()) for t in tensors))


def minus(left, right):
    return [np.asarray(a, np.float64) - b for a, b in zip(left, right)]
