"""Tests of what a long run's checkpoint is compared by."""

from __future__ import annotations

from mimverify.native import loadable_levels, using
from mimverify.trial.running.run_identity import run_identity
from mimverify.trial.running.settings import TrialSettings


def test_the_pass_and_the_c_sources_are_part_of_a_run() -> None:
    """Other last bits, and other verdicts at the edge of a bound, come from either."""
    settings = TrialSettings()
    for level in ("0", *loadable_levels()):
        with using(level):
            assert run_identity(settings)["pass"] == (
                "numpy" if level == "0" else f"native {level}"
            )
    sources = run_identity(settings)["sources"]
    native = {"kernels.c", "levels.c", "normals.c", "pass.h", "functions.h", "compiler.py"}
    assert {f"mimverify/native/{name}" for name in native} <= set(sources)
