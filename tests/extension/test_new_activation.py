"""An activation is one new file: `new_files/network/activations/named/welsch.py`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from invoke_script import INVOKE

Extended = Callable[..., "subprocess.CompletedProcess[str]"]

#: One process for all, since most of it would be the same imports again.
_USES = """
import json
import sys

import torch
from mimverify import adapt, LayerwiseTrainer
from mimverify.network import get_activation, get_loss
from mimverify.network.native_kinds import activation_kind
from mimverify.strategies import configurations
from mimverify.training.pass_name import pass_name
from mimverify.trial import CURVED_ACTIVATIONS, EVEN_ACTIVATIONS, STANDARD_ACTIVATIONS
from mimverify.trial import STEP_ACTIVATIONS
from mimverify.zoo.base import Correct

welsch = get_activation("Welsch")
module = adapt.torch(lambda d, m, activation: torch.nn.Sequential(
    torch.nn.Linear(d, m), activation, torch.nn.Linear(m, 1)))
for trainer in (LayerwiseTrainer, Correct, module):
    assert "welsch" in trainer.activations
# Inside the theorem's assumptions, so that learning is tried with it; the oracle lacks it.
assert "welsch" in EVEN_ACTIVATIONS and "welsch" in CURVED_ACTIVATIONS
assert EVEN_ACTIVATIONS[0] == "log-cosh"
assert "welsch" not in STEP_ACTIVATIONS and "welsch" not in STANDARD_ACTIVATIONS
assert "welsch" in sys.modules["mimverify.strategies.configurations"]._ACTIVATIONS
# No native code has it, so that NumPy takes the pass, and records say so.
assert activation_kind(welsch) is None
assert pass_name("numpy", welsch, get_loss("huber")) == "numpy"

for verb in ("train", "fit"):
    assert "welsch" in invoke(verb, "--help")
wrong = invoke("train", "cos2z", "--activation", "welshc", code=2)
assert "quadratic, welsch, relu" in wrong and "did you mean 'welsch'?" in wrong
found = []
for backend in ("numpy", "torch"):
    words = ("--dim", "16", "--samples", "600", "--neurons", "8", "--readout-neurons", "8")
    invoke("train", "cos2z", *words, "--activation", "Welsch", "--backend", backend,
           "--json", f"{backend}.json")
    found.append(json.load(open(f"{backend}.json")))
assert found[0]["configuration"]["activation"] == "welsch"
assert abs(found[0]["alignment"][-1] - found[1]["alignment"][-1]) < 1e-6
"""
_OWN = """
from mimverify import LayerwiseTrainer

class Trainer(LayerwiseTrainer):
    activations = ("welsch",)
    losses = ("fair", "huber")
"""
_SENTENCES = [
    "activation 'welsch': the oracle has no formula of it: no claim that compares with it, or "
    "computes its rates by it, was tried with this one; statistical claims may have been",
    "loss 'fair': the oracle has no formula of it: no claim on the first layer was tried with this "
    "one",
]


def test_commands_and_trainers_have_it(extended: Extended) -> None:
    extended("-c", INVOKE + _USES)


def test_the_trial_tries_it_and_says_what_the_oracle_lacks(
    extended: Extended, tmp_path: Path
) -> None:
    """With the only activation, which the oracle lacks, and one of two losses, which it has."""
    (tmp_path / "own.py").write_text(_OWN)
    shown = extended(
        "-m", "mimverify", "check", "own:Trainer", "--claim", "power-iteration",
        "--claim", "single-neuron", "--json", "report.json",
    ).stdout  # fmt: skip
    (trainer,) = json.loads((tmp_path / "report.json").read_text())["trainers"]
    found = {verdict["id"]: verdict for verdict in trainer["verdicts"]}
    assert found["single-neuron"]["status"] == "passed"
    assert found["power-iteration"]["status"] == "not applicable"
    assert "(the oracle has no formula of welsch)" in found["power-iteration"]["message"]
    assert trainer["not_covered"] == _SENTENCES
    assert all(sentence in shown for sentence in _SENTENCES)
