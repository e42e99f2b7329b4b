"""Tests of `mimverify train`: options, output, exit codes, signals."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from console_script import Command, command
from mimverify.experiment import DESIGNS, stages_for
from mimverify.problems import MultiIndexModel

ROOT = Path(__file__).parents[2]
SMALL = [
    "--dim=16",
    "--samples=300",
    "--steps=3",
    "--neurons=8",
    "--readout-neurons=16",
    "--test-samples=500",
]
PATIENCE = 60  # s; how long to wait for what must happen, however slow the machine


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    handler = signal.getsignal(signal.SIGTERM)
    with threadpool_limits(1):  # problems this small only lose by more
        yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def train(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process, as the console script does."""
    return command(capsys, "train")


def test_prediction_beside_measurement(train: Command, tmp_path: Path) -> None:
    size = ["--dim=128", "--samples=2048", "--steps=4", "--test-samples=500"]
    outcome = train("cos2z", *size, "--predict", "--json", "run.json")
    assert outcome.code == 0, outcome.err
    assert "95 % of runs" in outcome.out
    record = json.loads((tmp_path / "run.json").read_text())
    predicted = record["predicted_alignment"]
    assert len(predicted["mean"]) == len(record["alignment"]) == 5
    # A run of this seed, inside twice the central 95 % of runs (in log-odds) at every step.
    for t, measured in enumerate(record["alignment"]):
        low, high = (np.log(predicted[key][t] / (1 - predicted[key][t])) for key in ("low", "high"))
        middle, width = (low + high) / 2, high - low
        assert abs(np.log(measured / (1 - measured)) - middle) < width
    span = record["predicted_span_recovery"]
    assert span["median"][0] is None
    assert len(span["median"]) == len(record["span_recovery"])
    low, high = span["low"][-1], span["high"][-1]  # twice the central 95 %, again
    assert abs(record["span_recovery"][-1] - (low + high) / 2) < high - low
    error = record["predicted_test_error"]
    assert (error["samples"], error["steps"], error["test_samples"]) == (2048, 4, 500)
    assert (error["neurons"], error["readout_neurons"]) == (64, 256)
    low, high = (error["test_error"][key] for key in ("low", "high"))
    assert abs(record["test_error"] - (low + high) / 2) < high - low
    assert f"{low:.4f} … {high:.4f}" in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


def test_stage_two_s_settings_are_those_of_the_run(train: Command, tmp_path: Path) -> None:
    outcome = train(
        "abs", "--dim=32", "--samples=600", "--steps=3", "--neurons=8", "--readout-neurons=20",
        "--ridge=0.1", "--predict", "--json", "run.json", "-q",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    error = json.loads((tmp_path / "run.json").read_text())["predicted_test_error"]
    settings = {"neurons": 8, "readout_neurons": 20, "ridge": 0.1, "loss": "huber"}
    assert {key: error[key] for key in settings} == settings


def test_no_prediction_of_the_error_has_its_reason(train: Command, tmp_path: Path) -> None:
    options = ["--activation=softplus", "--remove-linear-part", "--loss=squared"]
    outcome = train("cos2z", *SMALL, *options, "--predict", "--json", "run.json")
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["predicted_test_error"] is None
    assert "remove_linear_part" in record["predicted_test_error_reason"]
    assert "No prediction of the test error" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule=constant", "--eta=1"], "schedule='constant'"),
        (["--no-centre"], "centre=False"),
        (["--activation=relu"], "slope at zero"),
        (["--activation=relu", "--remove-linear-part"], "only 'squared'"),
        (["--init-norm=1"], "init_norm=1"),
    ],
)
def test_prediction_refused(train: Command, arguments: list[str], message: str) -> None:
    outcome = train("cos2z", *SMALL, "--predict", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.out == ""


def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, in the current folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-m", "mimverify", "train", *arguments],
        env=environment,
        **(streams | settings),
    )


