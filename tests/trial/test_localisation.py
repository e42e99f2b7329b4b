"""Where a trainer departs from gradient descent, and which known wrong rule it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mimverify import LayerwiseTrainer, numpy_trainer
from mimverify.handles import InProcessTrainer
from mimverify.support.arrays import FloatArray
from mimverify.trial import PROFILES, Session, Status, Verdict, exact_step, load_claims
from mimverify.trial.diagnosis.localisation import localise
from mimverify.trial.diagnosis.matching import match
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.oracle import Options
from mimverify.trial.trainer.calls import Call, RecordedTrainer

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)


def gradient(W, a, b, X, y, *, slope=np.tanh, output=1.0, rows=None):
    """Of the squared loss with log-cosh neurons, implemented independently."""
    Z = X @ W.T + b
    residual = output * (np.log(np.cosh(Z)) @ a) - y
    return (residual[:, None] * a * slope(Z)).T @ X / (len(y) if rows is None else rows)


class OneActivation:
    """A plain trainer in the dtype of its input; tests replace `update`."""

    activations = ("log-cosh",)
    losses = ("squared",)
    dtypes = ("float64", "float32")

    def update(self, W, a, b, X, y, eta, beta):
        return W - eta * (gradient(W, a, b, X, y) + beta * W)

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        return self.update(W, a, b, X, y, eta, beta).astype(W.dtype)


def trainer(update, **attributes):
    return type("Broken", (OneActivation,), {"update": staticmethod(update), **attributes})


def verdict_of(source, claim) -> Verdict:
    with Session(source, profile=UNHURRIED, claims=[claim]) as session:
        return session.verdict(load_claims()[claim])


def without_the_tail(X, y, size=512):
    kept = max(len(y) // size, 1) * size
    return X[:kept], y[:kept]


def half_precision(*arrays):
    return [array.astype(np.float16).astype(array.dtype) for array in arrays]


def unit(W):
    return W / np.linalg.norm(W, axis=1, keepdims=True)


def truncated(W):
    """The upper 16 bits of float32: bfloat16."""
    bits = W.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


#: `update` of `OneActivation`: (W, a, b, X, y, η, β) → W.
Update = Callable[..., FloatArray]
G: Update = gradient
RULES: dict[str, Update] = {
    "weight decay missing":
        lambda W, a, b, X, y, eta, beta: W - eta * G(W, a, b, X, y),
    "weight decay of the wrong sign":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y) - beta * W),
    "weight decay applied twice":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y) + 2 * beta * W),
    "weight decay not multiplied by the rate":
        lambda W, a, b, X, y, eta, beta: W - eta * G(W, a, b, X, y) - beta * W,
    "weight decay applied after the gradient step":
        lambda W, a, b, X, y, eta, beta: (1 - eta * beta) * (W - eta * G(W, a, b, X, y)),
    "weight decay 3 times as strong":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y) + 3 * beta * W),
    "gradient of the wrong sign":
        lambda W, a, b, X, y, eta, beta: W - eta * (-G(W, a, b, X, y) + beta * W),
    "gradient summed over the samples":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y, rows=1) + beta * W),
    "gradient averaged over the m neurons":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y, rows=len(a)) + beta * W),
    "gradient divided by n − 1":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y, rows=len(y) - 1) + beta * W),
    "gradient 1.01 times as long":
        lambda W, a, b, X, y, eta, beta: W - eta * (1.01 * G(W, a, b, X, y) + beta * W),
    "learning rate 0.75 times as large":
        lambda W, a, b, X, y, eta, beta: W - 0.75 * eta * (G(W, a, b, X, y) + beta * W),
    "loss with a factor 2":
        lambda W, a, b, X, y, eta, beta: W - eta * (2 * G(W, a, b, X, y) + beta * W),
    "labels of the wrong sign":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, -y) + beta * W),
    "labels one row late":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, np.roll(y, 1)) + beta * W),
    "labels centred by their mean":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y - y.mean()) + beta * W),
    "network output f left out of the residual":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, y, output=0) + beta * W),
    "biases ignored":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, 0 * b, X, y) + beta * W),
    "derivative of the activation pseudo-huber":
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(W, a, b, X, y, slope=lambda z: z / np.sqrt(1 + z * z)) + beta * W),
    "a partial block of 512":
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(W, a, b, *without_the_tail(X, y)) + beta * W),
    "but counted in n":
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(W, a, b, *without_the_tail(X, y),
                         rows=len(y) if len(y) > 512 else None) + beta * W),
    "only the first half of the rows used":
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(W, a, b, X[: len(y) // 2], y[: len(y) // 2]) + beta * W),
    "weights brought to length 1 after the step":
        lambda W, a, b, X, y, eta, beta: unit(W - eta * (G(W, a, b, X, y) + beta * W)),
    "X rounded to float16":
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, *half_precision(X), y) + beta * W),
    "all arrays but the weights' own copy rounded to float16":
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(*half_precision(W, a, b, X, y)) + beta * W),
    "every weight rounded to bfloat16":
        lambda W, a, b, X, y, eta, beta: truncated(W - eta * (G(W, a, b, X, y) + beta * W)),
    "weights not updated": lambda W, a, b, X, y, eta, beta: W,
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_known_wrong_rule_is_named(rule: str) -> None:
    verdict = verdict_of(trainer(RULES[rule]), "gradient-step")
    assert verdict.status is Status.FAILED
    found = verdict.evidence.to_json()["behaves_like"]
    assert rule in found["rule"]
    assert found["misfit_envelopes"] <= 1
    assert found["deviation_envelopes"] >= 8
    assert f"behaves like: {found['rule']}" in verdict.message


def test_the_control_passes_and_every_step_of_it_is_right() -> None:
    assert verdict_of(OneActivation, "gradient-step").status is Status.PASSED
    record = RecordedTrainer(InProcessTrainer(OneActivation))
    record.fresh(0)
    rng = np.random.default_rng(0)
    arrays = network(rng)
    for _ in range(3):
        arrays["W"] = np.asarray(record.call("step", arrays, OPTIONS))
    assert len(record.calls) == 3
    assert localise(record.calls) is None


@pytest.mark.parametrize(
    "update",
    [
        lambda W, a, b, X, y, eta, beta:
            W - eta * (G(W, a, b, X, y) + beta * W) + 0.01 * np.sin(3 * W),
        lambda W, a, b, X, y, eta, beta: W - eta * (np.cbrt(G(W, a, b, X, y)) + beta * W),
        lambda W, a, b, X, y, eta, beta: W - eta * (G(W, a, b, X, np.sqrt(abs(y))) + beta * W),
    ],
)  # fmt: skip
def test_what_no_rule_explains_has_no_name(update: Update) -> None:
    verdict = verdict_of(trainer(update), "gradient-step")
    assert verdict.status is Status.FAILED
    assert verdict.evidence.to_json()["behaves_like"]["rule"] is None
    assert "behaves like" not in verdict.message
    assert "no known rule fits" in verdict.message
    assert "step 1 is the first beyond rounding" in verdict.message


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_random_deviations_of_any_size_match_nothing(dtype: str) -> None:
    """A false match needs all entries within rounding of a rule: never by chance."""
    rng = np.random.default_rng(1)
    for size in 10.0 ** np.arange(-12, 2):
        arrays = {key: v.astype(dtype).astype(float) for key, v in network(rng).items()}
        right = exact_step(**arrays, **OPTIONS)
        got = (right + size * rng.standard_normal(right.shape)).astype(dtype).astype(float)
        found = match([Step(**arrays, **OPTIONS, got=got, dtype=dtype)])
        assert found is None or not found.matches


def test_rules_that_these_arrays_cannot_distinguish_are_all_named() -> None:
    """Without output weights' feedback, labels and gradient change sign together."""
    arrays = network(np.random.default_rng(2))
    arrays |= {"W": np.concatenate([arrays["W"], arrays["W"]]), "b": np.zeros(6)}
    arrays["a"] = np.concatenate([arrays["a"], -arrays["a"]])  # f ≡ 0
    got = exact_step(**{**arrays, "y": -arrays["y"]}, **OPTIONS)
    found = match([Step(**arrays, **OPTIONS, got=got, dtype="float64")])
    assert found is not None
    assert {"labels of the wrong sign", "gradient of the wrong sign"} <= set(
        found.rule.split(" or ")
    )


