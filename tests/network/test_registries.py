"""Named activations and losses: one file each, in an order that no list gives."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from mimverify.network import (
    ACTIVATIONS,
    DEFAULT_ACTIVATION,
    DEFAULT_LOSS,
    LOSSES,
    Activation,
    Loss,
    get_loss,
    huber,
)
from mimverify.network.activations import named as activation_files
from mimverify.network.losses import lipschitz_losses
from mimverify.network.losses import named as loss_files
from mimverify.network.losses.named_loss import NamedLoss
from mimverify.network.native_kinds import activation_kind, loss_kind
from mimverify.support.package_files import modules_of
from mimverify.training import LayerwiseTrainer
from mimverify.zoo.base import Correct

SORTS = [(activation_files, (Activation,), ACTIVATIONS), (loss_files, (Loss, NamedLoss), LOSSES)]


@pytest.mark.parametrize(("package", "kinds", "registry"), SORTS, ids=["activations", "losses"])
def test_each_file_has_one_record_and_is_named_like_it(
    package: ModuleType, kinds: tuple[type, ...], registry: Iterable[str]
) -> None:
    found = set()
    for module in modules_of(package):
        stem = module.__name__.rpartition(".")[2]
        public: list[Any] = [
            value for name, value in vars(module).items() if not name.startswith("_")
        ]
        names = [record.name for record in public if type(record) in kinds]
        assert names == [stem.replace("_", "-")]
        found.update(names)
    assert found == set(registry)


def test_trainers_have_all_that_there_is() -> None:
    for trainer in (LayerwiseTrainer, Correct):
        assert trainer.activations == tuple(ACTIVATIONS)
        assert trainer.losses == tuple(LOSSES)


def test_the_order_is_that_of_the_theorems_assumptions() -> None:
    assert next(iter(ACTIVATIONS)) == DEFAULT_ACTIVATION
    inside = [sigma.inside_theorem and sigma.even for sigma in ACTIVATIONS.values()]
    assert inside == sorted(inside, reverse=True)  # those inside come first
    losses = [get_loss(name) for name in LOSSES]
    kinds = [(loss.lipschitz, loss.smooth) for loss in losses]
    assert kinds == sorted(kinds)  # those of the theorem's kind come last
    assert lipschitz_losses()[0] == DEFAULT_LOSS
    assert set(lipschitz_losses()) == {loss.name for loss in losses if loss.lipschitz}


# -- copies are taken for ours, other functions are not --------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_survives_pickling_and_copying(name: str) -> None:
    sigma = ACTIVATIONS[name]
    for copied in (deepcopy(sigma), pickle.loads(pickle.dumps(sigma)), replace(sigma)):
        assert copied == sigma
        assert activation_kind(copied) == activation_kind(sigma)
    assert activation_kind(replace(sigma, first=lambda z: z)) is None


def test_a_loss_is_one_object_however_it_is_spelt() -> None:
    assert get_loss("huber:1") is get_loss("Huber:1.0") is get_loss("huber")
    assert get_loss("pseudo_huber:0.50") is get_loss("pseudo-huber:0.5")
    kinds = {"huber:1": ("huber", 1.0), "huber:0.5": ("huber", 0.5), "l1": ("l1", 1.0)}
    for spec, kind in kinds.items():
        assert loss_kind(get_loss(spec)) == loss_kind(deepcopy(get_loss(spec))) == kind
    assert loss_kind(replace(huber(0.5), derivative=lambda f, y: f - y)) is None


def test_a_parameter_is_declared_by_the_record() -> None:
    for name, named in LOSSES.items():
        assert named.takes_parameter == (named.default is not None)
        assert named().name == name == get_loss(name).name
        if named.default is not None:
            assert named.specification(named.default) == name
            assert named(2.5).name == named.specification(2.5) == f"{name}:2.5"
