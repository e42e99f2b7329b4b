"""The estimator: scikit-learn's own checks, its tools, and what it learns."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from mimverify import (
    InputError,
    LayerwiseTrainer,
    MultiIndexModel,
    alignment,
    default_samples,
    span_recovery,
)

pytest.importorskip("sklearn", reason="scikit-learn is optional")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mimverify.sklearn import PREPROCESSING, SPLITS, LayerwiseRegressor

DIM = 24


@parametrize_with_checks([LayerwiseRegressor()])
def test_it_keeps_the_rules_of_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def model() -> MultiIndexModel:
    return MultiIndexModel("he2-mix", DIM, seed=3)


@pytest.fixture(scope="module")
def rows(model: MultiIndexModel):
    """Inputs and labels `(n, d)`, `(n,)`."""
    data = model.sample(4 * default_samples(DIM))
    return data.X, data.y


def plain(**params) -> LayerwiseRegressor:
    return LayerwiseRegressor(**{"neurons": 16, "readout_neurons": 64, "random_state": 5, **params})


def test_without_its_options_it_is_the_trainer(rows) -> None:
    """Bit for bit, first layer and predictions."""
    X, y = rows
    ours = LayerwiseRegressor(
        preprocess="none", scale_labels=False, split="ordered", remove_linear_part=False,
        random_state=7,
    ).fit(X, y)  # fmt: skip
    trainer = LayerwiseTrainer(random_state=7).fit(X, y)
    np.testing.assert_array_equal(ours.first_layer_, trainer.first_layer_)
    np.testing.assert_array_equal(ours.predict(X[:50]), trainer.predict(X[:50]))
    assert ours.steps_ == trainer.steps_


def test_every_parameter_of_the_trainer_is_one_of_the_estimator() -> None:
    """With its default, but for the two that the data decide; a start is of one dimension."""
    ours, trainers = LayerwiseRegressor().get_params(), LayerwiseTrainer().get_params()
    assert trainers.keys() - ours.keys() == {"start"}
    changed = {name for name in trainers.keys() & ours.keys() if ours[name] != trainers[name]}
    assert changed == {"remove_linear_part", "random_state"}
    given = {"neurons": 8, "activation": "pseudo-huber", "loss": "log-cosh", "steps": 3}
    X = np.random.default_rng(0).standard_normal((60, 4))
    fitted = LayerwiseRegressor(random_state=0).set_params(**given).fit(X, X[:, 0] ** 2)
    assert given.items() <= fitted.trainer_.get_params().items()


@pytest.mark.parametrize("split", SPLITS)
def test_it_learns_the_subspace_of_inputs_in_any_units(model, rows, split: str) -> None:
    """Inputs x = A z + shift: labels read U A⁻¹ (x − shift)."""
    Z, y = rows
    rng = np.random.default_rng(1)
    A = np.diag(10.0 ** rng.uniform(-3, 3, DIM)) @ (
        np.eye(DIM) + 0.3 * rng.standard_normal((DIM, DIM))
    )
    X, labels = Z @ A.T + 5.0, 1e3 * y - 2e4
    fitted = LayerwiseRegressor(
        preprocess="whiten", split=split, n_components=2, random_state=0
    ).fit(X, labels)
    np.testing.assert_allclose(
        fitted.feature_subspace_ @ fitted.feature_subspace_.T, np.eye(2), atol=1e-12
    )
    # In the coordinates z, where scales do not decide what is near.
    assert span_recovery(fitted.feature_subspace_ @ A, model.subspace) > 0.8
    W = fitted.first_layer_[: fitted.neurons]  # without the linear part
    assert alignment(W @ A, model.subspace) > 0.7
    assert fitted.components_.shape == (2, DIM)
    test = model.sample(2000, purpose="test")
    assert fitted.score(test.X @ A.T + 5.0, 1e3 * test.y - 2e4) > 0.6


def test_transform_is_what_the_components_say(rows) -> None:
    X, y = rows
    fitted = plain(n_components=3).fit(X, y)
    centred = X - fitted.scaling_.mean
    np.testing.assert_allclose(fitted.transform(X), centred @ fitted.components_.T)
    assert np.linalg.matrix_rank(np.vstack([fitted.components_, fitted.feature_subspace_])) == 3
    shares = fitted.gradient_shares_
    assert 0 < shares.sum() <= 1
    assert (np.diff(shares) <= 0).all()


def test_the_number_of_components(rows) -> None:
    X, y = rows
    everything = plain(n_components=None).fit(X, y)
    assert everything.components_.shape == (DIM, DIM)
    shares = np.cumsum(everything.gradient_shares_)
    assert shares[-1] == pytest.approx(1)
    for share in (0.3, 0.8):
        found = len(plain(n_components=share).fit(X, y).components_)
        assert found == int(np.argmax(shares >= share)) + 1
    assert len(plain(n_components=1.0).fit(X, y).components_) <= DIM
    for wrong in (0, DIM + 1, -0.5, 1.5, "two", True):
        with pytest.raises(InputError, match="n_components="):
            plain(n_components=wrong).fit(X, y)


def test_predictions_vary_along_the_components_alone(rows) -> None:
    """With all directions of gradients, what is orthogonal to the first layer changes nothing."""
    X, y = rows
    fitted = plain(neurons=4, remove_linear_part=False).fit(X, y)
    W = fitted.first_layer_
    assert np.linalg.matrix_rank(W) == 2  # pairs
    along = X - X @ np.linalg.pinv(W) @ W
    np.testing.assert_allclose(fitted.predict(X + along), fitted.predict(X), atol=1e-8)


@pytest.mark.parametrize("preprocess", PREPROCESSING)
def test_the_inputs_map_is_that_of_the_rows_of_stage_1(rows, preprocess: str) -> None:
    X, y = rows
    half = len(y) // 2
    other = X.copy()
    other[half:] *= 3
    one, two = (
        plain(preprocess=preprocess, split="ordered").fit(inputs, y) for inputs in (X, other)
    )
    np.testing.assert_array_equal(one.first_layer_, two.first_layer_)
    Z = one.scaling_.of(X[:half])
    if preprocess != "none":
        np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(Z.std(axis=0), 1)
    if preprocess == "whiten":
        np.testing.assert_allclose(Z.T @ Z / half, np.eye(DIM), atol=1e-10)


def test_columns_that_are_constant_or_repeated_do_no_harm(rows) -> None:
    X, y = rows
    wide = np.hstack([X, X[:, :3], 1e9 + np.zeros((len(X), 1))])
    for preprocess in ("standardise", "whiten"):
        fitted = plain(preprocess=preprocess, n_components=2).fit(wide, y)
        assert np.isfinite(fitted.predict(wide)).all()
        np.testing.assert_array_equal(fitted.components_[:, -1], 0)
    assert fitted.trainer_.n_features_in_ == DIM


def test_fewer_rows_than_inputs_are_enough_to_fit() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 50))
    y = X[:, 0] ** 2
    for preprocess in PREPROCESSING:
        fitted = plain(preprocess=preprocess).fit(X, y)
        assert np.isfinite(fitted.predict(X)).all()
        assert 1 <= fitted.steps_ <= 8


@pytest.mark.parametrize("split", SPLITS)
def test_rows_of_the_stages(rows, split: str) -> None:
    X, y = rows
    fitted = plain(split=split, stage1_fraction=0.25).fit(X, y)
    counts = fitted.trainer_.operation_counts()
    assert counts["design_passes"] > 0
    again = plain(split=split, stage1_fraction=0.25).fit(X, y)
    np.testing.assert_array_equal(fitted.predict(X), again.predict(X))


def test_a_rare_label_reaches_stage_1() -> None:
    X = np.random.default_rng(0).standard_normal((40, 3))
    y = np.zeros(40)
    y[17] = 1.0
    for seed in range(8):
        plain(random_state=seed).fit(X, y)
    with pytest.raises(InputError, match="all 10 labels of stage 1 are 0"):
        plain(split="ordered", stage1_fraction=0.25).fit(X, y)


def test_random_state_is_that_of_scikit_learn(rows) -> None:
    X, y = rows

    def predicted(state) -> np.ndarray:
        return plain(random_state=state).fit(X, y).predict(X[:20])

    np.testing.assert_array_equal(predicted(3), predicted(3))
    assert (predicted(3) != predicted(4)).any()
    assert (predicted(None) != predicted(None)).any()
    state = np.random.RandomState(0)
    first, second = predicted(state), predicted(state)
    assert (first != second).any()
    np.testing.assert_array_equal(first, predicted(np.random.RandomState(0)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_dtypes(rows, dtype: str) -> None:
    X, y = rows
    fitted = plain().fit(X.astype(dtype), y.astype(dtype))
    assert fitted.trainer_.first_layer_.dtype == fitted.transform(X.astype(dtype)).dtype == dtype
    np.testing.assert_allclose(
        fitted.predict(X.astype(dtype)), plain().fit(X, y).predict(X), atol=1e-2
    )


def test_pipelines_searches_and_cross_validation(rows) -> None:
    X, y = (part[:400] for part in rows)
    pipeline = make_pipeline(StandardScaler(), plain(preprocess="none"))
    assert np.isfinite(cross_val_score(pipeline, X, y, cv=3)).all()
    search = GridSearchCV(plain(), {"preprocess": list(PREPROCESSING), "ridge": [1e-3, 1e-1]}, cv=2)
    search.fit(X, y)
    assert search.best_estimator_.preprocess in PREPROCESSING
    # As a step in front of another regressor.
    chain = make_pipeline(plain(n_components=2), plain(preprocess="none"))
    assert chain.fit(X, y).predict(X).shape == (400,)
    assert chain[-1].n_features_in_ == 2


def test_copies(rows) -> None:
    X, y = rows
    fitted = plain().fit(X, y)
    same = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(same.predict(X), fitted.predict(X))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    assert not hasattr(fresh, "first_layer_")


def test_data_frames(rows) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    X, y = rows
    names = [f"column {k}" for k in range(DIM)]
    table = pandas.DataFrame(X, columns=names)
    fitted = plain(n_components=2).set_output(transform="pandas").fit(table, pandas.Series(y))
    assert list(fitted.feature_names_in_) == names
    out = fitted.transform(table)
    assert list(out.columns) == ["layerwiseregressor0", "layerwiseregressor1"]
    assert out.index.equals(table.index)
    np.testing.assert_array_equal(fitted.predict(table), plain(n_components=2).fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[names[::-1]])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"preprocess": "whitten"}, "preprocess='whitten'.*did you mean 'whiten'"),
        ({"split": "halves"}, "split='halves'"),
        ({"stage1_fraction": 0.0}, "stage1_fraction=0"),
        ({"stage1_fraction": 1.0}, "split='reuse'"),
        ({"remove_linear_part": "yes"}, "remove_linear_part='yes'"),
        ({"loss": "hubris"}, "loss='hubris'"),
        ({"backend": "cupy"}, "backend='cupy'"),
        ({"neurons": 3}, "neurons=3"),
        ({"eta": 0.1}, "schedule='constant'"),
    ],
)
def test_wrong_parameters_are_named(params, message: str) -> None:
    X = np.random.default_rng(0).standard_normal((60, 4))
    with pytest.raises(InputError, match=message):
        LayerwiseRegressor(**params).fit(X, X[:, 0])


def test_constant_labels_are_refused() -> None:
    with pytest.raises(InputError, match="y is constant"):
        plain().fit(np.random.default_rng(0).standard_normal((60, 4)), np.ones(60))


def test_l1_has_no_linear_part_removed() -> None:
    X = np.random.default_rng(0).standard_normal((80, 4))
    y = X[:, 0] ** 2 + X[:, 1]
    assert plain(loss="l1").fit(X, y).trainer_.linear_part_ is None
    assert plain().fit(X, y).trainer_.linear_part_ is not None
    assert plain().fit(X[:15], y[:15]).trainer_.linear_part_ is None  # too few rows


def test_without_scikit_learn_the_extra_is_named() -> None:
    program = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'sklearn':\n"
        "            raise ModuleNotFoundError(name)\n"
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'sklearn' else found(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import mimverify\n"
        "mimverify.numpy_trainer()\n"
        "try:\n"
        "    mimverify.sklearn\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "pip install 'mimverify[sklearn]'" in run.stdout