# -- steps and neurons -------------------------------------------------------------------------

OPTIONS: Options = {"eta": 0.7, "beta": 0.2, "activation": "log-cosh", "loss": "squared"}


def network(rng, n=40, d=5, m=3):
    return {
        "W": rng.standard_normal((m, d)),
        "a": rng.standard_normal(m),
        "b": rng.standard_normal(m),
        "X": rng.standard_normal((n, d)),
        "y": rng.standard_normal(n),
    }


def steps_of(weights, arrays):
    """Calls of `step` that return these weights one after another."""
    rest = {key: arrays[key] for key in "abXy"}
    return [
        Call("step", {"W": before, **rest}, OPTIONS, after) for before, after in pairwise(weights)
    ]


def features_of(weights, arrays):
    given = {"W0": weights[0], **{key: arrays[key] for key in "abXy"}}
    return [Call("trajectory", given, {"steps": len(weights) - 1, **OPTIONS}, np.array(weights))]


def trajectory(arrays, step, steps=6):
    weights = [arrays["W"]]
    for _ in range(steps):
        weights.append(step(weights))
    return weights


def right_step(arrays, W):
    return exact_step(**{**arrays, "W": W}, **OPTIONS)


@pytest.mark.parametrize("calls_of", [steps_of, features_of])
def test_momentum_shows_at_the_second_step(calls_of: Callable[..., list[Call]]) -> None:
    arrays = network(np.random.default_rng(3))

    def step(weights):
        W = right_step(arrays, weights[-1])
        return W if len(weights) == 1 else W + 0.05 * (weights[-1] - weights[-2])

    found = localise(calls_of(trajectory(arrays, step), arrays))
    assert found is not None
    assert found.step == 2
    assert found.behaves_like is not None
    assert found.behaves_like.rule == "momentum 0.05"
    assert found.behaves_like.steps == found.behaves_like.tried == 4


