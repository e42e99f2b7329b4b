"""Packs: claims from elsewhere, with their own capability, mutants and budget."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import mimverify
from mimverify import InputError, TrainerError
from mimverify.cli.app import app
from mimverify.handles import InProcessTrainer
from mimverify.support.importing import _FromFolder
from mimverify.trial import (
    CLAIM_SET_VERSION,
    FALSE_ALARM_BUDGET,
    Capability,
    Method,
    Pack,
    PackError,
    PackOrigin,
    Session,
    Status,
    TrainerUnderTrial,
    TrialSettings,
    load_claim_set,
    load_claims,
    locate_pack,
    suite_path,
)
from mimverify.trial.running.capsule import load_capsule
from mimverify.trial.running.replay import Conclusion, replay

MODEL = '''
"""What the claims share."""

from dataclasses import dataclass

import numpy as np
from mimverify import MultiIndexModel, symmetric_start


@dataclass(frozen=True)
class Case:
    dim: int


def problem(case, seed):
    data = MultiIndexModel("he2", case.dim, seed=seed).sample(8 * case.dim)
    start = symmetric_start(6, case.dim, np.random.default_rng(seed), norm=1.0)
    return start.W, start.a, start.b, data.X, data.y
'''

CLAIMS = """
import numpy as np
from mimverify.trial import (
    Capability, Event, Method, Pack, Rounding, choices, claim, exact_step, near, step_envelope,
)
from .model import Case
from NAME.model import problem

PACK = Pack(
    title="Two rates", source="nowhere", version="1", budget=1e-5, mutants="NAME.mutants",
)
TWO_RATES = Capability(
    "two rates",
    {"two_steps": Method(
        {"W": "m d", "a": "m", "b": "m", "X": "n d", "y": "n"},
        options=("rates", "activation"), returns="m d",
    )},
)
OPTIONS = {"beta": 0.0, "activation": "tanh", "loss": "squared"}
CASES = choices([4, 7]).map(Case)


@claim(
    id="two-steps", statement="They are two steps.", source="nowhere", measures="rounding",
    needs=TWO_RATES, decisions=Rounding("two steps are two steps"), cases=CASES,
)
def two_steps(trial, case):
    arrays = problem(case, trial.seed_of(case))
    W, *others = arrays
    first = exact_step(W, *others, eta=0.5, **OPTIONS)
    second = exact_step(first, *others, eta=0.25, **OPTIONS)
    named = dict(zip(("W", "a", "b", "X", "y"), arrays))
    got = trial.trainer.call("two_steps", named, rates=[0.5, 0.25], activation="tanh")
    bound = 1e6 * step_envelope(W, *others, dtype="float64", eta=0.5, **OPTIONS)
    trial.within("two steps", got, second, bound)


MOVES = Event("the step is of order one", quantity="length of a step")


@claim(
    id="moves", statement="It moves.", source="nowhere", measures="an event",
    needs="first layer", decisions=MOVES, cases=CASES,
)
def moves(trial, case):
    def run(seed):
        W, *others = problem(case, seed)
        moved = trial.trainer.step(W, *others, eta=1.0, **OPTIONS) - W
        right = exact_step(W, *others, eta=1.0, **OPTIONS) - W
        return near(np.linalg.norm(moved) / np.linalg.norm(right), 1.0, 0.5)
    trial.decide(run)
