"""Checks with TensorBoard itself that it reads our event files and a resumed run shows each step once.

    cargo run -p snel-train --example tensorboard -- LOGDIR     (a new folder)
    python crates/snel-train/tests/tensorboard_reads.py LOGDIR  (needs `pip install tensorboard`)
"""

import sys

from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator

folder = sys.argv[1]

# The reader of scripts and notebooks.
reader = event_accumulator.EventAccumulator(folder)
reader.Reload()
bound = reader.Scalars("train/bound")
assert [e.step for e in bound] == list(range(100)), [e.step for e in bound]
assert bound[0].value == -3.0
assert all(e.value == e.step for e in bound[50:]), "steps 50 to 69 are those of the resumed run"
assert [e.value for e in reader.Scalars("train/zero")] == [0.0] * 50

# The reader behind the page.
reader = plugin_event_accumulator.EventAccumulator(folder)
reader.Reload()
assert [e.step for e in reader.Tensors("train/bound")] == list(range(100))
print("TensorBoard reads it")
