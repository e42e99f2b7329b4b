"""A new file that is not as expected is refused by name, with what is expected of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mimverify import backends, studies, zoo
from mimverify.backends import registry as backend_files
from mimverify.cli import finding, verbs
from mimverify.network.activations import named as activations
from mimverify.network.activations.activation import Activation
from mimverify.network.losses import named as losses
from mimverify.network.losses import registry as loss_files
from mimverify.performance.competitors import contenders
from mimverify.performance.competitors import registry as contender_files
from mimverify.problems.inputs import get_inputs, laws
from mimverify.studies import finding as study_files
from mimverify.studies import trials
from mimverify.support.package_files import objects_with_modules
from mimverify.support.unique_names import by_name
from mimverify.sweeps.trial_kind import get_trial_kind
from mimverify.trial.diagnosis import catalogue, rules

#: The package, its file `zz.py`, what looks its files up, and a part of the message.
Wrong = tuple[ModuleType, str, Callable[[], object], str]

NUMPY = "from mimverify.backends.numpy_backend import NumpyBackend\n"
MUTANT = "from mimverify.zoo.base import Correct\nfrom mimverify.zoo.record import broken\n"
RULE = "from mimverify.trial.diagnosis.rule import rule\n"


def _activations() -> Any:
    return by_name(objects_with_modules(activations, Activation, in_each=True))


WRONG: dict[str, Wrong] = {
    "a backend that says nothing": (
        backends,
        "from mimverify.backends.base import Backend\nclass Own(Backend):\n    name = 'own'\n",
        backend_files._found,
        "Own: expected title, special_functions, array_modules, asarray, empty, matmul, to_numpy",
    ),
    "a backend's name": (
        backends,
        NUMPY + "class Own(NumpyBackend):\n    name = 'my-own'\n",
        backend_files._found,
        "name='my-own': expected a Python identifier",
    ),
    "a second backend": (
        backends,
        NUMPY + "class Own(NumpyBackend):\n    pass\n",
        backend_files._found,
        "mimverify.backends.numpy_backend both define a backend 'numpy'",
    ),
    "no activation": (activations, "_OWN = 1\n", _activations, "expected an object of class Act"),
    "a second activation": (
        activations,
        "from dataclasses import replace\n"
        "from mimverify.network.activations.named.tanh import TANH as _TANH\n"
        "OWN = replace(_TANH, name='Tanh')\n",
        _activations,
        "'Tanh' is defined already ('tanh' in mimverify.network.activations.named.tanh)",
    ),
    "no loss": (
        losses,
        "",
        lambda: list(loss_files._found()),
        "expected an object of class Loss or NamedLoss",
    ),
    "no contender": (contenders, "", contender_files._found, "expected an object of class Comp"),
    "a second contender": (
        contenders,
        "from dataclasses import replace\n"
        "from mimverify.performance.competitors.contenders.eigsh import EIGSH as _OTHER\n"
        "OWN = replace(_OTHER)\n",
        contender_files._found,
        "'eigsh' is defined already ('eigsh' in mimverify.performance.competitors.contenders.eigs",
    ),
    "no law": (laws, "", lambda: get_inputs("zz"), "expected a class Law, an InputLaw named 'zz'"),
    "another law's name": (
        laws,
        "from mimverify.problems.inputs.laws.rademacher import Law\n",
        lambda: get_inputs("zz"),
        "name='rademacher': expected 'zz'",
    ),
    "no run": (trials, "", lambda: get_trial_kind("zz"), "expected a function run"),
    "a second study": (
        studies,
        "from dataclasses import replace\n"
        "from mimverify.studies.steps import STUDY as _OTHER\n"
        "STUDY = replace(_OTHER)\n",
        study_files._studies.__wrapped__,
        "'steps' is defined already ('steps' in mimverify.studies.steps)",
    ),
    "mutants without a category": (
        zoo,
        MUTANT + "@broken('own')\nclass Own(Correct):\n    'It is wrong.'\n",
        zoo.zoo,
        "has mutants: expected their category, CATEGORY",
    ),
    "a second mutant": (
        zoo,
        MUTANT + "CATEGORY = 'own'\n@broken()\nclass Momentum(Correct):\n    'It is wrong.'\n",
        zoo.zoo,
        "'Momentum' is defined already ('Momentum' in mimverify.zoo.",
    ),
    "a rule that is left out": (
        rules,
        RULE + "@rule('own rule')\ndef own(step):\n    yield from ()\nRULES = ()\n",
        catalogue._found,
        "expected own in RULES",
    ),
    "a second rule": (
        rules,
        RULE + "@rule('weight decay missing')\ndef own(step):\n    yield from ()\nRULES = (own,)\n",
        lambda: by_name(catalogue._found()),
        "'weight decay missing' is defined already",
    ),
    "a verb of another name": (
        verbs,
        "import click\n@click.command()\ndef other():\n    'Do it.'\n",
        lambda: finding.command_of("zz"),
        "expected a click command 'zz'",
    ),
    "a verb that is no command": (
        verbs,
        "def zz():\n    'Do it.'\n",
        lambda: finding.command_of("zz"),
        "expected a click command 'zz'",
    ),
    "a heading that is computed": (
        verbs,
        "SECTION = 'Tra' + end\n",
        finding.sections,
        "SECTION = 'Tra' + end: expected a literal",
    ),
}


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`add(package, text)`: a file `zz.py`, as if it lay in the package's folder."""
    added: list[ModuleType] = []

    def extend(package: ModuleType, text: str) -> None:
        (tmp_path / "zz.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        added.append(package)

    with monkeypatch.context() as cached:
        cached.setattr(zoo, "_files", zoo._files.__wrapped__)
        yield extend
    for package in added:
        sys.modules.pop(f"{package.__name__}.zz", None)
        vars(package).pop("zz", None)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_it_is_named_with_what_is_expected(wrong: Wrong, add: Callable[..., None]) -> None:
    package, text, look_up, words = wrong
    add(package, text)
    with pytest.raises(ImportError) as refusal:
        look_up()
    assert words in str(refusal.value)
    assert f"{package.__name__}.zz" in str(refusal.value)