"""

MUTANTS = '''
from mimverify import numpy_trainer
from mimverify.zoo import broken

OPTIONS = {"beta": 0.0, "activation": "tanh", "loss": "squared"}


class Right:
    def step(self, W, a, b, X, y, **options):
        return numpy_trainer().step(W, a, b, X, y, **options)

    def two_steps(self, W, a, b, X, y, *, rates, activation):
        for eta in rates:
            W = numpy_trainer().step(W, a, b, X, y, eta=eta, **OPTIONS)
        return W


@broken("rates", caught_by="two-steps", breaks="two rates")
class FirstRateTwice(Right):
    """Both steps have the first rate."""

    def two_steps(self, W, a, b, X, y, *, rates, activation):
        return super().two_steps(W, a, b, X, y, rates=[rates[0]] * 2, activation=activation)


@broken("length", caught_by="moves")
class TripleStep(Right):
    """Three times the rate."""

    def step(self, W, a, b, X, y, *, eta, **options):
        return super().step(W, a, b, X, y, eta=3 * eta, **options)
'''

NUMBERS = count()
RAISES = "raise RuntimeError('the wrong file was imported')\n"


def forget(name: str) -> None:
    """Make this process load the package anew, as another one would."""
    load_claim_set.cache_clear()
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]
    sys.meta_path[:] = [
        one for one in sys.meta_path if not (isinstance(one, _FromFolder) and one.name == name)
    ]
    importlib.invalidate_caches()


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a pack in the current folder, beside files that must not be imported."""
    name = f"pack_{next(NUMBERS)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    files = {"model": MODEL, "claims": CLAIMS, "mutants": MUTANTS}
    for file, text in files.items():
        (tmp_path / name / f"{file}.py").write_text(text.replace("NAME", name), encoding="utf-8")
    for file in ("numpy.py", "random.py", "conftest.py", f"{name}/conftest.py"):
        (tmp_path / file).write_text(RAISES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield name
    assert [entry for entry in sys.path if entry not in before] == []
    forget(name)


def run(*words: str) -> Result:
    done = CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    return done


def check_main(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mimverify", *words], capture_output=True, text=True, check=False
    )


# -- faults of a claim ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "mistake", "message"),
    [
        ("        right = exact_step(W,", "        right = exact_stp(W,",
         "the claim itself is at fault: NameError: name 'exact_stp' is not defined (claims.py:"),
        ("def moves(trial, case):", "def moves(trial):",
         "the claim itself is at fault: TypeError: moves() takes 1 positional argument"),
    ],
)  # fmt: skip
def test_a_claim_that_is_wrong_itself_is_blamed_with_its_line(
    pack: str, line: str, mistake: str, message: str
) -> None:
    path = Path(pack) / "claims.py"
    text = path.read_text(encoding="utf-8")
    assert line in text
    path.write_text(text.replace(line, mistake), encoding="utf-8")
    with Session("numpy", pack=f"{pack}.claims", claims=["moves"]) as session:
        (claim,) = session.claims.values()
        verdict = session.verdict(claim)
    assert verdict.status is Status.ERROR
    assert message in verdict.message
    assert "mimverify itself" not in verdict.message


# -- the verbs ---------------------------------------------------------------------------------