def test_a_gradient_one_step_old() -> None:
    arrays = network(np.random.default_rng(4))

    def step(weights):
        W, old = weights[-1], weights[-2] if len(weights) > 1 else weights[-1]
        gradient_there = (old - right_step(arrays, old)) / OPTIONS["eta"] - OPTIONS["beta"] * old
        return W - OPTIONS["eta"] * (gradient_there + OPTIONS["beta"] * W)

    found = localise(steps_of(trajectory(arrays, step), arrays))
    assert found is not None
    assert found.behaves_like is not None
    assert found.behaves_like.rule == "gradient at the weights of the step before"


@pytest.mark.parametrize("calls_of", [steps_of, features_of])
def test_step_neuron_and_relative_error_are_those_of_the_fault(
    calls_of: Callable[..., list[Call]],
) -> None:
    arrays = network(np.random.default_rng(5))

    def step(weights):
        W = right_step(arrays, weights[-1])
        if len(weights) >= 4:
            W[1] = weights[-1][1]
        return W

    weights = trajectory(arrays, step)
    found = localise(calls_of(weights, arrays))
    assert found is not None
    assert (found.step, found.neuron, found.neurons, found.of) == (4, 1, 1, 3)
    right = right_step(arrays, weights[3])[1, found.coordinate]
    error = abs(weights[4][1, found.coordinate] - right)
    assert found.error == error
    assert found.relative == error / abs(right)
    assert found.ratio == error / found.allowed > 1e6
    record = found.to_json()
    assert (record["tensor"], record["index"]) == ("W_4", [1, found.coordinate])
    assert record["n"] == 40
    assert str(found) == (
        f"step 4 is the first beyond rounding: neuron 1, coordinate {found.coordinate} by "
        f"{found.ratio:.3g} envelopes of rounding (relative error {found.relative:.2g}), "
        "neuron 1 of 3; behaves like: neurons not updated (neuron 1)"
    )


def test_a_rule_that_holds_for_some_steps_says_so() -> None:
    arrays = network(np.random.default_rng(6))

    def step(weights):
        rate = 0.5 if len(weights) == 2 else 1.0
        return exact_step(
            **{**arrays, "W": weights[-1]}, **{**OPTIONS, "eta": rate * OPTIONS["eta"]}
        )

    found = localise(features_of(trajectory(arrays, step), arrays))
    assert found is not None
    assert str(found).endswith("behaves like: learning rate 0.5 times as large, at 1 of 4 steps")


def test_a_right_step_ends_no_rule_but_one_about_the_whole_trajectory() -> None:
    """At its second step half the rate is the mean of two iterates as well: it does not go on."""
    arrays = network(np.random.default_rng(11))

    def averaged(weights):
        return (weights[-1] + right_step(arrays, weights[-1])) / 2

    once = trajectory(arrays, lambda w: right_step(arrays, w[-1]), steps=1)
    (call,) = features_of([*once, averaged(once)], arrays)
    found = localise([call])
    assert found is not None
    assert found.behaves_like is not None
    assert "mean of the last two iterates returned" in found.behaves_like.rule
    longer = [*once, averaged(once)]
    longer.append(right_step(arrays, longer[-1]))
    found = localise(features_of(longer, arrays))
    assert found is not None
    assert found.behaves_like is not None
    assert found.behaves_like.rule == "learning rate 0.5 times as large"


