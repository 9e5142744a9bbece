"""What every peer script shares: arguments, cores, the clock, the JSON document.

Standard library only, and imported before the peer's own library, because the library sizes its
thread pools by what it finds at import.
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import sys
import time

ROWS = 65_536  # rows of the data matrix
LEARNING_RATE = 1e-3  # of the energy and of b, each its own group
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
CLIP_NORM = 10.0  # of the energy's gradient; the gradient of b is clamped to [-1, 1]


def arguments(description, variants):
    """The command line of a peer script; `variants` says in words which there are."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dim", type=int, default=8, help="values of a point, D")
    parser.add_argument("--width", type=int, default=128, help="width of every hidden layer, W")
    parser.add_argument("--depth", type=int, default=3, help="hidden layers")
    parser.add_argument("--samples", type=int, default=65_536, help="proposal samples a step, M")
    parser.add_argument("--batch", type=int, default=4096, help="data rows a step, n")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--variant", required=True, help=variants)
    parser.add_argument("--seconds", type=float, default=5.0, help="time to measure for")
    parser.add_argument("--repeats", type=int, help="steps to measure, in place of --seconds")
    parser.add_argument("--check", action="store_true", help="compare with float64 NumPy instead")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args()
    args.kind, *words = args.variant.split("-")
    chunks = [int(word) for word in words if word.isdigit()]
    args.chunk = chunks[0] if chunks else None
    prepare(args, keep="keep" in words)
    return args


def prepare(args, keep):
    """Confines the process to its cores and sets up malloc, before any library is loaded."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if keep:
        # Fresh pages cost as much as the arithmetic on them: M_MMAP_MAX = 0 takes large blocks
        # from the heap, M_TRIM_THRESHOLD never gives the heap back. jemalloc does alike.
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def parameters(args):
    """Number of parameters of the energy, and b."""
    inputs, count = args.dim, 0
    for _ in range(args.depth):
        count += (inputs + 1) * args.width
        inputs = args.width
    return count + inputs + 1


def measure(args, step):
    """Sorted milliseconds of the steps, and the last loss. `step()` returns when it is done."""
    for _ in range(3):  # the first compiles
        step()
    times, before = [], time.perf_counter()
    end = before + (0 if args.repeats else args.seconds)
    while len(times) < (args.repeats or 5) or before < end:
        loss = float(step())
        after = time.perf_counter()
        times.append(1e3 * (after - before))
        before = after
    return sorted(times), loss


def report(args, peer, version, step):
    """Measures and prints the document."""
    times, loss = measure(args, step)
    median = statistics.median(times)
    work = 6 * parameters(args) * (args.samples + args.batch)
    document = {
        "peer": peer,
        "variant": args.variant,
        "version": version,
        "threads": args.threads,
        "median_ms": median,
        "min_ms": times[0],
        "max_ms": times[-1],
        "steps": len(times),
        "gflops": work / median * 1e-6,
        # ru_maxrss is in KiB on Linux; it includes the library and what compilation took.
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loss": loss,
    }
    if args.json:
        print(json.dumps(document))
    else:
        print("\n".join(f"{key:16} {value}" for key, value in document.items()))


def report_check(args, found):
    """Prints the differences `found` by the check; the exit status says whether they are small."""
    lines = (f"{key:12} {value:.2e}" for key, value in found.items())
    print(json.dumps(found) if args.json else "\n".join(lines))
    sys.exit(0 if all(value < 1e-3 for value in found.values()) else 1)
