"""Tests of `mimverify.problems.inputs`: laws, their streams, and who has to know of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom, chisquare, norm, t

import mimverify
from mimverify import ExperimentConfig, InputError, InputLaw, MultiIndexModel, run_experiment
from mimverify.designs.rows import ModelRows
from mimverify.measure import baseline_predictors, reduce_model
from mimverify.problems import MatrixRows, get_inputs, input_names
from mimverify.problems.inputs import laws
from mimverify.problems.streams import BLOCK_ROWS, Stream, row_blocks
from mimverify.statistics import null_overlap_cdf, uniformity_test
from mimverify.support.arrays import NumpyArray
from mimverify.support.threads import thread_limit

RNG = np.random.default_rng(5)
MATRIX = RNG.standard_normal((40, 70)) @ RNG.standard_normal((70, 70)) + 3
LAWS: list[str] = [name for name in input_names() if name != "rows"]
LEVEL = 1e-7


def law_of(name: str) -> InputLaw:
    return MatrixRows(MATRIX) if name == "rows" else get_inputs(name)


@pytest.fixture(params=[*LAWS, "rows"])
def law(request: pytest.FixtureRequest) -> InputLaw:
    return law_of(request.param)


# -- streams -----------------------------------------------------------------------------------


def test_gaussian_inputs_are_the_generators_normals() -> None:
    model = MultiIndexModel("he2", 70, seed=4)
    expected = Stream(4, 0, 1).block(2).standard_normal((30, 70))
    np.testing.assert_array_equal(model.block(2, 30, purpose="stage2").X, expected)
    named = MultiIndexModel("he2", 70, seed=4, inputs="Gaussian", subspace="Haar")
    np.testing.assert_array_equal(named.sample(9).X, model.sample(9).X)
    np.testing.assert_array_equal(named.subspace, model.subspace)


def test_blocks_parts_dtypes_and_passes_give_the_same_numbers(
    law: InputLaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored, alone, in part, streamed, in float32, as a prefix, by one thread or several."""
    monkeypatch.setattr(mimverify.problems.model, "CHUNK_ENTRIES", 70 * 37)  # several a block
    model = MultiIndexModel("he2-mix", 70, noise=0.2, seed=1, inputs=law)
    n = 2 * BLOCK_ROWS + 100
    stored = model.sample(n, purpose="stage2", seed=3)
    for index, rows in reversed(list(enumerate(row_blocks(n)))):
        block = model.block(index, rows.stop - rows.start, purpose="stage2", seed=3)
        np.testing.assert_array_equal(block.X, stored.X[rows])
        np.testing.assert_array_equal(block.y, stored.y[rows])
    part = np.empty((100, 70))
    model.fill_block(part, 1, skip=700, purpose="stage2", seed=3)
    np.testing.assert_array_equal(part, stored.X[BLOCK_ROWS + 700 :][:100])
    streamed = np.empty((900, 70))
    ModelRows(model, n, purpose="stage2", seed=3).begin(300)(slice(300, 1200), streamed)
    np.testing.assert_array_equal(streamed, stored.X[300:1200])
    narrow = model.sample(n, purpose="stage2", seed=3, dtype="float32")
    np.testing.assert_array_equal(narrow.X, stored.X.astype(np.float32))
    with thread_limit(1):
        np.testing.assert_array_equal(model.sample(77, purpose="stage2", seed=3).X, stored.X[:77])
    assert not np.array_equal(model.sample(77, seed=3).X, stored.X[:77])


@pytest.mark.parametrize("dim", [1, 2, 63, 64, 65, 129])
def test_rows_come_one_after_the_other_in_any_dimension(dim: int) -> None:
    for name in LAWS:
        whole = np.empty((12, dim))
        get_inputs(name).fill(Stream(0, 1).block(0), whole)
        generator = Stream(0, 1).block(0)
        for rows in (slice(0, 1), slice(1, 8), slice(8, 12)):
            part = np.empty((rows.stop - rows.start, dim))
            get_inputs(name).fill(generator, part)
            np.testing.assert_array_equal(part, whole[rows], err_msg=name)
        assert np.isfinite(whole).all()
        assert len(np.unique(whole, axis=0)) > 1


# -- laws --------------------------------------------------------------------------------------


def rows_of(name: str, dim: int = 6, n: int = 4000) -> NumpyArray:
    return MultiIndexModel("he2", dim, seed=3, inputs=name).sample(n).X


def test_every_file_of_laws_is_tested_here() -> None:
    tested = {
        "ar", "gaussian", "gaussian-mixture", "rademacher", "sphere", "student-t", "uniform",
    }  # fmt: skip
    assert set(LAWS) == tested
    assert laws.__doc__


