"""Replay capsules: their content, and the replay of a failure from one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest

import mimverify
from mimverify import InputError, LayerwiseTrainer, numpy_trainer
from mimverify.cli.app import main
from mimverify.experiment.checkpoint import Checkpoint, save_checkpoint
from mimverify.handles import InProcessTrainer
from mimverify.support.archive import Archive
from mimverify.support.arrays import NumpyArray
from mimverify.support.strict_json import Json
from mimverify.training.centring import Centring
from mimverify.training.stage1 import FirstLayerState
from mimverify.trial import (
    CLAIM_SET_VERSION,
    PROFILES,
    ExactCase,
    LearningCase,
    Rounding,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    TrialSettings,
    Verdict,
    choices,
    claim,
    load_claim_set,
    load_claims,
)
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.running.capsule import (
    Capsule,
    array_hash,
    capsule_name,
    decode_case,
    encode_case,
    load_capsule,
)
from mimverify.trial.running.replay import Conclusion, replay
from mimverify.trial.running.trial import Replayed
from mimverify.trial.trainer.calls import RecordedTrainer

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)
ROOT = Path(mimverify.__file__).parents[1]


class NoDecay(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        return super().trajectory(*args, **{**options, "beta": 0.0})


class Noise:
    """Weights that depend on the random state alone; `seen` are all random states so far."""

    seen: list[int | None] = []  # noqa: RUF012 - shared on purpose

    def __init__(self):
        self.random_state = None

    def trajectory(self, W0, a, b, X, y, *, steps, **options):
        self.seen.append(self.random_state)
        rng = np.random.default_rng(self.random_state)
        return np.concatenate([W0[None], rng.standard_normal((steps, *W0.shape))])


def failure(
    source: object, claim_id: str, folder: Path, *, seed: int = 0
) -> tuple[Verdict, Capsule, dict[str, NumpyArray]]:
    """The verdict, and its capsule as it is read back."""
    with Session(
        source, profile=UNHURRIED, claims=[claim_id], capsules=folder, seed=seed
    ) as session:
        verdict = session.verdict(load_claims()[claim_id])
    assert verdict.status is Status.FAILED
    capsule, arrays = load_capsule(verdict.capsule)
    return verdict, capsule, arrays


def test_a_capsule_holds_the_whole_failure(tmp_path: Path) -> None:
    verdict, capsule, arrays = failure(NoDecay, "trajectory", tmp_path / "new" / "folder", seed=5)
    assert verdict.capsule == str(tmp_path / "new" / "folder" / "NoDecay--trajectory--quick-5.npz")
    assert (capsule.claim, capsule.claim_set) == ("trajectory", CLAIM_SET_VERSION)
    assert capsule.trainer is None  # an object of this process has no name
    assert capsule.settings.seed == 5
    assert capsule.settings.profile == UNHURRIED
    assert capsule.ledger.budget == 1e-6
    assert capsule.message == verdict.message
    assert capsule.verdict.statistic == verdict.statistic
    assert capsule.verdict.evidence == verdict.evidence
    assert len(capsule.seeds) == 1
    assert capsule.environment["versions"]["numpy"] == np.__version__
    assert all(pool["num_threads"] >= 1 for pool in capsule.environment["thread_pools"])
    # The arrays are those of the call that failed, and the trainer still does what it did.
    (call,) = capsule.calls
    given = {key: arrays[entry["sha256"]] for key, entry in call["arrays"].items()}
    assert set(given) == {"X", "y", "W0", "a", "b"}
    for entry in (*call["arrays"].values(), call["result"]):
        array = arrays[entry["sha256"]]
        assert list(array.shape) == entry["shape"]
        assert array.dtype.name == entry["dtype"]
        assert array_hash(array) == entry["sha256"]
    again = NoDecay().trajectory(**given, **call["options"])
    np.testing.assert_array_equal(again, arrays[call["result"]["sha256"]])


def test_a_capsule_is_plain_arrays_and_json(tmp_path: Path) -> None:
    verdict, _, _ = failure(NoDecay, "gradient-step", tmp_path)
    with np.load(verdict.capsule, allow_pickle=False) as archive:
        description = json.loads(archive["description"].tobytes())
    assert description["format"] == "mimverify replay capsule"
    assert description["case"]["value"]["plain"]["class"] == "ExactCase"


@pytest.mark.parametrize("claim_id", ["gradient-step", "power-iteration", "one-pass"])
def test_an_exact_failure_comes_back_without_hypothesis(
    claim_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = NoDecay if claim_id != "one-pass" else HalfTheRows
    _, capsule, _ = failure(broken, claim_id, tmp_path, seed=2)
    monkeypatch.setattr(hypothesis, "given", None)
    again = replay(capsule, broken)
    assert again.same
    assert again.conclusion is Conclusion.SAME
    assert again.verdict.evidence.finding == capsule.finding
    assert capsule.message == f"{capsule.finding}; {capsule.verdict.evidence.tried}"
    assert again.exit_code == 1
    assert again.differences == []
    assert again.verdict.evidence.divergence is not None
    now = again.verdict.evidence.to_json()
    assert now == capsule_evidence(capsule, now)
    mended = replay(capsule, numpy_trainer)
    assert mended.verdict.status is Status.PASSED
    assert mended.exit_code == 0
    assert mended.conclusion is Conclusion.MENDED
    assert not mended.same


def capsule_evidence(capsule: Capsule, now: Json) -> Json:
    """The recorded evidence, without the comparisons of earlier examples."""
    before = capsule.verdict.evidence.to_json()
    assert "earlier" not in now["tried"]  # a replay tries one example
    counts = ("comparisons", "summary")
    before["decisions"] = [
        {key: other[key] if key in counts else record[key] for key in record}
        for record, other in zip(before["decisions"], now["decisions"], strict=True)
    ]
    return before | {key: now[key] for key in ("examples", "summary", "tried")}


class HalfTheRows(LayerwiseTrainer):
    def trajectory(self, W0, a, b, X, y, **options):
        return super().trajectory(W0, a, b, X[::2], y[::2], **options)


def test_a_statistical_failure_repeats_the_recorded_seeds(tmp_path: Path) -> None:
    Noise.seen.clear()
    _, capsule, _ = failure(Noise, "span-recovery", tmp_path)
    first = list(Noise.seen)
    Noise.seen.clear()
    again = replay(capsule, Noise)
    assert again.same
    assert Noise.seen == first
    assert first[-3:] == first[-4:-3] * 3  # the last call was repeated
    first = first[:-3]
    assert len(set(first)) == len(first) >= 10
    assert capsule.seeds[1:] == first  # one more for the example itself
    assert "LearningCase" in capsule.case["repr"]
    (record,) = again.verdict.evidence.records
    assert record == capsule.verdict.evidence.records[0]
    assert replay(capsule, numpy_trainer).verdict.status is Status.PASSED


def test_other_claims_versions_and_arrays_are_reported(tmp_path: Path) -> None:
    _, capsule, _ = failure(NoDecay, "gradient-step", tmp_path)
    capsule.environment["versions"]["numpy"] = "1.0"
    capsule.calls[0]["arrays"]["X"]["sha256"] = "0"
    capsule.environment["sources"][__name__] = "0"
    again = replay(replace(capsule, claim_set="0"), NoDecay)
    assert again.same
    assert f"claim set {CLAIM_SET_VERSION}, recorded 0" in again.differences
    assert "the trainer was handed other arrays" in again.differences
    assert f"numpy {np.__version__}, recorded 1.0" in again.differences


def test_a_capsule_that_cannot_be_replayed_says_why(tmp_path: Path) -> None:
    _, capsule, _ = failure(NoDecay, "gradient-step", tmp_path)
    with pytest.raises(InputError, match="the capsule names none"):
        replay(capsule)
    with pytest.raises(InputError, match="no such claim"):
        replay(replace(capsule, claim="gone"), NoDecay)
    unusable: list[tuple[Json, str]] = [
        ({"repr": "x", "value": None}, "of no known form"),
        ({"repr": "x", "value": {"plain": {"class": "Path", "fields": {}}}}, "no class 'Path'"),
        ({"repr": "x", "value": {"plain": {"class": "ExactCase", "fields": {}}}}, "missing"),
        ({"repr": "x", "value": {"plain": [1]}}, "got a list"),
        ({"repr": "4", "value": {"plain": 3}}, "rebuilt as 3, recorded as 4"),
        ({}, "repr"),
        ({"repr": "x", "value": {"plain": {"tuple": 3}}}, "not iterable"),
        ({"repr": "x", "value": {"plain": {"class": [], "fields": {}}}}, "unhashable"),
        ({"repr": "x", "value": {"plain": {"class": "LearningCase", "fields": 3}}}, "no attribute"),
        (
            encode({"link": "he2", "loss": "l1", "dim": "5"}),
            "LearningCase.dim='5'",
        ),
    ]
    for case, reason in unusable:
        with pytest.raises(InputError, match=reason):
            replay(replace(capsule, case=case), NoDecay)


def encode(given: Json) -> Json:
    """A case whose fields have these values."""
    return {"repr": "x", "value": {"plain": {"class": "LearningCase", "fields": given}}}


# -- what a pass means ---------------------------------------------------------------------------


class OnlyOther:
    """Broken in one dtype, which it no longer declares."""

    trajectory = LayerwiseTrainer().trajectory

    def __init__(self, broken: str) -> None:
        self.dtypes = tuple({"float32", "float64"} - {broken})


def test_a_failure_that_was_declared_away_is_no_pass(tmp_path: Path) -> None:
    _, capsule, _ = failure(NoDecay, "gradient-step", tmp_path)
    (broken,) = {dtype for _, _, dtype in capsule.combinations}
    again = replay(capsule, lambda: OnlyOther(broken))
    assert again.verdict.status is Status.PASSED
    assert again.conclusion is Conclusion.NOT_TRIED
    assert again.exit_code == 3


def test_what_cannot_be_tried_is_no_pass(tmp_path: Path) -> None:
    _, capsule, _ = failure(NoDecay, "gradient-step", tmp_path)
    missing = replay(replace(capsule, turn=10**6), numpy_trainer)
    assert missing.verdict.status is Status.INCONCLUSIVE
    assert "turn=1000000: the claim has about" in missing.verdict.message
    not_applicable = replay(capsule, SimpleNamespace(fit=print, predict=print))
    assert not_applicable.verdict.status is Status.NOT_APPLICABLE
    for outcome in (missing, not_applicable):
        assert outcome.conclusion is Conclusion.NOT_TRIED
        assert outcome.exit_code == 3


def test_an_example_that_the_claim_excludes_is_not_tried(tmp_path: Path) -> None:
    _, capsule, _ = failure(NoDecay, "gradient-step", tmp_path)
    excluding = replace(load_claims()["gradient-step"], holds=lambda case: False)
    with pytest.MonkeyPatch.context() as patch:
        excludes = replace(load_claim_set(), claims={"gradient-step": excluding})
        patch.setattr(TrialSettings, "claim_set", excludes)
        outcome = replay(capsule, NoDecay)
    assert "assumptions exclude" in outcome.verdict.message
    assert outcome.exit_code == 3


FLAKY = """
from pathlib import Path
from mimverify import LayerwiseTrainer

