"""Correct trainers written independently of mimverify's code pass what applies to them."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest

from mimverify.trial import PROFILES, Session, Status
from mimverify.trial.claims.claim_set import built_in_claims
from mimverify.zoo import Correct

STEPPING = (
    "torch_sgd", "numpy_fortran", "numpy_threaded", "single_precision", "jax_grad", "jax_jit"
)  # fmt: skip
TRAINERS = (*STEPPING, "fit_only")
# The decisions of a profile, however busy the machine is.
UNHURRIED = {name: replace(profile, seconds=1e6) for name, profile in PROFILES.items()}
# What a method or a dtype that a trainer lacks leaves out.
WITHOUT_DOUBLE_PRECISION = {"small-initialisation", "weak-feedback"}


@pytest.fixture(params=TRAINERS)
def trainer(request: pytest.FixtureRequest) -> type:
    """The class of each trainer; those on JAX are skipped where there is none."""
    return trainer_class(request.param)


def trainer_class(name: str) -> type:
    if name.startswith("jax_"):
        pytest.importorskip("jax", reason="the trainers on JAX need jax: pip install jax")
    trainer = importlib.import_module(f"correct_trainers.{name}").Trainer
    assert isinstance(trainer, type)
    return trainer


def verdicts_of(
    trainer: object, claims: list[str] | None, profile: str = "quick"
) -> dict[str, tuple[Status, str]]:
    with Session(trainer, profile=UNHURRIED[profile], claims=claims or ()) as session:
        verdicts = [session.verdict(claim) for claim in session.claims.values()]
    return {verdict.id: (verdict.status, verdict.message) for verdict in verdicts}


@pytest.mark.parametrize(
    "name",
    # What JAX compiles for many shapes takes a third of the time of all others; CI has a trial of
    # JAX of its own.
    [pytest.param(n, marks=pytest.mark.slow if "jax" in n else ()) for n in STEPPING],
)
def test_a_correct_trainer_passes_exact_claims(name: str) -> None:
    trainer = trainer_class(name)
    claims = ["gradient-step", "antisymmetry", "power-iteration"]
    verdicts = verdicts_of(trainer, claims)
    assert {status for status, _ in verdicts.values()} == {Status.PASSED}, verdicts


@pytest.mark.slow
# Torch warns of read-only memory, which it does not write to here.
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_a_correct_trainer_passes_the_whole_profile(trainer: type, profile: str) -> None:
    verdicts = verdicts_of(trainer, None, profile)
    claims = built_in_claims().claims
    left_out = set() if hasattr(trainer, "operation_counts") else {"arithmetic"}
    if not hasattr(trainer, "step") and not hasattr(trainer, "trajectory"):
        left_out |= {claim for claim in verdicts if claims[claim].needs == "first layer"}
    if "float64" not in getattr(trainer, "dtypes", ("float64",)):
        left_out |= WITHOUT_DOUBLE_PRECISION
    passed = {claim for claim, (status, _) in verdicts.items() if status is Status.PASSED}
    refused = {c for c, (status, _) in verdicts.items() if status is Status.NOT_APPLICABLE}
    assert passed == verdicts.keys() - left_out, verdicts
    assert refused == left_out, verdicts


def test_torchs_own_count_of_operations_passes() -> None:
    trainer = importlib.import_module("correct_trainers.torch_sgd").Trainer
    verdicts = verdicts_of(trainer, ["arithmetic"])
    assert verdicts["arithmetic"][0] is Status.PASSED, verdicts


def test_the_correct_trainers_share_no_code_with_mimverify(trainer: type) -> None:
    module = importlib.import_module(trainer.__module__)
    assert module.__file__ is not None
    with open(module.__file__, encoding="utf-8") as source:
        imports = [line for line in source if line.startswith(("import ", "from "))]
    assert imports
    assert not [line for line in imports if "mimverify" in line]


class SquaredOnly(Correct):
    """The one loss that is not Lipschitz: claims then predict for it."""

    losses = ("squared",)


class ReturnsDoubles:
    """Single precision inside, as declared; double outside; one step at a time."""

    dtypes = ("float32",)

    def step(self, W, a, b, X, y, **options):
        return Correct().trajectory(W, a, b, X, y, steps=1, **options)[-1].astype(np.float64)


@pytest.mark.parametrize("claim", ["agnostic", "collapse", "staircase"])
def test_a_trainer_with_squared_loss_alone_is_not_failed(claim: str) -> None:
    status, message = verdicts_of(SquaredOnly, [claim])[claim]
    assert status is Status.PASSED, message


@pytest.mark.slow
@pytest.mark.parametrize("trainer", [SquaredOnly, ReturnsDoubles])
def test_unusual_trainers_pass_the_whole_quick_profile(trainer: type) -> None:
    verdicts = verdicts_of(trainer, None)
    statuses = {status for status, _ in verdicts.values()}
    assert statuses <= {Status.PASSED, Status.NOT_APPLICABLE}, verdicts
    assert verdicts["trajectory"][0] is Status.PASSED


@pytest.mark.parametrize("claim", ["gradient-step", "trajectory"])
def test_a_wider_result_than_asked_for_is_no_divergence(claim: str) -> None:
    status, message = verdicts_of(ReturnsDoubles, [claim])[claim]
    assert status is Status.PASSED, message
