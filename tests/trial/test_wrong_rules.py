"""Every known wrong rule: a trainer that follows it is told so, and told nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.localisation import Divergence, localise
from mimverify.trial.diagnosis.seen import CAUSE_NAMES
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.oracle import Options, exact_step
from mimverify.trial.trainer.calls import Call

OPTIONS: Options = {"eta": 0.7, "beta": 0.2, "activation": "log-cosh", "loss": "squared"}
STEPS = 4

#: From arrays and options to the weights of all steps, `(STEPS + 1, m, d)`.
Trainer = Callable[[dict[str, Float64Array], Options], Float64Array]


def arrays_of(
    seed: int = 0, n: int = 23, d: int = 7, m: int = 5, scale: int = 1
) -> dict[str, Float64Array]:
    rng = np.random.default_rng(seed)
    shapes = {"W": (m, d), "a": (m,), "b": (m,), "X": (n, d), "y": (n,)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    changes = {"W": arrays["W"] / np.sqrt(d), "a": 2 * arrays["a"] / m, "X": scale * arrays["X"]}
    return arrays | changes


def diagnosis(
    weights: FloatArray, arrays: Mapping[str, FloatArray], options: Options
) -> Divergence:
    given = {"W0": arrays["W"], **{key: arrays[key] for key in "abXy"}}
    call = Call("trajectory", given, {"steps": len(weights) - 1, **options}, weights)
    found = localise([call])
    assert found is not None
    return found


def named(found: Divergence) -> list[str]:
    assert found.behaves_like is not None, found
    return [each.rule for each in found.behaves_like.named]


# -- trainers in Torch, each with a common mistake -------------------------------------------------

SIGMA = {
    "log-cosh": lambda z: torch.log(torch.cosh(z)),
    "gelu": functional.gelu,
    "softplus": functional.softplus,
}


def mean_square(f, y):
    return ((f - y) ** 2).mean() / 2


def torch_trainer(
    *, sigma=None, loss=mean_square, optimiser=None, trained="W", zero=True, after=None,
    rows=lambda t, n: slice(None), in_place=False,
) -> Trainer:  # fmt: skip
    """Autograd and an optimiser, SGD with the decay in it by default."""

    def train(arrays, options):
        tensors = {name: torch.tensor(value) for name, value in arrays.items()}
        W, a, b, X, y = (tensors[name] for name in ("W", "a", "b", "X", "y"))
        parameters = [tensors[name].requires_grad_() for name in trained]
        # Decay is asked for on W alone.
        groups = [
            {"params": [p], "weight_decay": options["beta"] if p is W else 0.0} for p in parameters
        ]
        optimise = (optimiser or torch.optim.SGD)(groups, lr=options["eta"])
        activate = sigma or SIGMA[options["activation"]]
        weights = [W.detach() if in_place else W.detach().clone()]
        for t in range(STEPS):
            if zero:
                optimise.zero_grad()
            kept = rows(t, len(y))
            loss(activate(X[kept] @ W.T + b) @ a, y[kept]).backward()
            if after is not None:
                after(W)
            optimise.step()
            weights.append(W.detach() if in_place else W.detach().clone())
        return np.array([w.numpy() for w in weights])

    return train


def sign_gradient(W):
    W.grad.sign_()


def frozen_odd_neuron(W):
    """Neurons in pairs; the decay of SGD is undone as well."""
    W.grad[-1] = -0.2 * W.detach()[-1]


def blocks_of(size):
    """The mean of the means of blocks."""

    def loss(f, y):
        parts = zip(f.split(size), y.split(size), strict=True)
        return torch.stack([mean_square(*part) for part in parts]).mean()

    return loss


def broadcast(f, y):
    return ((f[:, None] - y) ** 2).mean() / 2


TORCH: dict[str, tuple[Trainer, dict[str, int], Options]] = {
    "every output compared with every label, (n, 1) with (n,)":
        (torch_trainer(loss=broadcast), {}, {}),
    "every output compared with every label, (n,) with (n, 1)":
        (torch_trainer(loss=lambda f, y: len(y) * broadcast(f, y)), {}, {}),
    "gradient summed over the samples instead of averaged":
        (torch_trainer(loss=lambda f, y: len(y) * mean_square(f, y)), {}, {}),
    "gradients accumulated from step to step": (torch_trainer(zero=False), {}, {}),
    "output weights trained along with the first layer": (torch_trainer(trained="Wa"), {}, {}),
    "biases trained along with the weights": (torch_trainer(trained="Wb"), {}, {}),
    "biases and output weights trained along with the weights":
        (torch_trainer(trained="Wab"), {}, {}),
    "mean of the means of blocks, of which the last is smaller":
        (torch_trainer(loss=blocks_of(7)), {}, {}),
    "sign of the gradient in its place": (torch_trainer(after=sign_gradient), {}, {}),
    "neurons not updated": (torch_trainer(after=frozen_odd_neuron), {}, {}),
    "GELU by its tanh approximation":
        (torch_trainer(sigma=lambda z: functional.gelu(z, approximate="tanh")), {},
         {"activation": "gelu"}),
    "Torch's softplus, linear above 20":
        (torch_trainer(), {"scale": 12}, {"activation": "softplus", "eta": 1e-3}),
    "Adam in place of gradient descent": (torch_trainer(optimiser=torch.optim.Adam), {}, {}),
    "AdamW in place of gradient descent": (torch_trainer(optimiser=torch.optim.AdamW), {}, {}),
    "Nesterov's momentum":
        (torch_trainer(optimiser=lambda p, lr: torch.optim.SGD(p, lr, 0.9, nesterov=True)), {}, {}),
    "momentum {}": (torch_trainer(optimiser=lambda p, lr: torch.optim.SGD(p, lr, 0.3)), {}, {}),
    "gradient cut to norm {}":
        (torch_trainer(after=lambda W: torch.nn.utils.clip_grad_norm_([W], 0.1)), {}, {}),
    "entries of the gradient cut at {}":
        (torch_trainer(after=lambda W: torch.nn.utils.clip_grad_value_([W], 0.1)), {}, {}),
    "all returned weights are the last ones: one buffer, updated in place":
        (torch_trainer(in_place=True), {}, {}),
    "rows divided among the steps":
        (torch_trainer(rows=lambda t, n: np.array_split(np.arange(n), 3)[t % 3] if t else
                       slice(None)), {}, {}),
    "huber": (torch_trainer(loss=lambda f, y: functional.huber_loss(f, y, delta=1.345)), {},
              {"loss": "huber"}),
    "smooth L1 loss in place of the Huber loss":
        (torch_trainer(loss=lambda f, y: functional.smooth_l1_loss(f, y, beta=0.5)), {},
         {"loss": "huber"}),
}  # fmt: skip
TORCH["Huber loss that becomes linear {}"] = TORCH.pop("huber")


@pytest.mark.parametrize("rule", TORCH)
def test_a_common_mistake_in_torch_is_named_and_nothing_else(rule: str) -> None:
    train, sizes, options = TORCH[rule]
    arrays = arrays_of(**{"seed": 3, **sizes})
    weights = train(arrays, OPTIONS | options)
    assert named(diagnosis(weights, arrays, OPTIONS | options)) == [rule]


def test_the_torch_trainer_is_right_without_a_mistake() -> None:
    arrays = arrays_of(3)
    given = {"W0": arrays["W"], **{key: arrays[key] for key in "abXy"}}
    weights = torch_trainer()(arrays, OPTIONS)
    assert localise([Call("trajectory", given, {"steps": STEPS, **OPTIONS}, weights)]) is None


def test_the_remedy_for_torchs_softplus_is_named() -> None:
    train, sizes, options = TORCH["Torch's softplus, linear above 20"]
    arrays = arrays_of(**{"seed": 3, **sizes})
    found = diagnosis(train(arrays, OPTIONS | options), arrays, OPTIONS | options)
    assert str(found).endswith("softplus(z, threshold=40): at 20 it errs by 2e-9")
    assert "float32" not in str(found)


# -- trainers in NumPy --------------------------------------------------------------------------


def parts(W, arrays):
    """f, the residual and the gradient's other factor ∂f/∂P, of log-cosh neurons."""
    P = arrays["X"] @ W.T + arrays["b"]
    f = np.log(np.cosh(P)) @ arrays["a"]
    return f, f - arrays["y"], np.tanh(P) * arrays["a"]


