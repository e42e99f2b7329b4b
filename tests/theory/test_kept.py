"""Results that are kept between commands: the same, and only where they are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.network import LOSSES, Loss, get_loss
from mimverify.problems import Link, get_link
from mimverify.theory import (
    LinkInspection,
    Prediction,
    TransformAnalysis,
    analyse_transform,
    inspect_link,
    predict,
)
from mimverify.theory.kept import kept

Array = NDArray[np.float64]


class Counted:
    """`analyse_transform`, and how often it ran."""

    __name__ = "analyse_transform"

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, link: Link, loss: Loss, **settings: Any) -> TransformAnalysis:
        self.count += 1
        return analyse_transform(link, loss, **settings)

    def of(self, link: Link | str, loss: Loss | str = "huber", **settings: Any) -> Array:
        return kept(self, TransformAnalysis, link, loss, **settings).eigenvalues


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results are kept there."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("MIMVERIFY_CACHE", str(folder))
    return folder


def test_a_kept_inspection_is_the_computed_one(folder: Path) -> None:
    computed = kept(inspect_link, LinkInspection, "he2", "huber", noise=0.0, dim=64)
    assert len(list(folder.iterdir())) == 1

    def never(*args: object, **settings: object) -> LinkInspection:
        raise AssertionError("computed again")

    never.__name__ = "inspect_link"
    found = kept(never, LinkInspection, "he2", "huber", noise=0.0, dim=64)
    assert json.dumps(found.to_json()) == json.dumps(computed.to_json())
    assert found.link is get_link("he2")


def test_a_kept_prediction_is_the_computed_one(folder: Path) -> None:
    def first() -> Prediction:
        return kept(predict, Prediction, "he2", "huber", dim=32, samples=256, steps=2, neurons=4)

    computed, found = first(), first()
    assert found is not computed
    assert json.dumps(found.to_json()) == json.dumps(computed.to_json())
    low, high = found.trajectory.run_interval(4)
    assert np.array_equal([low, high], computed.trajectory.run_interval(4))


def test_settings_losses_and_links_have_results_of_their_own(folder: Path) -> None:
    task = Counted()
    for _ in range(2):
        for name in LOSSES:
            assert np.array_equal(task.of("he2", name), analyse_transform("he2", name).eigenvalues)
        task.of("abs")
    assert task.count == len(LOSSES) + 1


def test_off_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMVERIFY_CACHE", "off")
    task = Counted()
    for _ in range(2):
        task.of("he2")
    assert task.count == 2
    assert not folder.exists()


def test_a_file_that_says_something_else_is_not_believed(folder: Path) -> None:
    task = Counted()
    task.of("he2")
    (path,) = folder.iterdir()
    path.write_bytes(b"PK\x03\x04" + path.read_bytes()[4:200])
    task.of("he2")
    assert task.count == 2


def test_a_changed_link_is_computed_again(
    folder: Path, user_module: Callable[[str], str], tmp_path: Path
) -> None:
    source = "def link(z):\n    return z[:, 0] ** {}\n"
    task = Counted()
    name = user_module(source.format(2))
    first = get_link(f"{name}:link", rank=1)
    task.of(first)
    task.of(first)
    assert task.count == 1
    user_module(source.format(4))
    task.of(get_link(f"{name}:link", rank=1))
    assert task.count == 2


def test_a_link_that_calls_something_that_changed_is_computed_again(folder: Path) -> None:
    power = [2]
    link = Link("mine", 1, lambda z: z[:, 0] ** power[0])
    task = Counted()
    task.of(link)
    power[0] = 4  # nothing of its source shows it
    task.of(link)
    assert task.count == 2


def test_a_link_without_source_is_not_kept(folder: Path) -> None:
    space: dict[str, Callable[[Array], Array]] = {}
    exec("def link(z):\n    return z[:, 0] ** 2\n", space)
    task = Counted()
    for _ in range(2):
        task.of(Link("mine", 1, space["link"]), get_loss("huber"))
    assert task.count == 2
