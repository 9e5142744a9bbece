"""The timings of a folder of results as a table: table.py FOLDER."""

import json
import sys
from pathlib import Path

# What products of large matrices reach on an H100, operations a second; and how many values of tanh
# it makes.
RATE = {"fp32": 60e12, "tf32": 380e12, "bf16": 750e12}
TANH_RATE = 3.7e12


def floor_ms(dim, width, depth, precision, points):
    """The least time of a step on an H100: products at the full rate, or the activations' tanh, one
    on the way forward and one back. Points, weights and sums come for nothing."""
    forward = 2 * (dim * width + (depth - 1) * width * width + width)
    backward = 2 * forward - 2 * dim * width  # points need no gradient
    products = (3 if precision == "bf16x3" else 1) * forward + backward
    rate = RATE["bf16" if precision == "bf16x3" else precision]
    return max(products / rate, 2 * depth * width / TANH_RATE) * points * 1e3


def read(path):
    """A document, or None if the program that was to write it failed."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def line(path):
    """The line of a timing; None if the file is no timing."""
    _, width, who, name = path.stem.split("-", 3)
    precision = name.rsplit("-", 1)[-1]
    start = f"| {width} | {who} {name} |"
    document = read(path)
    if not document or "median_ms" not in document:
        return f"{start} failed: see {path.stem}.log | | |"
    points = document["samples"] + document["batch"]
    median = document["median_ms"]
    low, high = document["quartiles_ms"]
    shape = [document[name] for name in ("dim", "width", "depth")]
    share = f"{100 * floor_ms(*shape, precision, points) / median:.1f} %"
    spread = f"{median:.3f} ({low:.3f} to {high:.3f})"
    return f"{start} {spread} | {1e6 * median / points:.3f} | {share} |"


def memory(path):
    document = read(path) or {}
    taken = document.get("device_bytes")
    told = f"{taken / 2**20:.0f} MiB" if taken else "not known"
    median = document.get("median_ms")
    return f"| {path.stem.split('-')[1]} | {told} | {median:.1f} |" if median else f"| {path.stem} failed | | |"


def main():
    folder = Path(sys.argv[1])
    print("| width | what | ms a step: median (middle half) | ns a point | of the floor |")
    print("|---|---|---|---|---|")
    paths = sorted(folder.glob("step-*.json"), key=lambda p: (int(p.stem.split("-")[1]), p.stem))
    for path in paths:
        print(line(path))
    print("\n| samples | memory taken on the GPU | ms a step |")
    print("|---|---|---|")
    for path in sorted(folder.glob("memory-*.json"), key=lambda p: int(p.stem.split("-")[1])):
        print(memory(path))


if __name__ == "__main__":
    main()
