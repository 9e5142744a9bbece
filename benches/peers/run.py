"""Times one training step of Snel, PyTorch and JAX in turn, and prints tables with ratios.

Standard library only. What is missing is said, with how to get it; the rest is measured.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

import tables

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SNEL = "snel"
VARIANTS = {
    "torch": [
        kind + chunk + keep
        for kind in ("eager", "compile")
        for chunk in ("", "-1024", "-4096")
        for keep in ("", "-keep")
    ]
    + ["graph", "graph-keep"],
    "jax": ["jit", "scan-1024", "scan-4096"],
}
# Library settings that would slow a peer down (or speed it up) unnoticed.
UNSET = ("OPENBLAS_CORETYPE", "NVPL_BLAS_DEBUG_CPU_TYPE", "MKL_DEBUG_CPU_TYPE", "XLA_FLAGS")


def main():
    args = arguments()
    commands = available(args)
    if not commands:
        sys.exit("Nothing can be measured.")
    everything = args.shapes == "all"
    shapes = tables.SHAPES if everything else [named(name) for name in args.shapes.split(",")]
    print(f"{processor()}, {args.threads} threads, {args.rounds} rounds of {args.seconds:g} s each")
    print(f"load before the start: {os.getloadavg()[0]:.2f} (a quiet machine is near 0)")
    documents = []
    for shape in shapes:
        runs = measure(args, commands, shape)
        print(tables.shape_table(shape, runs), flush=True)
        facts = shape._asdict() | {"targets": shape.targets._asdict()}
        documents.append({"shape": facts, "runs": runs})
    if args.json:
        head = {"processor": processor(), "threads": args.threads, "seconds": args.seconds}
        args.json.write_text(json.dumps(head | {"shapes": documents}, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    names = ",".join(shape.name for shape in tables.SHAPES)
    parser.add_argument("--shapes", default="all", help=f"all, or some of {names}")
    parser.add_argument("--rounds", type=int, default=3, help="visits to each variant")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of a visit")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds a visit may take")
    parser.add_argument("--variants", default="", help="only those that contain this text")
    parser.add_argument("--json", type=pathlib.Path, help="file for every round of everything")
    parser.add_argument("--snel", type=pathlib.Path, default=ROOT / "target/release/snel")
    return parser.parse_args()


def named(name):
    for shape in tables.SHAPES:
        if shape.name == name:
            return shape
    sys.exit(f"no shape {name}; there are {', '.join(s.name for s in tables.SHAPES)}")


def available(args):
    """What can be measured, as {name: command}; says what cannot."""
    commands = {}
    if args.snel.is_file():
        commands[SNEL] = [str(args.snel), "bench", "step", "--activation", "silu"]
        commands[SNEL] += ["--proposal", "gaussian", "--seconds", str(max(1, round(args.seconds)))]
    else:
        print(f"Snel is not measured: no {args.snel}. Build it: cargo build --release")
    for module, variants in VARIANTS.items():
        if importlib.util.find_spec(module) and importlib.util.find_spec("numpy"):
            script = [sys.executable, str(HERE / f"{module}_step.py")]
            script += ["--seconds", str(args.seconds)]
            for variant in variants:
                if args.variants in f"{module} {variant}":
                    commands[f"{module} {variant}"] = [*script, "--variant", variant]
        else:
            print(
                f"{module} is not measured: {sys.executable} does not have it. Install it: "
                f"{sys.executable} -m pip install -r {HERE / 'requirements.txt'}"
            )
    return commands


def measure(args, commands, shape):
    """Visits everything in turn, `rounds` times. {name: documents of its rounds}"""
    runs = {name: [] for name in commands if not redundant(name, shape)}
    for round_number in range(1, args.rounds + 1):
        for name, visits in runs.items():
            if visits and "error" in visits[-1]:
                continue  # It failed or ran too long: once is enough.
            progress = f"{shape.name} {round_number}/{args.rounds} {name}"
            print(f"\r\033[K{progress}", end="", file=sys.stderr)
            visits.append(visit(args, commands[name], shape))
    print("\r\033[K", end="", file=sys.stderr)
    return runs


def redundant(name, shape):
    """A chunk larger than all samples is the whole."""
    return any(word.isdigit() and int(word) > shape.samples for word in name.split("-"))


def visit(args, command, shape):
    """One document, or {"error": why not}."""
    command = [*command, "--threads", str(args.threads), "--json"]
    for option in ("dim", "width", "depth", "samples", "batch"):
        command += [f"--{option}", str(getattr(shape, option))]
    environment = {key: value for key, value in os.environ.items() if key not in UNSET}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=args.limit
        )
    except subprocess.TimeoutExpired:
        return {"error": f"over {args.limit:g} s"}
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": words[-1][:100]}
    try:
        document = json.loads(done.stdout)
        statistics.median([document["median_ms"]])
        return document
    except (ValueError, KeyError, TypeError):
        return {"error": "not the JSON that was asked for"}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
