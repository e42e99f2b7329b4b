"""The package itself: what it offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mimverify


@pytest.mark.parametrize("name", mimverify.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mimverify, name) is not None
    assert name in dir(mimverify)


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        mimverify.chekc  # noqa: B018


def test_names_are_imported_when_they_are_asked_for() -> None:
    """A worker process needs no SciPy, and who trains on NumPy neither Torch nor Hypothesis."""
    program = (
        "import sys, mimverify, mimverify.handles.worker\n"
        "assert not {'scipy', 'hypothesis', 'torch'} & set(sys.modules)\n"
        "mimverify.numpy_trainer()\n"
        "assert not {'hypothesis', 'torch', 'pytest'} & set(sys.modules)\n"
        "mimverify.training.default_steps\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
