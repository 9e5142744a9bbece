"""Tests: `python3 -m unittest discover benches/peers`. A peer that is not installed is skipped."""

import contextlib
import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

import run
import tables

HERE = pathlib.Path(__file__).resolve().parent
SHAPE = types.SimpleNamespace(dim=3, width=16, depth=2, samples=256, batch=128)
FAKE = """#!/usr/bin/env python3
import json, sys
assert sys.argv[1:3] == ["bench", "step"]
value = lambda name: int(sys.argv[sys.argv.index("--" + name) + 1])
if value("dim") == 64:
    sys.exit("no such shape")
print(json.dumps({"median_ms": 10.0, "min_ms": 9.0, "max_ms": 12.0, "steps": 5, "gflops": 100.0,
    "peak_gflops": 200.0, "fraction_of_peak": 0.5, "peak_memory_mib": 20, "threads": 2}))
"""


def has(*modules):
    return all(map(importlib.util.find_spec, modules))


@unittest.skipUnless(has("numpy"), "needs numpy")
class Reference(unittest.TestCase):
    def test_gradient_is_the_slope_of_the_loss(self):
        """Central differences err by h^2 and by 1e-16 / h: about 1e-9 at h = 1e-5."""
        import reference

        problem, h = reference.Problem(SHAPE), 1e-5
        gradient = problem.gradient(problem.weights, problem.b)
        slope = (problem.loss(problem.weights, problem.b + h)
                 - problem.loss(problem.weights, problem.b - h)) / (2 * h)
        self.assertAlmostEqual(gradient[-1], slope, delta=1e-7)
        for tensor, expected in zip(problem.weights, gradient):
            for i in (0, tensor.size // 2, tensor.size - 1):
                start = tensor.flat[i]
                losses = []
                for moved in (start + h, start - h):
                    tensor.flat[i] = moved
                    losses.append(problem.loss(problem.weights, problem.b))
                tensor.flat[i] = start
                slope = (losses[0] - losses[1]) / (2 * h)
                self.assertAlmostEqual(expected.flat[i], slope, delta=1e-6)

    def test_the_check_sees_clipping_and_the_gradient_of_b(self):
        """The problem of the check must clip at some update and have b's gradient beyond -1."""
        import common
        import reference

        problem = reference.Problem(SHAPE)
        gradient = problem.gradient(problem.weights, problem.b)
        self.assertGreater(reference.norm(gradient[:-1]), common.CLIP_NORM)
        self.assertLess(gradient[-1], -1)


class Peers(unittest.TestCase):
    def check(self, script, *variants):
        for variant in variants:
            with self.subTest(variant=variant):
                done = call(script, variant, "--check")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @unittest.skipUnless(has("numpy", "torch"), "needs torch")
    def test_torch_computes_the_formula(self):
        self.check("torch_step.py", "eager", "eager-64", "eager-100-keep")
        self.check("torch_step.py", "compile", "compile-64", "graph")

    @unittest.skipUnless(has("numpy", "jax"), "needs jax")
    def test_jax_computes_the_formula(self):
        self.check("jax_step.py", "jit", "scan-64")

    @unittest.skipUnless(has("numpy", "jax"), "needs jax")
    def test_document(self):
        document = json.loads(call("jax_step.py", "scan-64", "--repeats", "7").stdout)
        self.assertEqual(document["steps"], 7)
        self.assertLessEqual(document["min_ms"], document["median_ms"])
        parameters = 3 * 16 + 16 + 16 * 16 + 16 + 16 + 1
        work = 6 * parameters * (256 + 128)
        self.assertAlmostEqual(document["gflops"], work / document["median_ms"] * 1e-6)


def call(script, variant, *options):
    shape = [word for key, value in vars(SHAPE).items() for word in (f"--{key}", str(value))]
    command = [sys.executable, HERE / script, "--variant", variant, "--json", *options, *shape]
    return subprocess.run(command, capture_output=True, text=True)


class Runner(unittest.TestCase):
    def run_with(self, *options):
        """Output of run.py with a fake snel and no peers."""
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            fake = pathlib.Path(folder, "snel")
            fake.write_text(FAKE)
            fake.chmod(0o755)
            argv = ["run.py", "--snel", str(fake), *options]
            stack.enter_context(mock.patch.object(sys, "argv", argv))
            stack.enter_context(mock.patch.object(importlib.util, "find_spec", lambda _: None))
            out = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            run.main()
            return out.getvalue()

    def test_missing_peers_are_said_and_snel_is_measured(self):
        out = self.run_with("--shapes", "first,wide")
        self.assertIn("torch is not measured", out)
        self.assertIn("requirements.txt", out)
        self.assertRegex(out, r"snel +10\.00 +10\.00\.\.10\.00 +100\.0 +1\.00 +20")
        self.assertRegex(out, r"of measured peak +0\.50 +0\.72 +no")
        self.assertRegex(out, r"snel +failed +no such shape")

    def test_missing_snel_says_how_to_build_it(self):
        with self.assertRaisesRegex(SystemExit, "Nothing can be measured"):
            self.run_with("--snel", "/nowhere/snel")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            run.available(types.SimpleNamespace(
                snel=pathlib.Path("/nowhere/snel"), variants="", seconds=1.0))
        self.assertIn("cargo build --release", out.getvalue())

    def test_slow_variants_are_said(self):
        with tempfile.TemporaryDirectory() as folder:
            slow = pathlib.Path(folder, "snel")
            slow.write_text("#!/bin/sh\nexec sleep 5\n")
            slow.chmod(0o755)
            out = self.run_with("--shapes", "first", "--snel", str(slow), "--limit", "0.2")
        self.assertRegex(out, r"snel +failed +over 0\.2 s")

    def test_ratios_and_targets(self):
        document = lambda ms: {"median_ms": ms, "gflops": 1.0, "peak_memory_mib": 9.0,
                               "fraction_of_peak": 0.8}
        runs = {
            "snel": [document(10), document(11), document(90)],
            "torch eager": [document(44)],
            "torch eager-1024": [document(22)],
            "jax jit": [document(33)],
        }
        out = tables.shape_table(tables.SHAPES[0], runs)
        self.assertRegex(out, r"vs PyTorch eager \(torch eager\) +4\.00 +3\.70 +yes")
        self.assertRegex(out, r"vs best PyTorch \(torch eager-1024\) +2\.00 +2\.20 +no")
        self.assertRegex(out, r"vs best JAX \(jax jit\) +3\.00 +1\.25 +yes")
        self.assertRegex(out, r"of measured peak +0\.80 +0\.72 +yes")

    def test_chunks_beyond_the_samples_are_left_out(self):
        small = tables.SHAPES[1]
        self.assertTrue(run.redundant("jax scan-4096", small))
        self.assertFalse(run.redundant("torch eager-1024-keep", small))


if __name__ == "__main__":
    unittest.main()
