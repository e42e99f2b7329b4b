"""Tests of `mimverify inspect`, `predict` and `compare`: output, JSON, exit codes, wrong input."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from console_script import Command, command
from few_nodes import few_nodes
from mimverify import LayerwiseTrainer
from mimverify.network import LOSSES
from mimverify.theory import reached_thresholds, trajectory_of

UserModule = Callable[[str], str]


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `mimverify …` in this process, as the console script does."""
    return command(capsys)


@pytest.fixture
def coarsely() -> Iterator[None]:
    """For tests of what a command says: links of several features take many nodes."""
    with few_nodes():
        yield


def strict(text: str) -> Any:
    """JSON without NaN or Infinity."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


# -- inspect -----------------------------------------------------------------------------------


def test_inspect_prints_the_assumptions_and_every_loss(run: Any) -> None:
    result = run("inspect", "cos2z", "--loss", "huber")
    assert result.code == 0, result.err
    for word in (
        "generic",
        "holds",
        "α_c",
        "α_GD",
        "α_IT",
        "α_alg",
        "gap",
        "pseudo-huber",
        "Best built-in loss",
    ):
        assert word in result.out
    assert "broken" not in result.out
    assert "Negative control" not in result.out


@pytest.mark.usefixtures("coarsely")
def test_inspect_tells_the_paper_s_assumptions_from_extensions(run: Any) -> None:
    out = run("inspect", "z1z2", "--loss", "l1").out
    paper, extensions = (out.index(f"{name} ") for name in ("assumption", "extension of this"))
    answers = {
        row[0]: row[1]
        for row in map(str.split, out[paper:extensions].splitlines())
        if row[1:2] and row[1] in ("yes", "no", "unknown")
    }
    assert answers == {
        "polynomial-link": "yes",
        "convex-loss": "yes",
        "differentiable-loss": "no",
        "lipschitz-loss": "yes",
        "centred-at-zero": "yes",
        "positive-eigenvalues": "no",
    }
    assert "generic" in out[extensions:]
    assert "docs/theory.md#assumptions" in out


def test_inspect_json_has_the_promised_fields(run: Any) -> None:
    result = run("inspect", "cos2z", "--loss", "squared", "--json", "-")
    record = strict(result.out)
    assert result.code == 0
    # λ = E[cos 2z (z² − 1)] = −4 e⁻²; v = Var cos 2z = (1 + e⁻⁸)/2 − e⁻⁴.
    assert record["lambda"] == pytest.approx([-4 * math.exp(-2)], abs=1e-12)
    assert record["v"] == pytest.approx((1 + math.exp(-8)) / 2 - math.exp(-4), abs=1e-12)
    assert record["kappa"] == 1
    assert len(record["u"]) == 1
    assert record["gap"] == pytest.approx(record["alpha_gd"] / record["alpha_c"], rel=1e-12)
    assert record["gap"] >= 1
    assert record["alpha_it"] == pytest.approx(1, abs=1e-8)
    assert record["alpha_c"] < record["alpha_alg"] < record["alpha_gd"]
    assert record["alpha_gd"] >= record["alpha_spectral"] * (1 - 1e-6)
    assert record["paper_assumptions"]["polynomial-link"]["holds"] is False
    assert record["paper_assumptions"]["lipschitz-loss"]["holds"] is False
    for assumption in [*record["assumptions"].values(), *record["paper_assumptions"].values()]:
        assert assumption["holds"] in (True, False, None)
        assert assumption["reason"]
    tensors = record["hermite"]["label"]["tensors"]
    assert [np.ndim(tensor) for tensor in tensors] == [0, 1, 2, 3, 4]
    assert tensors[2] == pytest.approx(np.array([[-4 * math.exp(-2)]]), abs=1e-12)


@pytest.mark.parametrize("name", ["z1/z2", "he2/he3", "cos(2z)"])
def test_inspect_refuses_names_with_other_punctuation(run: Any, name: str) -> None:
    result = run("inspect", name)
    assert (result.code, result.out) == (2, "")
    assert f"link={name!r}: expected one of" in result.err


@pytest.mark.usefixtures("coarsely")
def test_inspect_prints_planes_zeros_and_regimes(run: Any, user_module: UserModule) -> None:
    name = user_module("def ridge(z):\n    return (z**2).sum(axis=1)\n")
    out = run("inspect", f"{name}:ridge", "--rank", "2", "--dim", "100", "--samples", "2000").out
    assert "(2 times)" in out
    assert "any in the plane of" in out
    for regime in ("few samples", "n ≫ d", "n/d = 20"):
        assert f"Best built-in loss, {regime}:" in " ".join(out.split())
    symmetric = run("inspect", "sign-z1z2", "--loss", "squared").out
    assert any(line.split()[:3] == ["constant", "c", "0"] for line in symmetric.splitlines())


def test_inspect_says_why_there_is_no_threshold(run: Any) -> None:
    record = strict(run("inspect", "he3", "--loss", "squared", "--json", "-").out)
    assert record["alpha_c"] is None
    assert "E[z | y]" in record["alpha_c_reason"]
    assert record["limits"]["alpha_gd"] is None
    assert "D9" in record["limits"]["alpha_gd_reason"]
    assert record["gap"] is None
    assert record["rank_of_lambda"] == 0
    assert record["assumptions"]["generic"]["holds"] is False
    assert record["assumptions"]["generic"]["repair"]
    assert record["negative_control"].startswith("N1")
    # u = E[He3² z²]/6 = 7 and v = 1: (u − 2v)/(2(u − v)).
    assert record["plateau"] == pytest.approx(5 / 12, abs=1e-9)


@pytest.mark.usefixtures("coarsely")
def test_inspect_a_link_that_no_transform_reveals(run: Any) -> None:
    result = run("inspect", "sign-z1z2z3", "--loss", "huber")
    assert result.code == 0
    assert "nothing is learned" in result.out
    assert "undetermined" in result.out


@pytest.mark.usefixtures("coarsely")
def test_inspect_users_link_with_noise(run: Any, user_module: UserModule) -> None:
    name = user_module("def ridge(z):\n    return z[:, 0] ** 2 - z[:, 1] ** 2\n")
    result = run(
        "inspect",
        f"{name}:ridge",
        "--rank",
        "2",
        "--loss",
        "huber",
        "--noise",
        "0.5",
        "--json",
        "-",
    )
    record = strict(result.out)
    assert record["rank"] == 2
    assert record["lambda"][0] == pytest.approx(-record["lambda"][1], rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cos2y"], "link='cos2y'"),
        (["cos2z", "--loss", "hubber"], "did you mean 'huber'"),
        (["cos2z", "--noise", "-1"], "noise=-1"),
        (["cos2z", "--noise", "nan"], "noise=nan"),
        (["polynomial:rank=13,degree=2"], "at most 12"),
        (["cos2z", "--rank", "2"], "has rank 1"),
        (["cos2z", "--json", "no/such/folder.json"], "--json"),
    ],
)
def test_inspect_refuses(run: Any, arguments: list[str], message: str) -> None:
    result = run("inspect", *arguments)
    assert result.code == 2
    assert result.out == ""
    assert message in result.err
    assert "Traceback" not in result.err


def test_inspect_refuses_constant_labels(run: Any, user_module: UserModule) -> None:
    name = user_module("import numpy as np\ndef flat(z):\n    return np.zeros(len(z))\n")
    result = run("inspect", f"{name}:flat", "--rank", "1")
    assert result.code == 2
    assert "constant" in result.err


def test_inspect_prints_each_loss_when_it_is_known(
    run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, printed = dict[str, str](), ""

    def watched(link: Any, loss: Any, **settings: Any) -> Any:
        nonlocal printed
        printed += capsys.readouterr().out
        before[loss if isinstance(loss, str) else loss.name] = printed
        return reached_thresholds(link, loss, **settings)

    monkeypatch.setattr("mimverify.theory.loss_by_loss.reached_thresholds", watched)
    rest = run("inspect", "abs", "--loss", "l1").out
    printed += rest
    names = list(before)
    assert names[0] == "l1"
    assert set(names) == set(LOSSES)
    assert before["l1"].startswith("abs: rank 1")
    for k, name in enumerate(names[1:], start=1):
        shown = [line.split()[0] for line in before[name].splitlines() if "1 of 1" in line]
        assert shown == names[:k]
    assert [line.split()[0] for line in printed.splitlines() if "1 of 1" in line] == names


@pytest.mark.usefixtures("coarsely")
def test_inspect_prints_the_same_of_a_result_that_is_kept(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIMVERIFY_CACHE", str(tmp_path / "kept"))
    computed = run("inspect", "z1z2", "--loss", "huber:0.25").out
    assert [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert run("inspect", "z1z2", "--loss", "huber:0.25").out == computed


def test_inspect_leaves_no_file_when_it_is_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mimverify", "inspect", "z1z2z3", "--json", "found.json"],
        cwd=tmp_path, env={**os.environ, "MIMVERIFY_CACHE": "off"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("z1z2z3: rank 3")  # long before it is done
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


# -- predict -----------------------------------------------------------------------------------


def test_predict_json_has_the_promised_fields(run: Any) -> None:
    result = run(
        "predict", "cos2z", "--dim", "256", "--samples", "4096", "--steps", "5", "--json", "-"
    )
    record = strict(result.out)
    assert result.code == 0
    aligned = record["alignment"]
    assert len(aligned) == 6
    assert aligned[0] == pytest.approx(1 / 256)
    assert (np.diff(aligned) > 0).all()
    assert len(record["n_half"]) == 5
    assert (np.diff(record["n_half"]) < 0).all()
    assert isinstance(record["recommended_steps"], int)
    assert 0 < record["floor"] < 1 - aligned[-1]
    assert record["one_run"]["low"][3] < record["one_run"]["mean"][3] < record["one_run"]["high"][3]


@pytest.mark.usefixtures("coarsely")
def test_predict_prints_a_table(run: Any) -> None:
    result = run("predict", "tanh3", "--loss", "huber", "--dim", "300", "--samples", "6000")
    assert result.code == 0
    for word in ("alignment", "n_half", "bulk of H", "recommended steps", "exponent"):
        assert word in result.out


def test_predict_simulates_unbounded_labels_and_says_so(run: Any, tmp_path: Path) -> None:
    # So many samples a dimension that few label sets will do.
    arguments = ["predict", "he2", "--loss", "squared"]
    arguments += ["--dim", "16", "--samples", "2000", "--steps", "3"]
    result = run(*arguments, "--json", "out.json")
    record = strict((tmp_path / "out.json").read_text())
    assert record["simulated_labels"] is True
    assert len(record["alignment_error"]) == 4
    assert any("not bounded" in note for note in record["notes"])
    assert "not bounded" in result.out


def test_predict_without_signal(run: Any) -> None:
    record = strict(
        run(
            "predict", "he3", "--loss", "huber", "--dim", "100", "--samples", "2000",
            "--steps", "2", "--json", "-",
        ).out
    )  # fmt: skip
    assert record["n_half"] == [None, None]
    assert record["recommended_steps"] is None
    assert record["recommended_steps_reason"]
    assert record["floor"] is None
    assert record["outliers"] == []


def test_predict_no_steps(run: Any) -> None:
    record = strict(run("predict", "cos2z", "--steps", "0", "--json", "-").out)
    assert record["alignment"] == pytest.approx([1 / 256])
    assert record["n_half"] == []
    assert record["span_recovery"] is None


def test_predict_far_beyond_memory(run: Any) -> None:
    record = strict(
        run(
            "predict", "cos2z", "--dim", "100000000", "--samples", "1600000000", "--steps", "30",
            "--json", "-",
        ).out
    )  # fmt: skip
    aligned = np.array(record["alignment_ratio_of_means"])
    assert np.all(np.diff(aligned) > -1e-9)
    assert aligned[0] == pytest.approx(1e-8)
    assert aligned[-1] == pytest.approx(1 - record["floor"], abs=1e-6)


def test_predict_the_test_error(run: Any, tmp_path: Path) -> None:
    size = ["-d", "64", "-n", "1106", "-T", "4", "--readout-neurons", "32"]
    result = run(
        "predict", "cos2z", *size, "--test-error", "--target-error", "0.5", "--json", "out.json"
    )
    assert result.code == 0
    record = strict((tmp_path / "out.json").read_text())
    found = record["test_error"]
    assert 0 < found["low"] < found["median"] < found["high"] < 1
    assert sum(found["decomposition"].values()) == pytest.approx(found["mean"])
    assert record["test_error_settings"]["readout_samples"] == 1106
    assert record["test_error_exponent"]["dims"] == [64, 256]
    assert record["samples_for_error"]["samples"] < 1106
    for word in ("label noise", "ridge", "32 features", "the error goes with", "in each stage"):
        assert word in " ".join(result.out.split())


@pytest.mark.parametrize(
    "arguments", [["--decay", "0.5"], ["--remove-linear-part"], ["--ridge", "0"]]
)
def test_predict_refuses_the_test_error_of(run: Any, arguments: list[str]) -> None:
    result = run("predict", "cos2z", "--test-error", *arguments)
    assert result.code == 2
    assert arguments[0].strip("-") in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cos2z", "--dim", "1"], "dim=1"),
        (["tanh3", "--dim", "3", "--samples", "100", "--steps", "2"], "rank 3"),
        (["cos2z", "--samples", "0", "--steps", "1"], "samples=0"),
        (["cos2z", "--samples", "100"], "n > d"),
        (["cos2z", "--steps", "-1"], "steps=-1"),
        (["cos2z", "--neurons", "3"], "neurons=3"),
        (["cos2z", "--decay", "inf"], "decay=inf"),
        (["cos2z", "--rate", "0"], "rate=0"),
        (["he2", "--loss", "squared", "--samples", "100000000", "--steps", "1"], "Lipschitz"),
        (
            ["cos2z", "--samples", "200", "--steps", "1", "--remove-linear-part"],
            "more than dim=256",
        ),
    ],
)
def test_predict_refuses(run: Any, arguments: list[str], message: str) -> None:
    result = run("predict", *arguments)
    assert result.code == 2, result.out
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


# -- compare -----------------------------------------------------------------------------------


def test_compare_agrees_and_reports(run: Any, tmp_path: Path) -> None:
    arguments = ["cos2z", "he2", "--loss", "squared", "--ratio", "8", "--ratio", "16"]
    result = run(
        "compare", *arguments, "--dim", "128", "--seeds", "12", "--steps", "4", "--json", "out.json"
    )
    assert result.code == 0, result.out
    assert "16 comparisons" in result.out
    assert "squared*" in result.out  # he2: realised labels
    record = strict((tmp_path / "out.json").read_text())
    assert [row["link"] for row in record["rows"]] == ["cos2z", "he2", "cos2z", "he2"]
    assert [row["samples"] for row in record["rows"]] == [1024, 1024, 2048, 2048]
    for row in record["rows"]:
        assert len(row["z"]) == 4
        assert row["seeds"] == 12


def test_compare_finds_a_wrong_prediction(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """D1 for twice the samples is not D1: the command says so and fails."""
    from mimverify.theory import comparison

    def wrong(measure: Any, dim: int, samples: int, steps: int, **options: Any) -> Any:
        return trajectory_of(measure, dim, 2 * samples, steps, **options)

    monkeypatch.setattr(comparison, "trajectory_of", wrong)
    result = run(
        "compare", "cos2z", "--loss", "huber", "--ratio", "8", "--dim", "128", "--seeds", "12"
    )
    assert result.code == 1
    assert "1 of 1 rows contradict" in result.out
    assert "beyond" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nolink"], "link='nolink'"),
        (["cos2z", "--ratio", "0"], "ratio=0"),
        (["cos2z", "--ratio", "nan"], "ratio=nan"),
        (["cos2z", "--seeds", "2"], "seeds=2"),
        (["tanh3", "--dim", "3"], "rank"),
        (["cos2z", "--ratio", "0.001", "--dim", "100"], "at least two samples"),
    ],
)
def test_compare_refuses(run: Any, arguments: list[str], message: str) -> None:
    result = run("compare", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_compare_test_errors(run: Any, tmp_path: Path) -> None:
    size = ["--dim", "24", "--ratio", "12", "--seeds", "20"]
    result = run(
        "compare", "abs", "--loss", "huber", "--test-error", *size, "--markdown", "page.txt",
        "--json", "out.json",
    )  # fmt: skip
    assert result.code == 0, result.out + result.err
    assert "0 of 1 cells tested contradict" in result.out
    record = strict((tmp_path / "out.json").read_text())
    (row,) = record["rows"]
    assert (row["link"], row["dim"], row["samples"], row["runs"]) == ("abs", 24, 288, 20)
    assert row["predicted"]["test_samples"] == 2048
    assert len(row["trained"]["values"]) == 20
    page = (tmp_path / "page.txt").read_text(encoding="utf-8")
    assert "| abs | huber | 24 | 288 |" in page
    line = next(line for line in result.out.splitlines() if "abs huber" in line)
    assert len(line.split()) == 11  # no column is cut
    assert "0 of 1 cells tested contradict" in " ".join(page.split())


def test_compare_finds_a_wrong_test_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of training with a ridge of 10 is not the predicted one."""
    from mimverify.theory import error_comparison

    class Stiff(LayerwiseTrainer):
        def fit_stages(self, *data: Any, **options: Any) -> Any:
            self.ridge = 10.0
            return super().fit_stages(*data, **options)

    monkeypatch.setattr(error_comparison, "LayerwiseTrainer", Stiff)
    size = ["--dim", "24", "--ratio", "24", "--seeds", "30"]
    result = run("compare", "abs", "--loss", "huber", "--test-error", *size)
    assert result.code == 1
    assert "1 of 1 cells tested contradict" in result.out
    assert "median" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test-error", "--steps", "3"], "--steps"),
        (["--test-error", "--spans"], "--spans"),
        (["--test-error", "--seeds", "3"], "runs=3"),
        (["--test-error", "--ratio", "0.5"], "more samples"),
        (["--test-error", "--json", "-", "--markdown", "-"], "both '-'"),
        (["--workers", "2"], "--test-error"),
        (["--markdown", "page.txt"], "--test-error"),
    ],
)
def test_compare_test_errors_refuses(run: Any, arguments: list[str], message: str) -> None:
    result = run("compare", "abs", "--loss", "huber", *arguments)
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize("command", ["inspect", "predict", "compare", "limits"])
def test_help(run: Any, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert "Exit code" in result.out


# -- what users get wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["inspect", "predict", "compare", "limits"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('boom')", "raised RuntimeError: boom"),
        ("return 'text'", "returned shape"),
        ("return np.full(len(z), np.nan)", "expected finite labels"),
        ("z[:] = 0\n    return z[:, 0]", "read-only"),
        ("return 1 / np.maximum(z[:, 0], 0)", "expected finite labels"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_broken_links_are_refused(
    run: Any, user_module: UserModule, command: str, body: str, message: str
) -> None:
    name = user_module(f"import numpy as np\nrank = 1\ndef link(z):\n    {body}\n")
    result = run(command, f"{name}:link", *([] if command == "compare" else ["--rank", "1"]))
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    if command != "compare":  # which takes no rank
        assert message in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "cos2z", "--dim", "2", "--samples", "100", "--steps", "2"],
        ["predict", "tanh3", "--dim", "4", "--samples", "100", "--steps", "2"],
        ["predict", "cos2z", "--dim", "100", "--samples", "50", "--steps", "2"],
        ["predict", "cos2z", "--dim", "100", "--samples", "100000000", "--steps", "1"],
        ["predict", "cos2z", "--decay", "0", "--rate", "0.1", "--steps", "3"],
    ],
)
@pytest.mark.usefixtures("coarsely")
def test_extreme_sizes_are_predicted(run: Any, arguments: list[str]) -> None:
    result = run(*arguments, "--json", "-")
    assert result.code == 0, result.err
    record = strict(result.out)
    assert all(0 <= a <= 1 for a in record["alignment"])


def test_sizes_beyond_all_reason_are_refused(run: Any) -> None:
    result = run("predict", "cos2z", "--dim", "1" + "0" * 20, "--samples", "1" + "0" * 21)
    assert result.code == 2
    assert "dim=1" in result.err