def strict(text: str) -> Any:
    """`text` as JSON without NaN and infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"not strict JSON: {constant}")

    return json.loads(text, parse_constant=refuse)


# -- JSON ----------------------------------------------------------------------------------


def test_json_dash_prints_json_and_nothing_else(train: Command) -> None:
    outcome = train("tanh3", *SMALL, "--json", "-")
    assert (outcome.code, outcome.err) == (0, "")
    record = strict(outcome.out)
    for column in ("alignment", "span_recovery", "seconds"):
        assert len(record[column]) == 4
    assert np.shape(record["overlaps"]) == np.shape(record["principal_cosines"]) == (4, 3)
    assert record["baselines"].keys() == {"mean", "linear", "oracle_subspace"}
    assert isinstance(record["test_error"], float)
    assert (record["steps"], record["interrupted"], record["error"]) == (3, False, None)


def test_json_has_the_full_configuration(train: Command) -> None:
    options = {
        "noise": 0.5, "backend": "torch", "dtype": "float32", "seed": 3, "loss": "huber:2",
        "schedule": "constant", "eta": 5.0, "beta": 0.1, "init_norm": 0.02, "ridge": 0.01,
        "readout": "gradient-descent", "activation": "pseudo-huber", "threads": 1,
        "device": "cpu",
    }  # fmt: skip
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    outcome = train("z1z2", *SMALL, *given, "--no-centre", "--json", "-")
    configuration = strict(outcome.out)["configuration"]
    assert {name: configuration[name] for name in options} == options
    sizes = {name: configuration[name] for name in ("dim", "samples", "steps", "neurons")}
    assert sizes == {"dim": 16, "samples": 300, "steps": 3, "neurons": 8}
    assert configuration["link"] == "z1z2"
    assert configuration["centre"] is False
    assert configuration["remove_linear_part"] is False
    assert configuration["centring_constant"] == 0
    assert configuration["versions"].keys() == {"mimverify", "numpy", "scipy", "torch", "python"}


def test_same_command_gives_the_same_record_to_the_bit(train: Command, tmp_path: Path) -> None:
    arguments = ("he2-mix", *SMALL, "--seed=7", "--threads=1")
    texts = [train(*arguments, "--json", "-").out]
    with start(*arguments, "--json", "-") as process:
        texts.append(process.communicate(timeout=PATIENCE)[0])
    train(*arguments, "--json", "record.json", "--save", "kept.npz")
    texts.append((tmp_path / "record.json").read_text(encoding="utf-8"))
    # The time is another, and a trajectory that is kept takes memory.
    varying = r'"seconds": \[[^\]]*\]|"phases": \{[^}]*\}|"memory": \d+'
    timeless = {re.sub(varying, "", text) for text in texts}
    assert len(timeless) == 1
    assert strict(texts[0])["seconds"][0] == 0


def test_json_goes_through_links_and_into_pipes(train: Command, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("target.json")
    assert train("z1z2", *SMALL, "--quiet", "--json", "link.json").code == 0
    assert (tmp_path / "link.json").is_symlink()
    strict((tmp_path / "target.json").read_text(encoding="utf-8"))
    os.mkfifo(tmp_path / "pipe")
    received: list[str] = []
    reader = threading.Thread(
        target=lambda: received.append((tmp_path / "pipe").read_text(encoding="utf-8")), daemon=True
    )
    reader.start()
    assert train("z1z2", *SMALL, "--quiet", "--json", "pipe").code == 0
    reader.join(PATIENCE)
    assert strict(received[0])["steps"] == 3
    assert (tmp_path / "pipe").is_fifo()


# -- tables --------------------------------------------------------------------------------


def test_without_a_terminal_the_tables_are_plain(train: Command) -> None:
    outcome = train("z1z2", *SMALL)
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    steps = re.findall(r"^ +(\d) +[01]\.\d{4} +[01]\.\d{4}", outcome.out, flags=re.MULTILINE)
    assert steps == ["0", "1", "2", "3"]
    for text in ("this network", "true subspace (oracle)", "predicting the mean", "fresh samples"):
        assert text in outcome.out
    assert all(len(line) <= 80 and line == line.rstrip() for line in outcome.out.splitlines())


def test_quiet_prints_nothing(train: Command, tmp_path: Path) -> None:
    assert train("z1z2", *SMALL, "-q", "--json", "record.json") == (0, "", "")
    assert strict((tmp_path / "record.json").read_text(encoding="utf-8"))["steps"] == 3


def test_leaving_the_theorem_is_said(train: Command) -> None:
    outside = train("z1z2", *SMALL, "--activation=relu", "--loss=squared").out
    assert "Outside the theorem's assumptions" in outside
    assert "--remove-linear-part" in outside
    assert "Outside" not in train("z1z2", *SMALL).out


def test_help_tells_what_samples_are_and_gives_examples(train: Command) -> None:
    outcome = train("--help")
    text = " ".join(outcome.out.split())
    assert outcome.code == 0
    assert "stage 1 trains on N, stage 2 on N fresh ones, and the test set is fresh" in text
    assert "mimverify train cos2z" in text
    assert "tanh3" in text
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


def test_terminal_shows_progress_and_keeps_the_tables() -> None:
    ours, theirs = pty.openpty()
    with start("z1z2", *SMALL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text = _read_all(ours)
    assert process.returncode == 0
    for phase in ("stage 1: drawing data", "stage 1: steps", "stage 2", "baselines", "test"):
        assert phase in text
    erased = text.rindex("\x1b[2K")
    assert "this network" in text[erased:]


def _read_all(terminal: int) -> str:
    """What is written to a terminal until its other side is closed."""
    chunks = []
    while select.select([terminal], [], [], PATIENCE)[0]:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody is there any more
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(terminal)
    return b"".join(chunks).decode()


# -- the trajectory ------------------------------------------------------------------------


def test_save_keeps_the_trajectory(train: Command, tmp_path: Path) -> None:
    outcome = train("tanh3", *SMALL, "--dtype=float32", "--save", "run.2.npz", "--json", "-")
    with np.load(tmp_path / "run.2.npz", allow_pickle=False) as kept:
        arrays = dict(kept)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "weights": (4, 8, 16), "a": (8,), "b": (8,), "subspace": (3, 16), "alignment": (4,),
        "span_recovery": (4,),
    }  # fmt: skip
    assert arrays["weights"].dtype == np.float32
    assert arrays["alignment"].tolist() == strict(outcome.out)["alignment"]
    assert os.listdir(tmp_path) == ["run.2.npz"]


def test_save_that_fails_leaves_the_old_file(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.npz").write_text("old", encoding="utf-8")

    def full(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    outcome = train("z1z2", *SMALL, "--save", "old.npz")
    assert outcome.code == 4
    assert "No space left on device" in outcome.err
    assert os.listdir(tmp_path) == ["old.npz"]
    assert (tmp_path / "old.npz").read_text(encoding="utf-8") == "old"


def test_save_with_resume_is_refused_before_anything_is_done(
    train: Command, tmp_path: Path
) -> None:
    """The weights before the checkpoint are in no file: `--save` could not keep its promise."""
    begun = train("z1z2", *SMALL, "--checkpoint=run.npz", "--save=all.npz")
    assert begun.code == 0  # a run from its start keeps both
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = train("z1z2", *SMALL, "--checkpoint=run.npz", "--resume", "--save=all.npz")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("Error: --save='all.npz': a checkpoint holds the last weights")
    assert len(refused.err.splitlines()) == 1
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


# -- designs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_memory_is_announced_before_anything_else(train: Command, design: str) -> None:
    outcome = train("z1z2", *SMALL, "--design", design, "--json", "record.json")
    assert (outcome.code, outcome.err) == (0, "")
    record = strict(Path("record.json").read_text(encoding="utf-8"))
    assert record["configuration"]["design"] == design
    assert re.match(r"memory: [\d.]+ [kM]B \(.*", outcome.out)
    assert record["configuration"]["memory"] > 0
    assert "this network" in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


@pytest.mark.parametrize(
    "twice", [("json", "checkpoint"), ("save", "checkpoint"), ("json", "save")]
)
def test_one_file_for_two_purposes_is_refused(train: Command, twice: tuple[str, str]) -> None:
    outcome = train("z1z2", *SMALL, *(f"--{name}=one.npz" for name in twice))
    assert (outcome.code, outcome.out) == (2, "")
    assert "both name 'one.npz'" in outcome.err
    assert not Path("one.npz").exists()


def test_several_processes_need_a_sharded_design(
    train: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = train("z1z2", *SMALL)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "Error: WORLD_SIZE=2, design='stored': several processes share a run with "
        "design='sharded' only\n"
    )


def test_help_says_what_each_design_does(train: Command) -> None:
    shown = " ".join(train("--help").out.split())
    for design in DESIGNS:
        assert f"{design}: {stages_for(design).summary}." in shown


def test_without_baselines_the_table_has_none(train: Command) -> None:
    out = train("z1z2", *SMALL, "--no-baselines").out
    assert "this network" in out
    assert "oracle" not in out.lower()
    assert "linear regression" not in out


def test_resumed_run_is_the_whole_run(
    train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("z1z2", *SMALL, "--steps=6", "--threads=1", "--no-centre", "--quiet")
    # By the pass that a user's loss takes: the native one has other last bits.
    monkeypatch.setenv("MIMVERIFY_NATIVE", "0")
    whole = strict(train(*arguments, "--json=-").out)
    (tmp_path / "signalling.py").write_text(
        _SIGNALLING_LOSS.format(name="SIGTERM", call=5).replace("f - y", "huber(f - y)")
        + "\n\ndef huber(u):\n    return u.clip(-1, 1)\n",
        encoding="utf-8",
    )
    with start(*arguments, "--loss=signalling:loss", "--checkpoint=run.npz") as process:
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    # The loss is another name for the same function, which the checkpoint cannot know.
    refused = train(*arguments, "--checkpoint=run.npz", "--resume", "--json=-")
    assert refused.code == 2
    assert "loss='huber'" in refused.err
    (tmp_path / "signalling.py").write_text("def loss(f, y): return (f - y).clip(-1, 1)")
    resumed = strict(
        train(
            *arguments, "--loss=signalling:loss", "--checkpoint=run.npz", "--resume", "--json=-"
        ).out
    )
    for name in ("alignment", "span_recovery", "overlaps", "test_error", "baselines"):
        assert resumed[name] == whole[name]
    assert len(resumed["seconds"]) == 7


def test_existing_checkpoint_is_not_overwritten(train: Command, tmp_path: Path) -> None:
    (tmp_path / "run.npz").write_text("mine", encoding="utf-8")
    outcome = train("z1z2", *SMALL, "--checkpoint=run.npz")
    assert outcome.code == 2
    assert "exists already" in outcome.err
    assert (tmp_path / "run.npz").read_text(encoding="utf-8") == "mine"


def test_two_processes_of_torchrun_print_one_run(train: Command, tmp_path: Path) -> None:
    arguments = ["z1z2", *SMALL, "--design=sharded", "--threads=1"]
    alone = strict(train(*arguments, "--json=-").out)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    done = subprocess.run(
        [*launch, "-m", "mimverify", "train", *arguments, "--json=run.json", "--save=run.npz"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("memory: ") == done.stdout.count("this network") == 1
    assert "in each of 2 processes" in " ".join(done.stdout.split())
    together = strict((tmp_path / "run.json").read_text(encoding="utf-8"))
    for name in ("alignment", "test_error"):
        assert together[name] == pytest.approx(alone[name], rel=1e-6)
    assert sorted(os.listdir(tmp_path)) == ["run.json", "run.npz"]


# -- wrong input ---------------------------------------------------------------------------

WRONG = [
    ([], "LINK"),
    (["z1z2", "he2"], "unexpected extra argument"),
    (["cos3z"], "did you mean 'cos2z'"),
    (["cos2z", "--los=huber"], "--loss"),
    (["cos2z", "--loss=hubber"], "did you mean 'huber'"),
    (["cos2z", "--activation=reul"], "did you mean 'relu'"),
    (["cos2z", "--backend=cupy"], "numpy, torch"),
    (["cos2z", "--dtype=float16"], "float32, float64"),
    (["cos2z", "--device=cuda"], "device='cuda'"),
    (["cos2z", "--device=nowhere", "--backend=torch"], "device='nowhere'"),
    (["tanh3", "--dim=2", "--samples=9"], "rank=3"),
    (["cos2z", "--dim=many"], "--dim"),
    (["cos2z", "--neurons=7"], "even"),
    (["cos2z", "--samples=256"], "n=256, d=256"),
    (["cos2z", "--samples=1", "--steps=1"], "constant"),
    (["cos2z", "--schedule=constant", "--eta=nan"], "eta=nan"),
    (["cos2z", "--schedule=constant", "--eta=-1"], "eta=-1.0"),
    (["cos2z", "--schedule=constant", "--eta=1", "--beta=-1"], "beta=-1.0"),
    (["cos2z", "--dim=1000000"], "this machine has"),
    (["cos2z", "--seed=-1"], "--seed"),
    (["cos2z", "--threads=0"], "--threads"),
    (["cos2z", "--save=run.npy"], ".npz"),
    (["cos2z", "--save=nowhere/run.npz"], "nowhere"),
    (["cos2z", "--json=nowhere/run.json"], "nowhere"),
    (["cos2z", "--json=."], "is a folder"),
    (["no_such_module:link"], "there is no module"),
    (["cos2z", "--design=lacy"], "did you mean 'lazy'"),
    (["cos2z", "--resume"], "needs checkpoint"),
    (["cos2z", "--resume", "--checkpoint=run.npz"], "cannot be read"),
    (["cos2z", "--resume", "--checkpoint=run.npz", "--save=all.npz"], "trajectory"),
    (["cos2z", "--checkpoint=nowhere/run.npz"], "nowhere"),
    (["cos2z", "--checkpoint=run.npz", "--design=lazy"], "design='streamed'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_input_is_one_line_and_code_2(
    arguments: list[str], message: str, train: Command, tmp_path: Path
) -> None:
    outcome = train(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert not os.listdir(tmp_path)


def two_labels(link: str, seed: int) -> list[float]:
    """The labels of a test set of two, of the model that `SMALL` and `seed` describe."""
    model = MultiIndexModel(link, 16, seed=seed)
    return [float(y) for y in model.sample(2, purpose="test").y]


def test_failure_at_the_end_keeps_the_steps(train: Command) -> None:
    # Two test labels of a ±1-valued link agree for half of all seeds.
    seed = next(s for s in itertools.count() if len(set(two_labels("sign-z1z2z3", s))) == 1)
    outcome = train("sign-z1z2z3", *SMALL, "--test-samples=2", f"--seed={seed}", "--json", "-")
    record = strict(outcome.out)
    assert outcome.code == 2
    assert "constant" in outcome.err
    assert record["error"] in outcome.err
    assert (record["steps"], record["test_error"]) == (3, None)


def test_link_from_this_folder(train: Command, tmp_path: Path) -> None:
    name = f"links_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("def g(z): return z[:, 0] * z[:, 1]", encoding="utf-8")
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(tmp_path))]
    assert "give the rank explicitly" in train(f"{name}:g", *SMALL).err
    outcome = train(f"{name}:g", "--rank=2", *SMALL, "--json", "-")
    assert strict(outcome.out)["configuration"]["rank"] == 2


# -- runs that end early --------------------------------------------------------------------


def test_divergence_is_reported_with_code_1(train: Command, tmp_path: Path) -> None:
    diverge = (
        "--schedule=constant",
        "--eta=1e15",
        "--steps=9",
        "--loss=squared",
        "--activation=quadratic",
    )
    outcome = train("z1z2", *SMALL, *diverge, "--json", "record.json", "--save", "run.npz")
    record = strict((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert outcome.code == 1
    assert outcome.err == f"Error: {record['error']}\n"
    assert len(record["alignment"]) == record["steps"] + 1
    assert f"{record['steps'] + 1}" in record["error"]
    assert "run.npz holds the start and the" in outcome.out
    with np.load(tmp_path / "run.npz") as kept:
        assert len(kept["weights"]) == record["steps"] + 1


_SIGNALLING_LOSS = """
import os, signal

calls = 0

def loss(f, y):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.{name})
    return f - y
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal_ends_the_run_with_what_was_finished(name: str, code: int, tmp_path: Path) -> None:
    source = _SIGNALLING_LOSS.format(name=name, call=20)
    (tmp_path / "signalling.py").write_text(source, encoding="utf-8")
    arguments = ("z1z2", *SMALL, "--steps=100", "--no-centre", "--loss=signalling:loss")
    with start(*arguments, "--json", "record.json", "--save", "run.npz") as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert err.split() == ["Error:", "interrupted"]
    record = strict((tmp_path / "record.json").read_text(encoding="utf-8"))
    assert record["interrupted"]
    assert record["test_error"] is None
    assert 0 < record["steps"] < 20
    assert len(record["alignment"]) == len(record["seconds"]) == record["steps"] + 1
    assert f"Interrupted after {record['steps']} of 100 steps" in out
    with np.load(tmp_path / "run.npz") as kept:
        assert len(kept["weights"]) == record["steps"] + 1


def test_reader_that_leaves_is_no_error() -> None:
    with start("z1z2", *SMALL) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 0