def test_a_pack_goes_through_check_and_replay(
    pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = f"{pack}.claims"
    done = run(
        "check", f"{pack}.mutants:Right", f"{pack}.mutants:FirstRateTwice", "--claims", claims,
        "-n", "2", "--capsules", "kept", "--json", "report.json",
    )  # fmt: skip
    assert done.return_value == 1, done.output
    assert f"Trial of {pack}.mutants:Right: Two rates, version 1" in done.output
    report = json.loads(Path("report.json").read_text())
    assert report["claim_set"] == "Two rates, version 1"
    assert report["false_alarm_budget"] == 1e-5
    assert report["claims_from"]["source"] == "nowhere"
    right, wrong = report["trainers"]
    assert "two_steps" in right["capabilities"]["methods"]
    assert [c["status"] for c in right["claims"]] == ["passed", "passed"], right
    found = {c["id"]: c for c in wrong["claims"]}
    assert {name: c["status"] for name, c in found.items()} == {
        "two-steps": "failed", "moves": "passed"
    }  # fmt: skip
    assert f"--claims {claims}" in found["two-steps"]["reproduce"]
    # one statistical decision: the whole budget, not a part of mimverify's own
    evidence = found["moves"]["evidence"]
    assert (evidence["false_alarm_level"], evidence["false_alarm_budget"]) == (1e-5, 1e-5)

    capsule_path = tmp_path / found["two-steps"]["capsule"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    forget(pack)
    capsule, _ = load_capsule(capsule_path)
    again = replay(capsule)
    assert (again.conclusion, again.exit_code) == (Conclusion.SAME, 1)
    assert again.differences == []

    file = tmp_path / pack / "claims.py"
    file.write_text(file.read_text().replace('version="1"', 'version="2"'))
    forget(pack)
    differences = replay(load_capsule(capsule_path)[0]).differences
    assert "claim set Two rates, version 2, recorded Two rates, version 1" in differences

    # It has moved to where the command is given, then it is gone.
    (tmp_path / pack).rename(elsewhere / pack)
    forget(pack)
    moved = load_capsule(capsule_path)[0]
    assert moved.settings.pack == PackOrigin(claims, claims, str(elsewhere))
    assert replay(moved).conclusion is Conclusion.SAME

    (elsewhere / pack).rename(tmp_path / "gone")
    forget(pack)
    with pytest.raises(InputError, match=rf"two-steps.*: pack='{claims}': there is no module"):
        load_capsule(capsule_path)


def test_a_change_of_the_claims_of_one_version_is_a_difference(pack: str, tmp_path: Path) -> None:
    mutants = importlib.import_module
    load_claim_set(locate_pack(f"{pack}.claims"))
    wrong = mutants(f"{pack}.mutants").FirstRateTwice
    report = mimverify.check(wrong, pack=f"{pack}.claims", claims="two-steps", capsules="kept")
    (verdict,) = report.trainers[0].verdicts
    file = tmp_path / pack / "claims.py"
    file.write_text(file.read_text() + "\n# another remark\n")
    load_claim_set.cache_clear()
    outcome = replay(load_capsule(verdict.capsule)[0], wrong)
    assert outcome.conclusion is Conclusion.SAME
    assert "the claims: their file is another one, of the same version" in outcome.differences


def test_the_mutants_of_a_pack_are_those_of_power(pack: str) -> None:
    done = run(
        "power", "--claims", f"{pack}.claims", "--fastest", "-n", "2", "--json", "power.json"
    )
    assert done.return_value == 0, done.output
    matrix = json.loads(Path("power.json").read_text())
    assert [row["name"] for row in matrix["matrix"]] == ["FirstRateTwice", "TripleStep"]
    assert [row["fastest"] for row in matrix["matrix"]] == ["two-steps", "moves"]
    assert matrix["claim_set"] == "Two rates, version 1"
    with pytest.raises(InputError, match=r"mutant='Momentum': expected one of FirstRateTwice"):
        run("power", "--claims", f"{pack}.claims", "--mutant", "Momentum")
    with pytest.raises(InputError, match=r"category='numerics': expected one of rates, length"):
        run("power", "--claims", f"{pack}.claims", "--category", "numerics")


def test_a_pack_is_calibrated(pack: str) -> None:
    done = run(
        "calibrate", "--claims", f"{pack}.claims", f"{pack}.mutants:Right", "--seeds", "3",
        "--level", "0.5", "--json", "rates.json",
    )  # fmt: skip
    assert f"{pack}.mutants:Right: Two rates, version 1" in done.output
    record = json.loads(Path("rates.json").read_text())
    assert record["claim_set"] == "Two rates, version 1"
    assert done.return_value == 3, done.output  # three seeds cannot exceed that level
    with pytest.raises(InputError, match="--claim two-steps: is exact"):
        run("calibrate", "--claims", f"{pack}.claims", "--claim", "two-steps")


def test_claims_lists_a_pack(pack: str) -> None:
    listed = run("claims", "--claims", f"{pack}/claims.py").output
    assert "Claims of Two rates, version 1" in listed
    assert "two rates" in listed
    page = run("claims", "--claims", f"{pack}.claims", "--markdown", "-").output
    assert page.startswith("# Two rates, version 1\n\nSource: nowhere\n")
    assert "two rates, that is two_steps()" in page
    record = json.loads(run("claims", "--claims", f"{pack}.claims", "--json", "-").output)
    assert [one["id"] for one in record["claims"]] == ["two-steps", "moves"]
    assert record["claims_from"]["pack"]["module"] == f"{pack}.claims"
    with pytest.raises(InputError, match=r"claim='trajectory': expected one of two-steps, moves"):
        run("claims", "trajectory", "--claims", f"{pack}.claims")


def test_the_command_finds_a_pack_and_nothing_beside_it(pack: str) -> None:
    """In a process of its own, that nothing has been imported into."""
    done = check_main("claims", "--claims", f"{pack}.claims")
    assert done.returncode == 0, done.stderr
    assert "two-steps" in done.stdout


def test_pytest_collects_a_pack_in_place_of_the_suite(pack: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", str(suite_path()), "-p", "no:cacheprovider",
            "--trainer", "numpy", "--trial-claims", f"{pack}/claims.py", "-q",
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(Path(mimverify.__file__).parents[1]),
             "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "Trial of numpy: Two rates, version 1" in done.stdout


# -- settings ----------------------------------------------------------------------------------


def test_settings_are_of_the_claims_of_the_pack(pack: str) -> None:
    claims = f"{pack}.claims"
    made = TrialSettings.of(pack=claims, expression="two and steps")
    assert list(made.selected()) == ["two-steps"]
    assert made.budget == 1e-5
    assert TrialSettings.of(pack=claims, budget=0.01).budget == 0.01
    assert TrialSettings.of(TrialSettings(), pack=claims).budget == 1e-5
    assert TrialSettings.of(TrialSettings(budget=0.5), pack=claims).budget == 0.5
    assert TrialSettings.of(made, pack=None, expression=None).budget == FALSE_ALARM_BUDGET
    assert made.arguments() == ["--claims", claims, "-k", "two and steps"]
    assert TrialSettings.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert list(TrialSettings(pack=claims).selected()) == ["two-steps", "moves"]  # type: ignore[arg-type]
    for wrong in (
        {"claims": "trajectory"},
        {"expression": "trajectory"},
        {"expected_failures": {"trajectory": "known"}},
    ):
        with pytest.raises(InputError):
            TrialSettings.of(pack=claims, **wrong)
        TrialSettings.of(**wrong)


def test_objects_are_tried_on_a_pack(pack: str) -> None:
    claims = f"{pack}.claims"
    load_claim_set(locate_pack(claims))
    mutants = importlib.import_module(f"{pack}.mutants")
    assert mimverify.check(mutants.Right, pack=claims).exit_code == 0
    report = mimverify.check(
        mutants.FirstRateTwice, pack=Path(pack) / "claims.py",
        expected_failures={"two-steps": "for now"},
    )  # fmt: skip
    found = {verdict.id: str(verdict.status) for verdict in report.trainers[0].verdicts}
    assert found == {"two-steps": "expected failure", "moves": "passed"}
    (verdict,) = mimverify.check("numpy", pack=claims, claims="two-steps").trainers[0].verdicts
    assert (str(verdict.status), verdict.message) == ("not applicable", "needs two_steps()")
    mark = mimverify.parametrize_with_claims(mutants.Right, pack=claims)
    assert [str(parameter.id) for parameter in mark.args[1]] == ["two-steps", "moves"]


def test_the_built_in_claims_are_a_set_like_any_other() -> None:
    built_in = load_claim_set()
    assert built_in.claims == load_claims()
    assert built_in.label == CLAIM_SET_VERSION
    assert (built_in.about.budget, built_in.methods, built_in.folders) == (
        FALSE_ALARM_BUDGET, {}, {}
    )  # fmt: skip
    assert TrialSettings().claim_set is built_in


# -- finding and loading -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "json", "numpy", "pytest", "mimverify"])
def test_a_pack_with_the_name_of_a_needed_module_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(RAISES)
    monkeypatch.chdir(tmp_path)
    for spec in (name, f"{name}.claims", f"{name}.py", str(tmp_path / f"{name}.py")):
        with pytest.raises(PackError, match=rf"'{name}' is the name of a module that"):
            locate_pack(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nosuchpack.claims", "there is no module 'nosuchpack'"),
        ("no-such-pack", "or the name of an entry point"),
        ("a..b", "expected a module"),
        ("class.claims", "expected a module"),
        ("", "expected a module"),
        ("nosuch/claims.py", "there is no such file"),
        ("/", "there is no such file"),
        ("my-claims.py", "cannot import; rename it"),
        ("bare.claims", "has no __init__.py"),
        (5, "expected a module, a file or an entry point"),
        ({"name": "x"}, "expected the texts name, module, folder"),
    ],
)
def test_what_is_no_pack_is_refused(
    spec: object, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-claims.py").touch()
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        TrialSettings.of(pack=spec)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError):
        mimverify.check("numpy", pack=spec)


ABOUT = "from mimverify.trial import Pack\nPACK = Pack(title='t', source='s', version='1')\n"
SMALL = (
    "from mimverify.trial import Capability, Event, Method, choices, claim\n"
    "def made(name, needs='first layer'):\n"
    "    return claim(id=name, statement='', source='', measures='', needs=needs,\n"
    "        decisions=Event('e'), cases=choices([1]))(lambda trial, case: None)\n"
)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ABOUT, "has no claims"),
        (SMALL + "a = made('x')\n", "has 0 records of itself; expected one, PACK = Pack("),
        (ABOUT + SMALL + "b = Pack(title='u', source='s', version='1')\na = made('x')\n", "has 2"),
        (ABOUT + SMALL + "a = made('x')\nb = made('x')\n", "two claims have the id 'x'"),
        (ABOUT + SMALL + "a = made('Not An Id')\n", "id='Not An Id'"),
        ("\n1 / 0\n", r"raised ZeroDivisionError: division by zero (CLAIMS.py:2)"),
        ("x = (\n", "(CLAIMS.py:1)"),
        ("import nosuchmodule\n", "needs the module 'nosuchmodule', which cannot be found"),
        ("raise SystemExit(3)\n", "raised SystemExit: 3 (CLAIMS.py:1)"),
        (
            ABOUT + SMALL + "m = {'one': Method({'X': 'n d'})}\n"
            "a = made('x', Capability('c', m))\n"
            "b = made('y', Capability('c', {'two': Method({'X': 'n d'})}))\n",
            "two capabilities have the name 'c'",
        ),
        (
            ABOUT + SMALL + "a = made('x', Capability('c', {'one': Method({'X': 'n d'})}))\n"
            "b = made('y', Capability('e', {'one': Method({'X': 'n'})}))\n",
            "describe the method 'one' otherwise",
        ),
        (
            "from mimverify.trial import Pack\n" + SMALL
            + "P = Pack(title='t', source='s', version='1', justified={'z': 'why'})\n"
            "a = made('x')\n",
            "justified='z'",
        ),
    ],
)  # fmt: skip
def test_a_faulty_pack_is_refused_in_one_line(source: str, words: str, tmp_path: Path) -> None:
    name = f"faulty_{tmp_path.name.replace('-', '_')}"
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    try:
        with pytest.raises(PackError) as refused:
            TrialSettings.of(pack=path)
    finally:
        forget(name)
    assert words.replace("CLAIMS", name) in str(refused.value)
    assert f"pack={str(path)!r}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_claim_under_two_names_is_one_claim(tmp_path: Path) -> None:
    name = f"alias_{tmp_path.name.replace('-', '_')}"
    path = tmp_path / f"{name}.py"
    path.write_text(ABOUT + SMALL + "a = made('x')\nb = a\n")
    assert list(load_claim_set(locate_pack(path)).claims) == ["x"]
    forget(name)