@pytest.mark.parametrize("name", ["uniform", "student-t:3", "student-t:5", "gaussian-mixture"])
def test_entries_have_their_law(name: str) -> None:
    """Exact Kolmogorov–Smirnov tests of 24,000 entries, and of both normals of a rotated pair."""
    X = rows_of(name)

    def mixture(x: NumpyArray) -> NumpyArray:
        s = 1 / np.sqrt(0.9 + 0.1 * 9)
        return 0.9 * norm.cdf(x / s) + 0.1 * norm.cdf(x / (3 * s))

    cdf: dict[str, Any] = {
        "uniform": lambda x: x / np.sqrt(12) + 0.5,
        "student-t:3": lambda x: t(3).cdf(x * np.sqrt(3)),
        "student-t:5": lambda x: t(5).cdf(x * np.sqrt(5 / 3)),
        "gaussian-mixture": mixture,
    }
    assert not uniformity_test(cdf[name](X.ravel()), alpha=LEVEL).rejected


@pytest.mark.parametrize("name", [*(n for n in LAWS if n != "ar"), "student-t:5"])
def test_inputs_are_standardised_and_uncorrelated(name: str) -> None:
    """E x = 0 and E x xᵀ = I, by sums of n i.i.d. terms whose variances are estimated: |z| < 6."""
    assert get_inputs(name).isotropic
    X = rows_of(name, dim=5, n=40_000)
    products = np.concatenate([X, (X[:, :, None] * X[:, None, :]).reshape(len(X), -1)], axis=1)
    expected = np.concatenate([np.zeros(5), np.eye(5).ravel()])
    error = products.std(axis=0) / np.sqrt(len(X))
    z = (products.mean(axis=0) - expected) / np.maximum(error, 1e-12)
    assert np.abs(z).max() < 6


def test_signs_are_fair_and_independent() -> None:
    X = rows_of("rademacher", dim=65)
    assert set(np.unique(X)) == {-1.0, 1.0}
    pairs = np.stack([X, X * np.roll(X, 1, axis=1)])  # of neighbours, across words too
    positive = (pairs > 0).sum(axis=1)
    low, high = (q(1e-9, len(X), 0.5) for q in (binom.ppf, binom.isf))
    assert (low <= positive).all()
    assert (positive <= high).all()


def test_the_sphere_has_its_radius_and_no_direction() -> None:
    X = rows_of("sphere", dim=7)
    np.testing.assert_allclose((X**2).sum(axis=1), 7, rtol=1e-14)
    e = np.ones(7) / np.sqrt(7)
    overlaps = (X @ e) ** 2 / 7
    assert not uniformity_test(null_overlap_cdf(overlaps, rank=1, dim=7), alpha=LEVEL).rejected


@pytest.mark.parametrize("rho", [0.6, -0.9])
def test_autoregression_has_independent_innovations(rho: float) -> None:
    X = rows_of(f"ar:{rho}", dim=7)
    innovations = (X[:, 1:] - rho * X[:, :-1]) / np.sqrt(1 - rho**2)
    assert not uniformity_test(ndtr(innovations.ravel()), alpha=LEVEL).rejected
    assert not uniformity_test(ndtr(X[:, 0]), alpha=LEVEL).rejected
    # Of independent normals the sum of neighbours, over √2, is normal too.
    both = (innovations[:, 1::2] + innovations[:, ::2]) / np.sqrt(2)
    assert not uniformity_test(ndtr(both.ravel()), alpha=LEVEL).rejected
    assert not get_inputs(f"ar:{rho}").isotropic


def test_rows_are_drawn_from_the_standardised_matrix() -> None:
    law = MatrixRows(MATRIX)
    standardised = (MATRIX - MATRIX.mean(axis=0)) / MATRIX.std(axis=0)
    np.testing.assert_allclose(law.matrix, standardised, rtol=1e-12, atol=1e-12)
    X = MultiIndexModel("he2", 70, inputs=law).sample(4000).X
    which = np.array([int(np.argmin(np.abs(law.matrix - x).sum(axis=1))) for x in X])
    np.testing.assert_array_equal(X, law.matrix[which])
    assert chisquare(np.bincount(which, minlength=40)).pvalue > LEVEL


# -- specifications ----------------------------------------------------------------------------


def test_specifications_give_the_law_back(law: InputLaw) -> None:
    if not isinstance(law, MatrixRows):
        assert get_inputs(law.name) == law
        assert get_inputs(law.name.upper().replace("-", "_")) is get_inputs(law.name)
    assert get_inputs(law) is law
    assert law.name in repr(law)