def numpy_trainer(step) -> Trainer:
    """`step` gives the gradient from all weights so far."""

    def train(arrays, options):
        weights = [arrays["W"]]
        for _ in range(STEPS):
            G = step(weights, arrays)
            weights.append(weights[-1] - options["eta"] * (G + options["beta"] * weights[-1]))
        return np.array(weights)

    return train


def old_residual(weights, arrays):
    _, _, back = parts(weights[-1], arrays)
    _, residual, _ = parts(weights[max(len(weights) - 2, 0)], arrays)
    return (residual[:, None] * back).T @ arrays["X"] / len(residual)


def with_other_rows(change):
    def step(weights, arrays):
        X, y = change(arrays["X"], arrays["y"])
        _, residual, back = parts(weights[-1], arrays | {"X": X, "y": y})
        return (residual[:, None] * back).T @ X / len(y)

    return step


def shuffled(X, y):
    return X[np.random.default_rng(0).permutation(len(y))], y


def drawn(X, y):
    rows = np.random.default_rng(1).integers(len(y), size=len(y))
    return X[rows], y[rows]


def without_partial_block(size):
    return lambda X, y: (X[: len(y) // size * size], y[: len(y) // size * size])


def mean_of_blocks(size):
    def step(weights, arrays):
        n = len(arrays["y"])
        blocks = [slice(k, k + size) for k in range(0, n, size)]
        each = [
            with_other_rows(lambda X, y, rows=rows: (X[rows], y[rows]))(weights, arrays)
            for rows in blocks
        ]
        return np.mean(each, axis=0)

    return step


def first_neurons_alone(weights, arrays):
    _, _, back = parts(weights[-1], arrays)
    P = arrays["X"] @ weights[-1].T + arrays["b"]
    f = np.log(np.cosh(P[:, :-1])) @ arrays["a"][:-1]
    return ((f - arrays["y"])[:, None] * back).T @ arrays["X"] / len(f)


def gradient_of(weights, arrays):
    _, residual, back = parts(weights[-1], arrays)
    return (residual[:, None] * back).T @ arrays["X"] / len(residual)


def without_gradient(*entries):
    def step(weights, arrays):
        G = gradient_of(weights, arrays)
        G[entries] = 0
        return G

    return step


def without_columns(*columns) -> Trainer:
    """Columns are removed, and the weights put back without them."""

    def train(arrays, options):
        weights = [arrays["W"]]
        for _ in range(STEPS):
            G = gradient_of(weights, arrays)
            W = weights[-1] - options["eta"] * (G + options["beta"] * weights[-1])
            W[:, columns] = 0
            weights.append(W)
        return np.array(weights)

    return train


def later_rows_weigh_more(weights, arrays):
    _, residual, back = parts(weights[-1], arrays)
    ramp = np.linspace(0.9, 1.1, len(residual))
    return ((ramp * residual)[:, None] * back).T @ arrays["X"] / len(residual)


NUMPY: dict[str, tuple[Trainer, dict[str, int], str]] = {
    "residual of the step before": (numpy_trainer(old_residual), {}, ""),
    "rows and labels paired wrongly": (numpy_trainer(with_other_rows(shuffled)), {}, "labels"),
    "rows drawn, each counted 0, 1 or several times":
        (numpy_trainer(with_other_rows(drawn)), {}, "of 23 rows used, some of them again"),
    "neurons left out of the output": (numpy_trainer(first_neurons_alone), {}, "the last"),
    "neurons without their gradient":
        (numpy_trainer(without_gradient(slice(3, None))), {}, "neurons 3–4 of 5"),
    "coordinates without their gradient":
        (numpy_trainer(without_gradient(slice(None), slice(5, None))), {}, "coordinates 5–6 of 7"),
    "weights of coordinates set to zero": (without_columns(2), {}, "coordinate 2 of 7"),
    "rows weighed by their place, linearly from {}":
        (numpy_trainer(later_rows_weigh_more), {}, "linearly from 0.9 to 1.1"),
    **{
        f"last rows dropped, {size}": (
            numpy_trainer(with_other_rows(without_partial_block(size))), {"n": 2 * size + 57},
            f" or {size}" if size == 1024 else f"57 rows, or a partial block of {size}",
        )
        for size in (1000, 1024, 4096, 61)
    },
    **{
        f"mean of the means of blocks, of which the last is smaller, {size}": (
            numpy_trainer(mean_of_blocks(size)), {"n": 2 * size + 57}, f"blocks of {size}"
        )
        for size in (1000, 1024, 4096, 61)
    },
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPY)
def test_a_common_mistake_is_named_with_its_details(name: str) -> None:
    train, sizes, details = NUMPY[name]
    arrays = arrays_of(**{"seed": 4, **sizes})
    found = diagnosis(train(arrays, OPTIONS), arrays, OPTIONS)
    size = name.rpartition(", ")[2]
    rule = name.removesuffix(f", {size}") if size.isdigit() else name
    assert named(found) == [rule]
    if size == "61":  # no usual size: the number of rows alone is told
        details = details.partition(",")[0]
    assert details in str(found)


def test_two_constants_prove_nothing_in_two_dimensions() -> None:
    """Any weights of the rows give a gradient that some linear ones give too."""
    arrays = arrays_of(4, 23, 8, 1)
    rng = np.random.default_rng(0)
    arrays["X"] = 0.2 * rng.standard_normal((23, 2)) @ rng.standard_normal((2, 8))
    ramp = rng.uniform(0.5, 1.5, 23)

    def any_weights(weights, arrays):
        _, residual, back = parts(weights[-1], arrays)
        return ((ramp * residual)[:, None] * back).T @ arrays["X"] / len(residual)

    assert named(diagnosis(numpy_trainer(any_weights)(arrays, OPTIONS), arrays, OPTIONS)) == []


def ten_bits(values, nearest):
    """To the ten bits of TF32."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    bits = bits + np.uint32(0x1000) * nearest
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_tensor_cores_are_told_apart_from_float16(nearest: bool, everywhere: bool) -> None:
    """Ten bits with the exponents of float32, in the operands of the products."""
    arrays = {k: v.astype(np.float32) for k, v in arrays_of(5, 16, 4, 3).items()}
    X, W, eta = arrays["X"], arrays["W"], np.float32(OPTIONS["eta"] * 2.0**-40)
    X *= np.float32(2.0**20)  # beyond the numbers of float16, and below its normal ones
    W *= np.float32(2.0**-20)
    P = ten_bits(X, nearest) @ ten_bits(W, nearest).T + arrays["b"]
    residual = np.log(np.cosh(P)) @ arrays["a"] - arrays["y"]
    R = residual[:, None] * np.tanh(P) * arrays["a"]
    if everywhere:
        G = ten_bits(R, nearest).T @ ten_bits(X, nearest) / np.float32(len(X))
    else:
        G = R.T @ X / np.float32(len(X))
    options = OPTIONS | {"eta": float(eta), "beta": 0.0}
    found = diagnosis(np.array([W, W - eta * G]), arrays, options)
    operands = "operands of all matrix products" if everywhere else "operands of X Wᵀ"
    assert named(found) == [f"{operands} rounded to {{}}"]
    assert ("TF32, truncated" in str(found)) is not nearest
    assert "TF32" in str(found)


# -- every rule against every other ------------------------------------------------------------

#: Sizes, options and changes of the arrays with which rules apply that need something special.
SETTINGS: tuple[tuple[dict[str, int], Options, Callable[..., dict[str, Float64Array]]], ...] = (
    ({}, {}, lambda X, y, **rest: rest | {"X": X, "y": y}),
    ({}, {"beta": 0.0}, lambda **arrays: arrays),
    ({}, {"beta": 2.5}, lambda **arrays: arrays),
    ({}, {"loss": "huber"}, lambda y, **rest: rest | {"y": 4 * y}),
    ({"m": 7}, {}, lambda **arrays: arrays),
    ({"m": 9}, {}, lambda **arrays: arrays),
    ({"scale": 12}, {"eta": 1e-3}, lambda y, a, **rest: rest | {"y": 150 * y, "a": 9 * a}),
    ({"scale": 12}, {"eta": 1e-3, "activation": "gelu"}, lambda **arrays: arrays),
    ({"scale": 12}, {"eta": 1e-3, "activation": "softplus"}, lambda **arrays: arrays),
    ({"n": 24}, {}, lambda X, y, **rest: rest | {"X": np.r_[X[:9], X[:9], X[18:]], "y": y}),
    ({"n": 300}, {}, lambda **arrays: arrays),
    ({"m": 300}, {}, lambda **arrays: arrays),
    ({"m": 6}, {}, lambda **arrays: arrays),
    ({"n": 7}, {}, lambda **arrays: arrays),  # = d
    ({"n": 5}, {}, lambda **arrays: arrays),  # = m
    ({}, {}, lambda y, **rest: rest | {"y": np.sign(y)}),
    ({}, {}, lambda y, **rest: rest | {"y": 0.02 * y}),
    ({}, {}, lambda y, **rest: rest | {"y": y * (np.arange(len(y)) % 3 > 0)}),
    ({}, {}, lambda X, **rest: rest | {"X": X * (np.arange(len(X)) % 3 > 0)[:, None]}),
)
#: Rules that read what the trainer returned: the tables above have trainers for them.
READ = {
    "last rows dropped", "last rows dropped, but counted in n", "first rows dropped",
    "first rows dropped, but counted in n", "rows and labels paired wrongly",
    "mean of the means of blocks, of which the last is smaller", "neurons not updated",
    "coordinates not updated", "rows drawn, each counted 0, 1 or several times",
    "every weight rounded to {}", "gradient rounded to {}", "float32 arithmetic",
    "data of an earlier call used in place of those given",
    "neurons without their gradient", "coordinates without their gradient",
    "weights of coordinates set to zero",
}  # fmt: skip
#: Rules about calls before, or how arguments lie in memory: tests/trial/test_layout_rules.py.
CIRCUMSTANCES = {
    "inputs of an earlier call used in place of those given", "{} read as if contiguous in C order",
    "new weights written as if contiguous in C order",
    "biases scaled with the output weights in the same memory {}",
}  # fmt: skip
#: Rules that are the same: every loss here is even, ψ(−f − y) (−a) = ψ(f + y) a.
SAME = {"labels of the wrong sign", "output weights of the wrong sign"}


def following(rule: str, dtype: str) -> tuple[FloatArray, dict[str, FloatArray], Options] | None:
    """A trajectory that follows the rule, where it applies and leads away from the right one."""
    for sizes, changes, change in SETTINGS:
        options = OPTIONS | changes
        given = change(**arrays_of(**{"seed": 6, **sizes}))
        arrays = {name: value.astype(dtype) for name, value in given.items()}
        exact = {name: value.astype(np.float64) for name, value in arrays.items()}
        history, detail, deviates = [exact["W"]], None, False
        for _ in range(STEPS):
            fields: dict[str, Any] = {**exact, **options, "W": history[-1], "dtype": dtype}
            unknown = np.full_like(exact["W"], np.nan)
            step = Step(**fields, got=unknown, history=tuple(history[:-1]))
            predictions = {each.detail: each for each in RULES[rule].predict(step)}
            if detail is None and predictions:
                detail = next(iter(predictions))
            chosen = predictions.get(detail) if detail is not None else None
            W = step.right if chosen is None else chosen.weights()
            deviates |= bool((np.abs(W - step.right) > 10 * step.envelope).any())
            history.append(W.astype(dtype).astype(np.float64))
        if deviates and np.isfinite(history).all():
            return np.array(history, dtype=dtype), arrays, options
    return None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "rule",
    [name for name, rule in RULES.items() if not rule.fitted and name not in READ | CIRCUMSTANCES],
)
def test_a_trainer_that_follows_a_rule_is_told_that_rule_alone(rule: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        found = following(rule, dtype)
    if dtype == "float32" and (found is None or diagnosis(*found).behaves_like is None):
        return  # too near to the right one to identify
    assert found is not None, "no setting in which the rule applies"
    assert set(named(diagnosis(*found))) == (SAME if rule in SAME else {rule})


def test_every_rule_that_reads_the_result_has_a_trainer() -> None:
    assert set(RULES) >= READ | CIRCUMSTANCES
    assert len(set(CAUSE_NAMES)) == len(CAUSE_NAMES)


#: Which array is changed before each step, and how, as no rule describes it.
OTHERS: dict[str, tuple[str, Callable[[np.random.Generator, Float64Array], Float64Array]]] = {
    "noise in W": ("W", lambda rng, W: W + 1e-3 * rng.standard_normal(W.shape)),
    "noise in y": ("y", lambda rng, y: y + 0.1 * rng.standard_normal(y.shape)),
    "inputs left out": ("X", lambda rng, X: X * (rng.random(X.shape) > 0.05)),
    "any output weights": ("a", lambda rng, a: a * rng.uniform(0.5, 1.5, a.shape)),
    "any scales of rows": ("X", lambda rng, X: X * rng.uniform(0.9, 1.1, (len(X), 1))),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_mistake_that_no_rule_describes_is_told_none(other: str) -> None:
    (name, changed), rng, compared = OTHERS[other], np.random.default_rng(1), 0
    for sizes, changes, change in SETTINGS:
        options = OPTIONS | changes
        arrays = change(**arrays_of(**{"seed": 8, **sizes}))
        weights = [arrays["W"]]
        with np.errstate(all="ignore"):
            for _ in range(2):
                given = arrays | {"W": weights[-1]}
                wrong: Options = {**given, **options, name: changed(rng, given[name])}
                weights.append(exact_step(**wrong))
            found = diagnosis(np.array(weights), arrays, options)
        compared += found.behaves_like is not None
        assert found.behaves_like is None or named(found) == []
    assert compared >= len(SETTINGS) / 2
