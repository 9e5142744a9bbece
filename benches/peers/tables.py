"""The shapes with their targets, and the tables in words."""

import statistics
from typing import NamedTuple, Optional


class Targets(NamedTuple):
    """Least speed-ups of Snel, and least part of the machine's measured peak."""

    eager: float
    torch: float
    jax: float
    peak: Optional[float]


class Shape(NamedTuple):
    name: str
    dim: int
    width: int
    depth: int  # hidden layers
    samples: int
    batch: int
    targets: Targets


SHAPES = (
    Shape("first", 8, 128, 3, 65_536, 4096, Targets(3.7, 2.2, 1.25, 0.72)),
    Shape("small", 2, 64, 3, 1024, 256, Targets(5, 4, 4, None)),
    Shape("narrow", 2, 64, 3, 65_536, 4096, Targets(4.5, 2.8, 1.5, 0.65)),
    Shape("wide", 64, 256, 4, 16_384, 1024, Targets(2.2, 1.7, 1.6, 0.75)),
)


def shape_table(shape, runs):
    """All variants of a shape, then Snel against its targets. `runs` is {name: documents}."""
    title = (
        f"\n{shape.name}: D = {shape.dim}, W = {shape.width}, {shape.depth} hidden layers, "
        f"M = {shape.samples}, n = {shape.batch}\n"
    )
    good = {name: visits for name, visits in runs.items() if visits and "error" not in visits[-1]}
    medians = {name: median(visits, "median_ms") for name, visits in good.items()}
    rows = [("variant", "ms", "least..most", "GFLOP/s", "/ Snel", "MiB")]
    for name, visits in runs.items():
        if name in good:
            times = [visit["median_ms"] for visit in visits]
            rows.append(
                (
                    name,
                    f"{medians[name]:.2f}",
                    f"{min(times):.2f}..{max(times):.2f}",
                    f"{median(visits, 'gflops'):.1f}",
                    f"{medians[name] / medians['snel']:.2f}" if "snel" in medians else "-",
                    f"{median(visits, 'peak_memory_mib'):.0f}",
                )
            )
        else:
            rows.append((name, "failed", visits[-1]["error"] if visits else "", "", "", ""))
    return title + "\n".join([*aligned(rows), *summary(shape, good, medians)])


def summary(shape, good, medians):
    """Snel's ratios beside their targets."""
    if "snel" not in medians:
        return []

    def best(peer):
        names = [name for name in medians if name.startswith(peer)]
        return min(names, key=medians.get, default=None)

    rows = [("", "Snel", "target", "met")]
    for label, name, target in (
        ("vs PyTorch eager", "torch eager", shape.targets.eager),
        ("vs best PyTorch", best("torch "), shape.targets.torch),
        ("vs best JAX", best("jax "), shape.targets.jax),
    ):
        if name in medians:
            rows.append(verdict(f"{label} ({name})", medians[name] / medians["snel"], target))
    rows.append(
        verdict("of measured peak", median(good["snel"], "fraction_of_peak"), shape.targets.peak)
    )
    return ["", *aligned(rows)]


def verdict(label, value, target):
    if target is None:
        return label, f"{value:.2f}", "-", "-"
    return label, f"{value:.2f}", f"{target:.2f}", "yes" if value >= target else "no"


def median(visits, key):
    return statistics.median(visit[key] for visit in visits)


def aligned(rows):
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
