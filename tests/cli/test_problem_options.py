"""One spelling and one default of an option, whichever verb or function has it."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields
from typing import Any

import click
import pytest

import mimverify
from mimverify.cli.app import app
from mimverify.cli.problem_options import OPTIONS
from mimverify.experiment import ExperimentConfig
from mimverify.network import DEFAULT_LOSS
from mimverify.scaling import measure_scaling
from mimverify.theory import (
    analyse_transform,
    inspect_link,
    label_law,
    predict,
    predict_test_error,
    predict_trajectory,
)

VERBS = ("train", "fit", "predict", "inspect", "scaling", "compare", "limits")
#: Where a verb has several values, or was made for another size.
OTHER = {("scaling", "dtype"), ("compare", "dim"), ("compare", "steps"), ("inspect", "dim")}


def parameters(verb: str) -> dict[str, click.Option]:
    command = app.get_command(click.Context(app), verb)
    assert command is not None
    return {p.opts[-1]: p for p in command.params if isinstance(p, click.Option)}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_spells_its_options_as_all_do(verb: str) -> None:
    known = {spelling.flags[-1]: (name, spelling) for name, spelling in OPTIONS.items()}
    seen = 0
    for flag, option in parameters(verb).items():
        if flag not in known:
            continue
        name, spelling = known[flag]
        seen += 1
        assert tuple(option.opts) == spelling.flags, (verb, flag)
        assert option.metavar == spelling.metavar, (verb, flag)
        if not option.multiple and (verb, name) not in OTHER:
            assert option.default == spelling.default, (verb, flag)
    assert seen >= 3
    # The limits are no loss's.
    assert ("--loss" in parameters(verb)) == (verb != "limits")


def test_python_has_the_defaults_of_the_command_line() -> None:
    functions: list[Any] = [
        mimverify.LayerwiseTrainer,
        mimverify.LayerwiseTrainer.trajectory,
        mimverify.LayerwiseTrainer.step,
        ExperimentConfig,
        analyse_transform,
        inspect_link,
        label_law,
        measure_scaling,
        predict,
        predict_test_error,
        predict_trajectory,
    ]
    empty = inspect.Parameter.empty
    for function in functions:
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in OPTIONS or parameter.default in (empty, None):
                continue
            if function is measure_scaling and name in ("dtype", "steps"):
                continue  # float32 and several steps, as `mimverify scaling`
            assert parameter.default == OPTIONS[name].default, (function, name)


def test_the_default_loss_is_of_the_theorems_kind() -> None:
    loss = mimverify.get_loss(DEFAULT_LOSS)
    assert loss.lipschitz
    assert loss.smooth
    assert {field.name for field in fields(ExperimentConfig)} >= {"loss", "noise", "samples"}
    module = importlib.import_module("mimverify.network.losses")
    assert module.DEFAULT_LOSS in module.LOSSES
