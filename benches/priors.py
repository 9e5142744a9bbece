"""Prints the table of docs/vae.md from the runs of benches/priors.sh.

    python3 benches/priors.py FOLDER "NAME ..." "SEED ..."

Means over the seeds, and the standard error of that mean by how much seeds differ; with a single seed the
Monte-Carlo error of the run.
"""

import json
import statistics
import sys
from pathlib import Path


def value(entry):
    return entry["value"] if isinstance(entry, dict) else entry


def show(numbers, errors):
    """Mean and error in as many digits as make sense for nats."""
    mean = statistics.fmean(numbers)
    if len(numbers) > 1:
        error = statistics.stdev(numbers) / len(numbers) ** 0.5
    else:
        error = errors[0]
    return f"{mean:.2f} ± {error:.2f}"


def row(folder, name, seeds):
    evaluations, seconds, distances = [], [], []
    for seed in seeds:
        run = folder / f"{name}-{seed}"
        evaluations.append(json.loads((run / "eval.json").read_text())["evaluation"])
        records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        seconds.append([r for r in records if r["kind"] == "validation"][-1]["spent"]["seconds"])
        measured = json.loads((folder / f"distances-{seed}.json").read_text())["runs"]
        found = [r["distance"] for r in measured if Path(r["path"]).name == run.name]
        distances.extend(found)
    column = lambda key: show(
        [value(e[key]) for e in evaluations], [e[key]["se"] for e in evaluations]
    )
    distance = show([d["value"] for d in distances], [d["se"] for d in distances])
    effective = statistics.fmean(e["weights"]["ess_fraction"] for e in evaluations)
    divergence = statistics.fmean(e["divergence"] for e in evaluations)
    cells = [name, column("snelbo"), column("importance"), distance]
    cells += [f"{divergence:.1f}", f"{100 * effective:.2g} %", f"{statistics.fmean(seconds):.0f}"]
    return cells


def main():
    folder, names, seeds = Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3].split()
    head = ["prior", "SNELBO", "importance-weighted", "distance", "KL(q ‖ d)", "effective", "seconds"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name in names:
        print("| " + " | ".join(row(folder, name, seeds)) + " |")


main()