class Trainer(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        beta = 0.0 if Path("broken").exists() else options["beta"]
        return super().trajectory(*args, **{**options, "beta": beta})
"""


def test_the_same_source_that_passes_now_was_not_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source, broken = tmp_path / "flaky_trainer.py", tmp_path / "broken"
    source.write_text(FLAKY)
    broken.touch()
    verdict, capsule, _ = failure("flaky_trainer:Trainer", "gradient-step", tmp_path)
    assert set(capsule.sources) == {"flaky_trainer"}
    assert replay(capsule).exit_code == 1
    broken.unlink()
    same = replay(capsule)
    assert same.conclusion is Conclusion.NOT_REPRODUCED
    assert same.exit_code == 3
    assert same.differences == []
    assert in_process("replay", verdict.capsule) == 3
    assert "Not reproduced:" in " ".join(capsys.readouterr().out.split())

    other = replay(capsule, "numpy")
    assert (other.conclusion, other.exit_code) == (Conclusion.MENDED, 0)
    capsule.environment["versions"]["numpy"] = "1.0"
    upgraded = replay(capsule)
    assert (upgraded.conclusion, upgraded.exit_code) == (Conclusion.MENDED, 0)
    source.write_text(FLAKY + "# mended\n")
    again, _ = load_capsule(verdict.capsule)
    mended = replay(again)
    assert (mended.conclusion, mended.exit_code) == (Conclusion.MENDED, 0)
    assert "the source of flaky_trainer" in mended.differences


def test_an_object_that_passes_now_was_not_mended(tmp_path: Path) -> None:
    class Sometimes(LayerwiseTrainer):
        broken = True

        def trajectory(self, *args, **options):
            beta = 0.0 if Sometimes.broken else options["beta"]
            return super().trajectory(*args, **{**options, "beta": beta})

    _, capsule, _ = failure(Sometimes, "gradient-step", tmp_path)
    Sometimes.broken = False
    again = replay(capsule, Sometimes)
    assert (again.conclusion, again.exit_code) == (Conclusion.NOT_REPRODUCED, 3)
    other = replay(capsule, numpy_trainer)
    assert (other.conclusion, other.exit_code) == (Conclusion.MENDED, 0)


def test_expected_failures_of_claims_that_are_gone_do_not_spoil_a_capsule(tmp_path: Path) -> None:
    with Session(
        NoDecay, profile=UNHURRIED, claims=["gradient-step"], capsules=tmp_path,
        expected_failures={"trajectory": "known"},
    ) as session:  # fmt: skip
        verdict = session.verdict(load_claims()["gradient-step"])
    capsule, _ = load_capsule(verdict.capsule)
    assert not capsule.settings.expected_failures


def test_capsules_without_hashes_of_the_source_are_read_as_well(tmp_path: Path) -> None:
    verdict, _, arrays = failure(NoDecay, "gradient-step", tmp_path)
    file, path = Archive("replay capsule", 4), tmp_path / "older.npz"
    description, _ = file.read(verdict.capsule)
    del description["environment"]["sources"]
    later = ("finding", "tried", "repetition", "output")
    found = description["verdict"]["evidence"]
    description["verdict"]["evidence"] = {k: v for k, v in found.items() if k not in later}
    description["verdict"]["message"] = found["finding"]
    file.write(path, description, arrays)
    capsule, _ = load_capsule(path)
    assert capsule.sources == {}
    assert replay(capsule, NoDecay).same
    known = replace(capsule, trainer="numpy")
    passed = replay(known)  # nothing shows that it was mended
    assert (passed.conclusion, passed.exit_code) == (Conclusion.SOURCE_UNKNOWN, 3)
    assert "it is not known whether the source is the recorded one" in passed.differences


# -- which verdicts have one -------------------------------------------------------------------


def test_only_failures_have_capsules(tmp_path: Path) -> None:
    claims = load_claims()
    with Session(
        NoDecay,
        profile=UNHURRIED,
        capsules=tmp_path,
        expected_failures={"trajectory": "known", "power-iteration": "x"},
    ) as session:
        expected = session.verdict(claims["trajectory"])
        passed_unexpectedly = session.verdict(claims["power-iteration"])
    assert expected.status is Status.EXPECTED_FAILURE
    assert passed_unexpectedly.status in (Status.FAILED, Status.EXPECTED_FAILURE)
    with Session(
        numpy_trainer,
        profile=UNHURRIED,
        capsules=tmp_path,
        expected_failures={"power-iteration": "x"},
    ) as session:
        passed = session.verdict(claims["power-iteration"])
    assert passed.status is Status.UNEXPECTED_PASS
    assert "and passed" in passed.message
    assert not list(tmp_path.iterdir())
    with Session(NoDecay, profile=UNHURRIED) as session:
        assert session.verdict(claims["trajectory"]).capsule == ""  # no folder was given


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_verdict_survives_a_capsule_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = load_claims()["gradient-step"]
    (tmp_path / capsule_name("NoDecay", record.id, "quick", 0)).mkdir()
    with Session(NoDecay, profile=UNHURRIED, capsules=tmp_path) as session:
        verdict = session.verdict(record)
    assert verdict.status is Status.FAILED
    assert verdict.capsule == ""
    assert "cannot be written" in verdict.evidence.no_capsule
    with monkeypatch.context() as patch, Session(NoDecay, capsules=tmp_path / "full") as session:
        patch.setattr(os, "write", full_disk)
        verdict = session.verdict(record)
    assert verdict.status is Status.FAILED
    assert "cannot be written (No space left" in verdict.evidence.no_capsule
    assert not list((tmp_path / "full").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"capsules=.*file"):
        Session(NoDecay, capsules=tmp_path / "file")


def test_names_of_capsules_are_names_of_files() -> None:
    assert capsule_name("a.b:C.d", "null-law", "deep", 3) == "a.b.C.d--null-law--deep-3.npz"
    assert capsule_name("../x/y", "null-law", "quick", 0) == "x.y--null-law--quick-0.npz"
    long = [capsule_name("m:" + "a" * 400 + end, "null-law", "quick", 0) for end in "bc"]
    assert all(len(name) < 200 and name.endswith("--null-law--quick-0.npz") for name in long)
    assert long[0] != long[1]


# -- configurations ----------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnCase:
    """A configuration that a claim's own module defines."""

    sizes: tuple[int, ...]
    rate: float
    inner: LearningCase


@claim(id="stub", statement="s", source="here", measures="m", needs="first layer",
       decisions=Rounding("nothing"), cases=choices(("b", "c", "d")))  # fmt: skip
def stub(trial, case):
    pass


@pytest.mark.parametrize(
    "case",
    [
        ExactCase("tall", 12, 1543, 6, 3, 0.1, 1.0, "z1z2", 7),
        LearningCase("he2-mix", "huber", 96),
        OwnCase((1, 2), 0.1 + 0.2, LearningCase("he2", "l1", 5)),
        ("text", 1.5, None, (True, 2)),
        float("inf"),
        7,
    ],
)
def test_configurations_survive_json(case: object) -> None:
    written = json.loads(json.dumps({"repr": repr(case), "value": encode_case(case)}))
    back = decode_case(written, stub)
    assert back == case
    assert type(back) is type(case)


def test_what_has_no_known_form_is_not_written() -> None:
    assert encode_case([1]) is None
    assert encode_case(np.float64(1)) is None
    assert encode_case(ExactCase) is None


def test_the_recorded_example_alone_is_repeated() -> None:
    tried: list[str] = []

    def record_case(trial: Trial, case: str) -> None:
        tried.append(case)
        trial.within("nothing", np.zeros(1), np.zeros(1), 0.0)

    record = RecordedTrainer(InProcessTrainer(numpy_trainer))
    trial = Trial(
        replace(stub, procedure=record_case),
        TrainerUnderTrial(record),
        profile=UNHURRIED,
        ledger=Ledger(1e-7, 1e-6),
        replayed=Replayed("d", 3),
        record=record,
    )
    trial.run()
    assert tried == ["d"]
    assert trial.turn == 3
    assert record.seeds == [trial.seed_of("d")]


# -- files that are not to be trusted ----------------------------------------------------------


def test_bad_files_are_refused(tmp_path: Path) -> None:
    verdict, *_ = failure(NoDecay, "gradient-step", tmp_path)
    path = tmp_path / "bad.npz"
    content = Path(verdict.capsule).read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="no replay capsule"):
            load_capsule(path)
    state = FirstLayerState(0, np.ones((2, 3)), Centring(0.0, 0.0), None)
    save_checkpoint(path, Checkpoint({}, state, {}))
    with pytest.raises(InputError, match="expected a replay capsule, found something else"):
        load_capsule(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_capsule(tmp_path / "missing.npz")


def test_well_signed_files_are_checked_as_well(tmp_path: Path) -> None:
    verdict, _, arrays = failure(NoDecay, "gradient-step", tmp_path)
    file, path = Archive("replay capsule", 4), tmp_path / "bad.npz"
    description, _ = file.read(verdict.capsule)
    profile = description["settings"]["profile"]
    changes: list[Json] = [
        {"turn": "3"},
        {"claim": None},
        {"settings": {**description["settings"], "seed": "3"}},
        {"settings": {**description["settings"], "profile": {}}},
        {"settings": {**description["settings"], "profile": {**profile, "maximum_runs": "many"}}},
        {"settings": {**description["settings"], "profile": {**profile, "more": 1}}},
        {"settings": {**description["settings"], "more": 1}},
        {"ledger": {"share": 1}},
        {"calls": {}},
        {"verdict": {}},
        {"turn": -1},
        {"turn": True},
        {"ledger": {"level": 0.5, "budget": 0.1}},
        {"ledger": {"level": "0.1", "budget": 0.1}},
        {"settings": {**description["settings"], "time_limit": 1e300}},
        {"settings": {**description["settings"], "threads": 10**200}},
        {"seeds": [1.5]},
        {"environment": []},
        {"environment": {"versions": [1]}},
        {"environment": {"versions": {"numpy": 1}}},
        {"environment": {"versions": {}, "platform": 3}},
        {"environment": {"sources": [1]}},
        {"environment": {"sources": {"mine": 1}}},
        {"calls": [3]},
        {"case": {"repr": 3, "value": None}},
        {"case": {"repr": "3", "value": 3}},
    ]
    (call,) = description["calls"]
    entry = call["result"]
    changes += [
        {"calls": [{**call, key: value}]}
        for key, value in [
            ("method", 3), ("options", []), ("arrays", 3), ("arrays", {"X": 3}), ("result", 3),
            ("arrays", {"X": {}}), ("result", {**entry, "sha256": []}),
            ("result", {**entry, "shape": [-1]}), ("result", {**entry, "shape": 3}),
        ]
    ]  # fmt: skip
    recorded = description["verdict"]
    found = recorded["evidence"]
    wrong: list[Json] = [
        {"seconds": "1"}, {"message": None}, {"status": []}, {"id": 1}, {"capsule": {}},
        {"evidence": []}, {"evidence": {**found, "decisions": [3]}},
        {"evidence": {**found, "decisions": [{**found["decisions"][0], "failed": "yes"}]}},
        {"evidence": {**found, "omitted": [3]}},
        {"evidence": {**found, "first_divergence": 3}},
        {"evidence": {**found, "first_divergence": {**found["first_divergence"], "step": "1"}}},
        {"evidence": {**found, "tried": 3}}, {"evidence": {**found, "tried": {"case": 3}}},
        {"evidence": {**found, "repetition": {"found": "x"}}},
        {"evidence": {**found, "repetition": {**found["repetition"], "found": 3}}},
        {"evidence": {**found, "output": {"warnings": [3]}}},
        {"evidence": {**found, "output": {"stdout": 3}}},
        {"evidence": {**found, "finding": 3}}, {"evidence": {**found, "traceback": {}}},
        {"evidence": {**found, "notes": [3]}}, {"evidence": {**found, "trained_with": 3}},
    ]  # fmt: skip
    changes += [{"verdict": recorded | change} for change in wrong]
    for change in changes:
        file.write(path, description | change, arrays)
        with pytest.raises(InputError, match=r"bad\.npz: not a valid replay capsule"):
            load_capsule(path)
    file.write(path, description, {**arrays, "other": np.ones(2)})
    with pytest.raises(InputError, match="an array that is not other"):
        load_capsule(path)
    for version, message in ((2, "reads format 4$"), (3, "reads format 4; its seeds have stood")):
        Archive("replay capsule", version).write(path, description, arrays)
        with pytest.raises(InputError, match=message):
            load_capsule(path)


# -- the command line --------------------------------------------------------------------------


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mimverify", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_check_writes_what_replay_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "from mimverify import LayerwiseTrainer\n"
        "class NoDecay(LayerwiseTrainer):\n"
        "    def trajectory(self, *args, **options):\n"
        "        return super().trajectory(*args, **{**options, 'beta': 0.0})\n"
    )
    checked = run("check", "mine:NoDecay", "--claim", "trajectory", "--capsules", "kept",
                  "--seed", "4", "--json", "report.json", cwd=tmp_path)  # fmt: skip
    assert checked.returncode == 1, checked.stdout + checked.stderr
    path = str(Path("kept") / "mine.NoDecay--trajectory--quick-4.npz")
    assert f"mimverify replay {path}" in checked.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    (verdict,) = report["trainers"][0]["claims"]
    assert verdict["capsule"] == path
    assert verdict["evidence"]["behaves_like"]["rule"] == "weight decay missing"

    again = run("replay", path, "--json", "-", cwd=tmp_path)
    assert again.returncode == 1, again.stdout + again.stderr
    outcome = json.loads(again.stdout)
    assert outcome["same"] is True
    assert outcome["differences"] == []
    assert outcome["verdict"]["evidence"]["finding"] == verdict["evidence"]["finding"]
    assert outcome["conclusion"] == "same"

    monkeypatch.chdir(tmp_path)
    assert in_process("replay", path, "--trainer", "numpy") == 0
    shown = capsys.readouterr().out
    assert "The recorded example was tried and passed." in shown
    assert "Recorded: W_1" in shown
    for arguments in ((path[:-1],), ("mine.py",), (path, "--trainer", "nosuch:thing")):
        assert in_process("replay", *arguments) == 2
        complaint = capsys.readouterr().err
        assert complaint.startswith("Error: ")
        assert len(complaint.strip().splitlines()) == 1


def in_process(*arguments: str) -> int:
    """The exit code of a command, run here."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(ended.value.code, int)
    return ended.value.code
