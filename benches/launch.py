"""Times a step of `snel launch` against one of `snel train`: what processes cost.

python3 benches/launch.py   (after `cargo build --release`)
"""

import pathlib
import statistics
import subprocess
import tempfile
import time

SNEL = pathlib.Path(__file__).resolve().parents[1] / "target/release/snel"
CONFIG = """
data = { toy = "gaussian", dim = 8, rows = 20000 }
model = { depth = 3, width = 128 }
train = { batch = 4096, samples = 65536, valid_every = 1000000, valid_samples = 1000, checkpoint_every = 1000000 }
eval = { samples = 2000 }
output = { report = false }
"""
KINDS = {
    "train, 2 threads": ["train", "--threads", "2"],
    "launch, 1 worker x 2": ["launch", "--workers", "1", "--threads", "2"],
    "launch, 2 workers x 1": ["launch", "--workers", "2", "--threads", "1"],
}


def seconds(kind, steps):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "big.toml")
        config.write_text(CONFIG)
        command = [SNEL, *kind, config, "--out", f"{folder}/run", "--set", f"train.steps={steps}"]
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        return time.monotonic() - started


def main():
    times = {name: [] for name in KINDS}
    for _ in range(3):
        for name, kind in KINDS.items():
            # The difference leaves out data, evaluation and the start of processes.
            times[name].append((seconds(kind, 110) - seconds(kind, 10)) * 10)
    first = next(iter(times.values()))
    for name, ms in times.items():
        ratio = statistics.median(a / b for a, b in zip(ms, first))
        print(f"{name:24} {statistics.median(ms):7.1f} ms a step  {ratio:.3f}")


if __name__ == "__main__":
    main()