def test_a_module_of_the_name_that_is_loaded_from_elsewhere_is_not_taken(
    pack: str, tmp_path: Path
) -> None:
    load_claim_set(locate_pack(f"{pack}.claims"))
    shutil.copytree(tmp_path / pack, tmp_path / "other" / pack)
    with pytest.raises(PackError, match="is loaded already; rename one of them"):
        load_claim_set(PackOrigin("x", f"{pack}.claims", str(tmp_path / "other")))


def test_an_installed_package_offers_its_claims_by_an_entry_point(
    pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    shutil.move(tmp_path / pack, site / pack)
    made = site / "two_rates-1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: two-rates\nVersion: 1\n")
    (made / "entry_points.txt").write_text(f"[mimverify.claims]\ntwo-rates = {pack}.claims\n")
    monkeypatch.syspath_prepend(str(site))
    origin = locate_pack("two-rates")
    assert origin == PackOrigin("two-rates", f"{pack}.claims", str(site))
    assert list(load_claim_set(origin).claims) == ["two-steps", "moves"]
    with pytest.raises(PackError, match="installed are two-rates"):
        locate_pack("two-rate")
    sys.path.remove(str(site))


def test_a_pack_may_import_what_is_on_pythonpath(
    pack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the judge's processes too, which ignore it: after everything else."""
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / f"helper_of_{pack}.py").write_text("VALUE = 3\n")
    (helpers / "json.py").write_text(RAISES)
    file = tmp_path / pack / "claims.py"
    file.write_text(f"import json\nimport helper_of_{pack}\n" + file.read_text())
    with pytest.raises(PackError, match=f"needs the module 'helper_of_{pack}'"):
        load_claim_set(locate_pack(f"{pack}.claims"))
    forget(pack)
    monkeypatch.setenv("PYTHONPATH", str(helpers))
    assert list(load_claim_set(locate_pack(f"{pack}.claims")).claims) == ["two-steps", "moves"]
    done = run("check", "numpy", "--claims", f"{pack}.claims", "--claim", "moves")
    assert done.return_value == 0, done.output


