"""Prints the table of docs/vae.md from the runs of benches/priors.sh.

    python3 benches/priors.py FOLDER LABELS "NAME ..." "SEED ..." SNEL [OPTION ...]

Means over the seeds, and the standard error of that mean by how much seeds differ; with a single seed the
Monte-Carlo error of the run. Distances that are not in the run folders yet are measured with SNEL and the
options.
"""

import json
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path


def measure(runs, labels, snel):
    """Writes the distance of each run that has none to its folder."""
    missing = [str(run) for run in runs if not (run / "distance.json").exists()]
    if not missing:
        return
    command = [snel[0], "frechet", *missing, "--labels", labels, "--json", *snel[1:]]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for entry in report["runs"]:
        (Path(entry["path"]) / "distance.json").write_text(json.dumps(entry["distance"]))


def seconds(run):
    """Of all steps, those of the run that it starts from included."""
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    spent = [r for r in records if r["kind"] == "validation"][-1]["spent"]["seconds"]
    start = tomllib.loads((run / "config.toml").read_text())["model"].get("start")
    return spent + (seconds(run.parent / Path(start).name) if start else 0)


def show(estimates):
    """Mean and error in as many digits as make sense for nats."""
    values = [e["value"] for e in estimates]
    error = estimates[0]["se"]
    if len(values) > 1:
        error = statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.2f} ± {error:.2f}"


def evaluation(run):
    return json.loads((run / "eval.json").read_text())["evaluation"]


def row(name, runs):
    evaluations = list(map(evaluation, runs))
    distances = [json.loads((run / "distance.json").read_text()) for run in runs]
    mean = lambda numbers: statistics.fmean(numbers)
    return [
        name,
        show([e["snelbo"] for e in evaluations]),
        show([e["importance"] for e in evaluations]),
        show(distances),
        f"{mean(e['divergence'] for e in evaluations):.1f}",
        f"{100 * mean(e['weights']['ess_fraction'] for e in evaluations):.1f} %",
        f"{mean(map(seconds, runs)):.0f}",
    ]


def main():
    folder, labels, names, seeds = Path(sys.argv[1]), *sys.argv[2:5]
    runs = {name: [folder / f"{name}-{seed}" for seed in seeds.split()] for name in names.split()}
    measure([run for of_name in runs.values() for run in of_name], labels, sys.argv[5:])
    head = ["prior", "SNELBO", "importance-weighted", "distance", "KL(q ‖ d)", "effective", "seconds"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for name, of_name in runs.items():
        print("| " + " | ".join(row(name, of_name)) + " |")
    if len(seeds.split()) > 1 and "joint" in runs:
        print("\nSNELBO of joint, seed by seed, above that of")
        for name, of_name in runs.items():
            pairs = zip(runs["joint"], of_name)
            above = [evaluation(j)["snelbo"]["value"] - evaluation(r)["snelbo"]["value"] for j, r in pairs]
            if name != "joint":
                print(f"    {name}: {show([{'value': v, 'se': 0.0} for v in above])}")


main()