def test_parameters_may_be_named() -> None:
    assert get_inputs("student-t:df=7").name == "student-t:7"
    assert get_inputs("gaussian-mixture:0.2,ratio=4").name == "gaussian-mixture:0.2,4"
    assert get_inputs("ar:0.1") != get_inputs("ar:0.2")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("rademaher", "did you mean 'rademacher'"),
        ("studnt-t:5", "did you mean 'student-t'.*module:attribute"),
        ("student-t:2", "df=2: .*no variance"),
        ("student-t:inf", "df=inf: expected a finite"),
        ("student-t:1,2", "takes df=…"),
        ("student-t:nu=3", "takes df=…"),
        ("student-t:5,df=5", "takes df=…"),
        ("student-t:five", "parameter 'five': expected a number"),
        ("uniform:2", "takes no parameters"),
        ("ar:1", "rho=1: expected a correlation"),
        ("ar:nan", "rho=nan"),
        ("gaussian-mixture:1.5", "weight=1.5: expected a probability"),
        ("gaussian-mixture:0.5,0", "ratio=0"),
        ("gaussian-mixture:0.5,1e9", "ratio=1e.09: expected at most"),
        ("rows", "expected the path"),
        ("rows:no-such-file.npy", "no-such-file.npy: cannot be read"),
        ("no_such_module:law", "there is no module 'no_such_module'"),
        ("math:pi", "expected an InputLaw or a function"),
        (MATRIX, "rows of a matrix are MatrixRows"),
        (None, "inputs=None"),
    ],
)
def test_wrong_inputs_are_refused(inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MultiIndexModel("he2", 70, inputs=inputs)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, 2.0]], "has 1 row"),
        ([[1.0, np.nan], [2.0, 3.0]], r"\[0, 1\]=nan"),
        ([[1.0, 0.1], [2.0, 0.1], [5.0, 0.1]], "column 1 has the standard deviation"),
        ([[1.0, 1e200], [2.0, -1e200]], "column 1 has the standard deviation inf"),
        ([["a", "b"]], "expected real numbers"),
    ],
)
def test_unusable_matrices_are_refused(matrix: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MatrixRows(matrix)


def test_a_matrix_of_another_width_is_refused() -> None:
    with pytest.raises(InputError, match="dim=8: the matrix of the inputs has 70 columns"):
        MultiIndexModel("he2", 8, inputs=MatrixRows(MATRIX))


def test_rows_of_a_file_are_known_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("features.npy", MATRIX)
    law = get_inputs("rows:features.npy")
    assert re.fullmatch(r"rows:features\.npy#[0-9a-f]{16}", law.name)
    assert get_inputs(law.name) == law
    assert MatrixRows(MATRIX).name == "rows:#" + law.name[-16:]
    np.save("features.npy", MATRIX + 1e-9)
    with pytest.raises(InputError, match="another content"):
        get_inputs(law.name)
    assert get_inputs("rows:features.npy") != law


# -- the user's own ----------------------------------------------------------------------------


class Laplace(InputLaw):
    name = "laplace"
    isotropic = independent = True

    def fill(self, generator: np.random.Generator, out: NumpyArray) -> None:
        out[...] = generator.laplace(scale=np.sqrt(0.5), size=out.shape)


class ColumnByColumn(Laplace):
    def fill(self, generator: np.random.Generator, out: NumpyArray) -> None:
        out[...] = generator.standard_normal(out.shape[::-1]).T


class OfItsOwn(Laplace):
    def fill(self, generator: np.random.Generator, out: NumpyArray) -> None:
        out[...] = np.random.default_rng().standard_normal(out.shape)


class Unfinished(Laplace):
    def fill(self, generator: np.random.Generator, out: NumpyArray) -> None:
        generator.standard_normal(out=out[:1])


class Raises(Laplace):
    def fill(self, generator: np.random.Generator, out: NumpyArray) -> None:
        raise ZeroDivisionError("no scale")


def test_a_users_law_is_used_as_it_is() -> None:
    model = MultiIndexModel("he2", 5, inputs=Laplace(), seed=2)
    expected = Stream(2, 0, 0).block(0).laplace(scale=np.sqrt(0.5), size=(7, 5))
    np.testing.assert_array_equal(model.sample(7).X, expected)
    assert "inputs='laplace'" in repr(model)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (ColumnByColumn(), "draw row after row"),
        (OfItsOwn(), "from the generator only"),
        (Unfinished(), "is nan: expected finite"),
        (Raises(), "raised ZeroDivisionError"),
    ],
)
def test_laws_that_cannot_be_reproduced_are_refused(own: InputLaw, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MultiIndexModel("he2", 5, inputs=own)


def test_laws_are_imported_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_inputs.py").write_text(
        "from mimverify import InputLaw\n"
        "class Halves(InputLaw):\n"
        "    name = 'halves'\n"
        "    isotropic = independent = True\n"
        "    moments = 6.0\n"
        "    def fill(self, generator, out):\n"
        "        generator.standard_normal(out=out)\n"
        "instance = Halves()\n"
        "class Wrong(Halves):\n"
        "    excess_kurtosis = 'large'\n"
        "def function(generator, out):\n"
        "    generator.random(out=out)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    for attribute in ("Halves", "instance"):
        law = get_inputs(f"own_inputs:{attribute}")
        assert (law.name, law.isotropic, law.moments) == (f"own_inputs:{attribute}", True, 6.0)
    with pytest.raises(InputError, match="own_inputs:Wrong: excess_kurtosis='large'"):
        get_inputs("own_inputs:Wrong")
    law = get_inputs("own_inputs:function")
    assert not law.isotropic  # a function promises nothing
    X = MultiIndexModel("he2", 3, inputs=law).sample(50).X
    assert X.min() >= 0
    assert X.max() < 1


# -- directions --------------------------------------------------------------------------------


def test_axes_are_distinct_and_of_the_seed() -> None:
    seen = set()
    for seed in range(40):
        U = MultiIndexModel("tanh3", 6, subspace="axes", seed=seed).subspace
        np.testing.assert_array_equal(U @ U.T, np.eye(3))
        assert set(np.unique(U)) == {0.0, 1.0}
        seen.add(tuple(U.argmax(axis=1)))
    assert len(seen) > 20
    with pytest.raises(InputError, match="subspace='axis': expected one of haar, axes"):
        MultiIndexModel("he2", 4, subspace="axis")
    with pytest.raises(InputError, match="rank=2: expected at most dim=1"):
        MultiIndexModel("z1z2", 1, subspace="axes")


def test_a_sign_has_a_constant_cosine() -> None:
    model = MultiIndexModel("cos2z", 16, inputs="rademacher", subspace="axes")
    np.testing.assert_allclose(model.sample(50).y, np.cos(2), rtol=1e-12)


# -- who has to know ---------------------------------------------------------------------------


def small(**changes: Any) -> ExperimentConfig:
    options: dict[str, Any] = {
        "dim": 16, "samples": 300, "steps": 2, "neurons": 8, "readout_neurons": 16,
        "test_samples": 500, "threads": 1,
    }  # fmt: skip
    return ExperimentConfig("he2", **options | changes)


def test_experiments_run_with_any_inputs_stored_or_streamed() -> None:
    for inputs in (*map(get_inputs, LAWS), MatrixRows(MATRIX[:, :16])):
        results = []
        for design in ("stored", "streamed"):
            record = run_experiment(small(inputs=inputs, design=design)).to_json()
            configuration = record.pop("configuration")
            del record["seconds"], record["phases"]
            results.append(record)
        assert results[0] == results[1]
        assert configuration["inputs"] == inputs.name
        assert None not in results[0]["baselines"].values()
        json.dumps(configuration, allow_nan=False)


def test_configurations_come_back_from_json() -> None:
    config = small(inputs="student-t", subspace="axes")
    again = ExperimentConfig(**json.loads(json.dumps(config.resolved().to_json())))
    assert again.resolved() == config.resolved()
    assert again.inputs == "student-t:5"


def test_other_inputs_do_not_resume_a_run(tmp_path: Path) -> None:
    path = str(tmp_path / "run.npz")
    run_experiment(small(inputs="uniform", checkpoint=path, steps=1))
    with pytest.raises(InputError, match=r"inputs='sphere': .* had 'uniform'"):
        run_experiment(small(inputs="sphere", checkpoint=path, resume=True))
    with pytest.raises(InputError, match=r"subspace='axes': .* had 'haar'"):
        run_experiment(small(inputs="uniform", subspace="axes", checkpoint=path, resume=True))
    assert run_experiment(small(inputs="uniform", checkpoint=path, resume=True)).steps == 2


def test_what_needs_gaussian_inputs_says_so() -> None:
    with pytest.raises(InputError, match="design='lazy': only of a Gaussian matrix"):
        run_experiment(small(inputs="uniform", design="lazy"))
    model = MultiIndexModel("he2", 16, inputs="uniform")
    with pytest.raises(InputError, match="only Gaussian inputs can be reduced"):
        reduce_model(model, np.eye(16)[:3])


def test_the_oracle_reads_out_hidden_features_of_any_inputs() -> None:
    """He2 of a sum of 16 signs is learned by the readout on the true direction."""
    model = MultiIndexModel("he2", 16, inputs="rademacher")
    predict = baseline_predictors(model, model.sample(4000))["oracle_subspace"]
    test = model.sample(2000, purpose="test")
    assert np.mean((np.asarray(predict(test.X)) - test.y) ** 2) < 0.05 * np.var(test.y)
