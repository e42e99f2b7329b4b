"""Verdicts, components and files of the diagnosis."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mimverify
from mimverify.cli.verbs.diagnose import diagnose as command
from mimverify.given_data import diagnose, diagnose_files
from mimverify.given_data.advice import advise
from mimverify.given_data.whitening import whiten
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError


def example(kind: str, n: int = 600, d: int = 6) -> tuple[Float64Array, Float64Array]:
    generator = np.random.default_rng(11)
    X = generator.normal(size=(n, d))
    noise = 0.3 * generator.normal(size=n)
    y = {
        "quadratic": X[:, 0] ** 2 - X[:, 1] ** 2 + noise,
        "linear": X[:, 0] + noise,
        "exactly linear": X[:, 0] + 3,
        "none": noise,
    }[kind]
    return X, y


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("quadratic", "shown"),
        ("linear", "only linear"),
        ("exactly linear", "only linear"),
        ("none", "nothing shown"),
    ],
)
def test_verdicts(kind: str, verdict: str) -> None:
    found = diagnose(*example(kind), permutations=39, threads=1)
    assert found.verdict == verdict
    assert found.sentence.startswith("Yes" if found.shown else "No")
    assert (found.advice is not None) == found.shown
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["verdict"] == verdict
    assert found.sentence.split(":")[0] in found._repr_html_()


def test_an_affine_map_of_all_inputs_changes_nothing() -> None:
    """All components are kept, so that whitening undoes the map; and labels have no unit."""
    X, y = example("quadratic")
    matrix = np.random.default_rng(2).normal(size=(6, 6))
    one = diagnose(X, y, components=6, permutations=19, threads=1).independent
    two = diagnose(
        X @ matrix * 1e150 + 1e150, 1e-200 * y + 1e-199, components=6, permutations=19, threads=1
    ).independent
    assert one.p_value == two.p_value
    np.testing.assert_allclose(one.eigenvalues["huber"], two.eigenvalues["huber"], atol=1e-6)


def test_advice_of_two_strong_directions() -> None:
    X, y = example("quadratic", n=4000)
    found = diagnose(X, y, losses=["squared"], permutations=39, threads=1)
    test, advice = found.beyond_linear, found.advice
    assert test is not None
    assert advice is not None
    assert len(test.outliers) == 2  # one of either sign: a bound of one direction
    assert test.directions == 1
    # y = z1² − z2² + noise: E[y (z² − 1)] = ±2, of deviation √4.09.
    assert advice.strengths == pytest.approx([2 / np.sqrt(4.09)] * 2, abs=0.12)
    assert advice.steps is not None
    assert 2 <= advice.steps <= 4
    assert advice.samples < 4000
    assert advise(diagnose(*example("none"), permutations=19, threads=1).independent) is None


def test_default_components_leave_out_what_one_row_dominates() -> None:
    generator = np.random.default_rng(5)
    X = generator.normal(size=(400, 5)) * [5, 4, 3, 2, 1]
    X[:, 4] = 0
    X[7, 4] = 1.0  # one row alone
    whitened = whiten(X)
    assert (whitened.rank, whitened.components) == (5, 4)
    np.testing.assert_allclose(whitened.Z.T @ whitened.Z / 400, np.eye(4), atol=1e-10)
    found = diagnose(X, generator.normal(size=400), permutations=19, threads=1)
    assert any("1 of 5 principal components" in line for line in found.missing)


def test_what_is_missing_is_said() -> None:
    X, y = example("none", n=40)
    X = np.column_stack([X, np.ones(40)])
    y[0] = 1e6
    lines = " ".join(diagnose(X, y, components=6, permutations=19, threads=1).missing)
    for words in (
        "Few samples",
        "heavy tails",
        "1 columns of X are constant",
        "Nothing stands out",
    ):
        assert words in lines, (words, lines)
    two = diagnose(X, np.sign(X[:, 0]), permutations=19, threads=1)
    assert two.left_out == {
        "huber": "has the T of squared on these labels",
        "l1": "has the T of squared on these labels",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": 7}, "components=7: X has 6"),
        ({"components": 0}, "components=0: expected an integer of at least 1"),
        ({"permutations": 18}, "permutations=18: .*expected at least 19"),
        ({"alpha": 0.001}, "permutations=199: .*expected at least 999"),
        ({"alpha": 1.0}, "alpha=1: expected a probability"),
        ({"losses": []}, "losses"),
        ({"losses": ["huber", "Huber"]}, "there twice"),
        ({"losses": ["hubr"]}, "did you mean 'huber'"),
        ({"threads": 0}, "threads=0"),
        ({"standardise": 1}, "standardise=1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_arguments(changes: dict[str, object], message: str) -> None:
    X, y = example("none")
    with pytest.raises(InputError, match=message):
        diagnose(X, y, **changes)  # type: ignore[arg-type]


def test_wrong_data() -> None:
    X, y = example("none")
    broken = X.copy()
    broken[3, 2] = np.nan
    for inputs, labels, message in (
        (broken, y, r"X\[3, 2\]=nan"),
        (X, y[:-1], "y has shape"),
        (X, np.ones(len(X)), "y is constant"),
        (np.ones_like(X), y, "every column is constant"),
        (X[:9], y[:9], "X has 9 rows"),
    ):
        with pytest.raises(InputError, match=message):
            diagnose(inputs, labels)


# -- files -------------------------------------------------------------------------------------


def write_csv(path: Path, X: Float64Array, y: Float64Array, *, names: bool, sep: str = ",") -> None:
    lines = [sep.join([*(f'"x {k}"' for k in range(X.shape[1])), "y"])] if names else []
    lines += [
        sep.join(map(repr, map(float, [*row, label]))) for row, label in zip(X, y, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_files_of_every_kind_give_the_same(tmp_path: Path) -> None:
    X, y = example("quadratic", n=200)
    expected = diagnose(X, y, permutations=19, threads=1).independent.to_json()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    write_csv(tmp_path / "named.csv", X, y, names=True)
    write_csv(tmp_path / "bare.csv", X, y, names=False, sep=";")
    (tmp_path / "y.csv").write_text("\n".join(map(repr, map(float, y))))
    np.savetxt(tmp_path / "X.csv", X, delimiter=",", fmt="%.17g")
    pairs: list[tuple[str, str | Path]] = [
        ("X.npy", tmp_path / "y.npy"), ("named.csv", "y"), ("bare.csv", "6"),
        ("X.csv", tmp_path / "y.csv"), ("X.csv", tmp_path / "y.npy"),
    ]  # fmt: skip
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        pass
    else:
        columns = {f"x{k}": X[:, k] for k in range(6)} | {"y": y}
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
        pairs.append(("t.parquet", "y"))
    for inputs, labels in pairs:
        found = diagnose_files(tmp_path / inputs, labels, permutations=19, threads=1)
        assert found.independent.to_json() == expected, inputs


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("", "y", "first line is empty"),
        ("a,y\n", "y", "has no rows"),
        ("a,y\n1,2\n1,x\n", "y", "could not convert string 'x'.*row 1, column 2"),
        ("a,y\n1,2\n1\n", "y", "number of columns changed"),
        ("a,y\n1,2\n", "z", "Y='z': .*has the columns a, y"),
        ("a,y\n1,nan\n3,4\n", "y", r"y\[0\]=nan: expected finite"),
        ("a,a\n1,2\n", "a", "are there twice"),
        ("y\n1\n2\n", "y", "no column but the labels"),
        ("a,b,y\n1,2\n", "y", "3 names, the rows have 2"),
        ("a,y\n1,1e999\n", "y", "expected finite"),
    ],
)
def test_wrong_csv(tmp_path: Path, text: str, labels: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    result = CliRunner().invoke(command, [str(path), labels])
    assert isinstance(result.exception, InputError)
    assert re.search(message, str(result.exception)), result.exception


def test_the_command(tmp_path: Path) -> None:
    X, y = example("quadratic", n=200)
    write_csv(tmp_path / "t.csv", X, y, names=True)
    write_csv(tmp_path / "none.csv", *example("none", n=200), names=True)
    arguments = ["--permutations", "19", "--threads", "1"]
    page, record, figure = (tmp_path / name for name in ("d.html", "d.json", "d.svg"))
    result = CliRunner().invoke(
        command,
        [str(tmp_path / "t.csv"), "y", *arguments, "--json", str(record), "--html", str(page)],
        standalone_mode=False,
    )
    assert result.return_value == 0, result.output
    assert "Yes: at least" in result.output
    data = json.loads(record.read_text())
    assert data["verdict"] == "shown"
    html = page.read_text()
    assert data["sentence"].replace("'", "&#39;") in html
    for pointer, shown in re.findall(r'data-json="(/[^"]+)">([^<]+)<', html):
        value = data
        for key in pointer.strip("/").split("/"):
            value = value[int(key)] if isinstance(value, list) else value[key]
        assert float(shown) == pytest.approx(value, rel=6e-3), pointer
    none = CliRunner().invoke(
        command, [str(tmp_path / "none.csv"), "y", *arguments], standalone_mode=False
    )
    assert none.return_value == 3
    assert "No: nothing stands out" in none.output
    pytest.importorskip("matplotlib")
    drawn = [str(tmp_path / "t.csv"), "y", *arguments, "--figure", str(figure), "--quiet"]
    assert CliRunner().invoke(command, drawn, standalone_mode=False).output == ""
    assert "<svg" in figure.read_text()


def test_it_is_public() -> None:
    assert mimverify.diagnose is diagnose


def test_a_misspelt_argument_is_refused_before_files_are_read() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'componets'"):
        diagnose_files("no_such_file.csv", "y", componets=3)  # type: ignore[call-arg]
