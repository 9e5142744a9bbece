"""One SNL training step in JAX: draw, gradient, clipping and Adam in one jitted function.

`jit` calls the energy once on rows and samples together; `scan-CHUNK` scans over chunks of rows
and of samples with the gradient as the carry. The state's buffers are donated.
"""

import common

ARGS = common.arguments(__doc__, "jit, or scan-CHUNK")

import functools

import jax
import jax.numpy as jnp
import numpy as np

import reference

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_prng_impl", "rbg")  # faster than the default at small sizes

problem = reference.Problem(ARGS)
N, M, CHUNK = ARGS.batch, ARGS.samples, ARGS.chunk
DATA, MEAN, FACTOR = (jnp.float32(a) for a in (problem.data, problem.mean, problem.factor.T))


def energy(weights, x):
    *layers, output = weights
    for weight, bias in zip(layers[::2], layers[1::2]):
        x = jax.nn.silu(x @ weight.T + bias)
    return x @ output


def sample(noise):
    """Samples of the proposal and their log q."""
    return MEAN + noise @ FACTOR, -0.5 * jnp.square(noise).sum(1) - problem.log_scale


def whole(parameters, rows, noise):
    weights, b = parameters
    samples, log_q = sample(noise)
    e = energy(weights, jnp.concatenate((rows, samples)))
    return e[:N].mean() + b + jnp.exp(-e[N:] - log_q - b).mean() - 1


def of_rows(parameters, rows):
    """A chunk's part of the loss."""
    weights, b = parameters
    return energy(weights, rows).sum() / N + b * (len(rows) / N)


def of_noise(parameters, noise):
    """A chunk's part of the loss."""
    weights, b = parameters
    samples, log_q = sample(noise)
    return jnp.exp(-energy(weights, samples) - log_q - b).sum() / M


def sum_over(part, parameters, sums, chunks, points=lambda chunk: chunk):
    """Adds loss and gradient of `part` over the leading axis of `chunks` to `sums`."""

    def body(sums, chunk):
        found = jax.value_and_grad(part)(parameters, points(chunk))
        return jax.tree.map(jnp.add, sums, found), None

    return jax.lax.scan(body, sums, chunks)[0]


def cut(points):
    """Chunks along a new leading axis."""
    return points.reshape(-1, min(CHUNK, len(points)), points.shape[1])


def scanned(parameters, rows, chunks, points):
    """Loss and gradient; a sample chunk's noise is `points(chunk)`."""
    sums = (jnp.float32(-1), jax.tree.map(jnp.zeros_like, parameters))
    sums = sum_over(of_rows, parameters, sums, cut(rows))
    return sum_over(of_noise, parameters, sums, chunks, points)


def gradient_on(parameters, rows, noise):
    """Loss and gradient on given rows and noise."""
    if CHUNK is None:
        return jax.value_and_grad(whole)(parameters, rows, noise)
    return scanned(parameters, rows, cut(noise), lambda chunk: chunk)


def gradient_drawn(parameters, rows, key):
    """Loss and gradient on fresh noise, drawn chunk by chunk."""
    normal = lambda key, k: jax.random.normal(key, (k, ARGS.dim))
    if CHUNK is None:
        return jax.value_and_grad(whole)(parameters, rows, normal(key, M))
    size = min(CHUNK, M)
    return scanned(
        parameters, rows, jax.random.split(key, M // size), lambda key: normal(key, size)
    )


def update(state, gradient):
    """Clips, and applies Adam."""
    parameters, first, second, t = state
    weights, b = gradient
    norm = jnp.sqrt(sum(jnp.square(g).sum() for g in weights))
    clip = jnp.minimum(1, common.CLIP_NORM / norm)
    gradient = ([clip * g for g in weights], jnp.clip(b, -1, 1))
    t = t + 1
    first = jax.tree.map(lambda m, g: common.BETA1 * m + (1 - common.BETA1) * g, first, gradient)
    second = jax.tree.map(
        lambda v, g: common.BETA2 * v + (1 - common.BETA2) * g * g, second, gradient
    )
    rate = common.LEARNING_RATE / (1 - common.BETA1**t)
    correct = 1 / (1 - common.BETA2**t)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v * correct) + common.EPSILON),
        parameters,
        first,
        second,
    )
    return parameters, first, second, t


def initial():
    parameters = ([jnp.float32(w) for w in problem.weights], jnp.float32(problem.b))
    zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
    return parameters, zeros(), zeros(), jnp.float32(0)


@functools.partial(jax.jit, donate_argnums=(0, 1))
def train(state, key, data):
    key, pick, draw = jax.random.split(key, 3)
    rows = data[jax.random.randint(pick, (N,), 0, len(data))]
    loss, gradient = gradient_drawn(state[0], rows, draw)
    return update(state, gradient), key, loss


def check():
    """Differences from the reference, on the problem's own rows and noise."""
    state, rows, noise = initial(), jnp.float32(problem.rows), jnp.float32(problem.noise)
    evaluate = jax.jit(gradient_on)
    loss, (weights, b) = evaluate(state[0], rows, noise)
    for _ in range(reference.UPDATES):
        state = jax.jit(update)(state, evaluate(state[0], rows, noise)[1])
    flat = lambda weights, b: [*map(np.asarray, (*weights, b))]
    return problem.differences(float(loss), flat(weights, b), flat(*state[0]))


if ARGS.check:
    common.report_check(ARGS, check())
else:
    carried = (initial(), jax.random.key(0))

    def step():
        global carried
        *carried, loss = train(*carried, DATA)
        return jax.block_until_ready(loss)

    common.report(ARGS, "jax", jax.__version__, step)