def test_mutants_are_refused_in_one_line(pack: str, tmp_path: Path) -> None:
    (tmp_path / pack / "mutants.py").write_text(MUTANTS.replace('"moves"', '"stays"'))
    with pytest.raises(PackError, match="caught_by='stays' of TripleStep"):
        run("power", "--claims", f"{pack}.claims")
    forget(pack)
    (tmp_path / pack / "mutants.py").write_text("")
    with pytest.raises(PackError, match="has no mutants; expected classes with @broken"):
        run("power", "--claims", f"{pack}.claims")
    forget(pack)
    file = tmp_path / pack / "claims.py"
    file.write_text(file.read_text().replace(f'mutants="{pack}.mutants",', ""))
    with pytest.raises(PackError, match="has no mutants; name their module"):
        run("power", "--claims", f"{pack}.claims")


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""}, {"title": "two\nlines"}, {"source": 5}, {"version": " "}, {"budget": 0},
        {"budget": 1}, {"budget": "x"}, {"mutants": "a b"}, {"mutants": 5}, {"justified": "x"},
    ],
)  # fmt: skip
def test_a_pack_says_what_it_is(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"title": "t", "source": "s", "version": "1"}
    Pack(**given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=next(iter(wrong))):
        Pack(**{**given, **wrong})  # type: ignore[arg-type]


