"""A loss is one new file: `new_files/network/losses/named/fair.py`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from invoke_script import INVOKE

Extended = Callable[..., "subprocess.CompletedProcess[str]"]

#: One process for all, since most of it would be the same imports again.
_USES = """
import json
import sys

from mimverify import get_loss, LayerwiseTrainer
from mimverify.network.losses import lipschitz_losses
from mimverify.network.native_kinds import loss_kind
from mimverify.strategies import configurations
from mimverify.theory import analyse_transform
from mimverify.trial import LIPSCHITZ_LOSSES, STANDARD_LOSSES, STEP_LOSSES
from mimverify.handles.capabilities import describe
from mimverify.trial.running.not_covered import not_covered
from mimverify.zoo.base import Correct

# Its parameter is declared by its record.
assert get_loss("Fair:1.0") is get_loss("fair") and get_loss("fair:0.5").name == "fair:0.5"
for trainer in (LayerwiseTrainer, Correct):
    assert "fair" in trainer.losses
assert "fair" in lipschitz_losses() and lipschitz_losses()[0] == "huber"
# H is the oracle's, which lacks it.
assert not {"fair"} & {*LIPSCHITZ_LOSSES, *STEP_LOSSES, *STANDARD_LOSSES}
assert "fair" in sys.modules["mimverify.strategies.configurations"]._LOSSES
assert loss_kind(get_loss("fair")) is None  # NumPy takes the pass
# The theory knows losses by their derivative alone.
assert analyse_transform("he2", "fair:2").rank == 1

for verb in ("train", "fit", "inspect", "predict", "diagnose"):
    assert "fair" in invoke(verb, "--help"), verb
wrong = invoke("train", "cos2z", "--loss", "fairr", code=2)
assert "huber, fair, pseudo-huber" in wrong and "did you mean 'fair'?" in wrong
wrong = invoke("train", "cos2z", "--loss", "fair:-1", code=2)
assert "loss='fair:-1': expected a positive number after the colon" in wrong
words = ("--dim", "16", "--samples", "600", "--neurons", "8", "--readout-neurons", "8")
invoke("train", "cos2z", *words, "--loss", "fair:0.5", "--json", "trained.json")
assert json.load(open("trained.json"))["configuration"]["loss"] == "fair:0.5"
invoke("inspect", "he2", "--json", "inspected.json")
assert "fair" in json.load(open("inspected.json"))["losses"]
# As the report of every trial says (`check` itself: test_new_activation.py).
sentences = not_covered(describe(LayerwiseTrainer()).to_json())
assert ("loss 'fair': the oracle has no formula of it: no claim on the first layer was tried with "
        "this one") in sentences
"""


def test_commands_trainers_and_the_theory_have_it(extended: Extended) -> None:
    extended("-c", INVOKE + _USES)