def test_rules_that_a_later_wrong_step_contradicts_are_dropped() -> None:
    arrays = network(np.random.default_rng(12))
    steps = iter([1.0, 1.0, 1.0])

    def step(weights):
        W = exact_step(**{**arrays, "W": weights[-1]}, **{**OPTIONS, "beta": 0.0})
        return W if len(weights) == 1 else W + next(steps)

    found = localise(features_of(trajectory(arrays, step, steps=3), arrays))
    assert found is not None
    assert str(found).endswith("; no known rule fits")


def test_the_call_that_passed_decides_between_rules_that_fit() -> None:
    """A gradient cut to length 1 has length 1; where it was shorter it was left alone."""
    arrays = network(np.random.default_rng(13))
    small = arrays | {"y": 1e-3 * arrays["y"], "a": 1e-3 * arrays["a"]}

    def cut(given, weights):
        W = weights[-1]
        step = (W - right_step(given, W)) / OPTIONS["eta"] - OPTIONS["beta"] * W
        step /= max(1.0, float(np.linalg.norm(step)))
        return W - OPTIONS["eta"] * (step + OPTIONS["beta"] * W)

    arrays["y"] *= 100
    failed = features_of(trajectory(arrays, lambda w: cut(arrays, w), steps=1), arrays)
    (passed,) = features_of(trajectory(small, lambda w: cut(small, w), steps=1), small)
    both = localise(failed)
    assert both is not None
    assert both.behaves_like is not None
    rules = [each.rule for each in both.behaves_like.named]
    assert rules == ["gradient brought to length 1", "gradient cut to norm {}"]
    one = localise(failed, passed)
    assert one is not None
    assert one.behaves_like is not None
    assert one.behaves_like.rule == "gradient cut to norm 1"


def test_other_weights_than_those_handed_over() -> None:
    arrays = network(np.random.default_rng(7))
    calls = features_of(trajectory(arrays, lambda w: right_step(arrays, w[-1])), arrays)
    assert calls[0].result is not None
    calls[0].result[0, 2, 1] += 1e-9
    found = localise(calls)
    assert found is not None
    assert (found.step, found.neuron, found.coordinate) == (0, 2, 1)
    assert "not those handed over" in str(found)


def test_what_the_oracle_does_not_know_is_skipped() -> None:
    arrays = network(np.random.default_rng(8))
    (call,) = features_of([arrays["W"], 2 * arrays["W"]], arrays)
    assert localise([call]) is not None
    assert localise([replace(call, options={**call.options, "activation": "sine"})]) is None
    assert localise([Call("fit", {"X": arrays["X"], "y": arrays["y"]}, {}, None)]) is None
    huge = replace(call, result=np.full((2, 3, 5), 1e300))
    found = localise([huge])
    assert found is not None
    assert found.step == 0


# -- in verdicts -------------------------------------------------------------------------------


class OneStepOnly(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        weights = super().trajectory(*args, **options)
        weights[2:] = weights[1]
        return weights


@pytest.mark.parametrize("claim", ["span-recovery", "trajectory", "power-iteration"])
def test_every_kind_of_claim_names_the_step(claim: str) -> None:
    verdict = verdict_of(OneStepOnly, claim)
    assert verdict.status is Status.FAILED
    assert verdict.evidence.to_json()["first_divergence"]["step"] == 2
    assert verdict.evidence.to_json()["behaves_like"]["rule"] == "weights not updated"


def test_calls_are_kept_since_the_last_comparison_that_passed() -> None:
    record = RecordedTrainer(InProcessTrainer(numpy_trainer))
    record.begin()
    record.fresh(3)
    arrays = network(np.random.default_rng(9))
    first = record.call("step", arrays, OPTIONS)
    record.mark_passed()
    assert len(record.calls) == 1  # the comparison of the next step may still need it
    assert record.passed is None
    arrays["y"][0] = 5.0  # which claims may do
    record.call("step", arrays, OPTIONS)
    record.call("step", arrays, OPTIONS)
    assert [call.arrays["y"][0] for call in record.calls] == [5.0, 5.0]
    assert record.passed is not None
    assert record.passed.result is not None
    assert np.array_equal(record.passed.result, first)
    kept, arrays["y"][0] = record.calls[0], 6.0
    assert kept.arrays["y"][0] == 5.0
    assert kept.result is not None
    assert not np.array_equal(kept.result, first)
    record.fresh(4)
    assert record.calls == []
    assert record.seeds == [3, 4]