# -- a capability of its own -------------------------------------------------------------------

METHOD = Method({"X": "n d", "y": "n"}, options=("steps",), returns="steps+1 d 2")


def test_a_method_says_which_shape_it_returns() -> None:
    arrays = {"X": np.ones((5, 3)), "y": np.ones(5)}
    assert METHOD.shape(arrays, {"steps": 4}) == (5, 3, 2)
    assert replace(METHOD, returns=None).shape(arrays, {"steps": 4}) is None
    for wrong, words in (
        ({"y": np.ones(4)}, r"y: of shape \(4,\), expected n=5"),
        ({"y": np.ones((5, 1))}, r"y: of shape \(5, 1\), expected the axes \(n\)"),
    ):
        with pytest.raises(InputError, match=words):
            METHOD.shape({**arrays, **wrong}, {"steps": 4})
    with pytest.raises(InputError, match="steps='many': expected an integer"):
        METHOD.shape(arrays, {"steps": "many"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"arrays": ["X"]}, {"arrays": {"a b": "n"}}, {"arrays": {"X": "n-d"}},
        {"options": ("X",)}, {"options": ("lambda",)}, {"returns": "m"}, {"returns": "n*d"},
    ],
)  # fmt: skip
def test_a_faulty_method_is_refused(wrong: dict[str, object]) -> None:
    given: dict[str, object] = {"arrays": {"X": "n d"}, "options": ("steps",), "returns": "n"}
    Method(**given)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        Method(**{**given, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "methods"),
    [("", {"one": METHOD}), ("c", {}), ("c", {"step": METHOD}), ("c", {"_one": METHOD}),
     ("c", {"one": "X"}), ("c", {"on e": METHOD}), ("c", ["one"])],
)  # fmt: skip
def test_a_faulty_capability_is_refused(name: str, methods: dict[str, Method]) -> None:
    Capability("c", {"one": METHOD})
    with pytest.raises(InputError):
        Capability(name, methods)


class OneStep:
    """Offers `one` alone; `steps` chooses what it returns."""

    def one(self, X, y, *, steps):
        shape = (steps + 1, X.shape[1], 2)
        return {1: np.full(shape, np.nan), 2: np.ones(3), 3: "text"}.get(steps, np.ones(shape))


def test_what_an_own_method_returns_is_checked_like_any_other() -> None:
    trainer = TrainerUnderTrial(InProcessTrainer(OneStep, methods={"one": METHOD}))
    arrays = {"X": np.ones((5, 3)), "y": np.ones(5)}
    result = trainer.call("one", arrays, steps=4)
    assert result is not None
    assert result.shape == (5, 3, 2)
    for steps, kind in ((1, "non-finite"), (2, "shape"), (3, "dtype")):
        with pytest.raises(TrainerError) as refused:
            trainer.call("one", arrays, steps=steps)
        assert refused.value.kind == kind
    with pytest.raises(InputError, match="one"):
        trainer.call("one", {"X": arrays["X"]}, steps=4)
    with pytest.raises(TrainerError, match="is no trainer"):
        InProcessTrainer(OneStep)
