"""Competitors for a step of training: what they compute, their processes, and the command."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mimverify.backends import BACKENDS, BACKENDS_WITH_DEVICES
from mimverify.cli.app import app
from mimverify.measure import alignment
from mimverify.performance.competitors import (
    COMPETITORS,
    STARTS,
    BenchmarkRun,
    Case,
    Competitor,
    CompetitorError,
    CompetitorProcess,
    Entry,
    Problem,
    estimate,
    fastest_backend,
    get_competitor,
    make_task,
    missing_packages,
    names_on,
)
from mimverify.performance.competitors.products import measure_peaks
from mimverify.performance.competitors.summary import ratio
from mimverify.performance.competitors.worker import Worker
from mimverify.support.errors import InputError
from mimverify.trial import exact_step, step_envelope

SMALL_PEAKS = {"side": 64, "nbytes": 1 << 16}
BENCHMARK = Path(__file__).parents[2] / "asv_benchmarks" / "test_baselines.py"

STEPPERS = [name for name, competitor in COMPETITORS.items() if competitor.computes_step]
OTHERS = [name for name in COMPETITORS if name not in STEPPERS]

# Competitors of a user: one that dies, one that raises, one that hangs, one that prints.
USERS = """
    import os, time
    from mimverify.performance.competitors import Competitor, Run

    def dies(task):
        print("last words", flush=True)
        os._exit(7)

    def raises(task):
        raise ValueError("no such luck")

    def hangs(task):
        return Run(lambda: time.sleep(60))

    def later(task):
        calls = iter(range(5))
        return Run(lambda: next(calls))

    def prints(task):
        return Run(lambda: print("so fast"), note="it prints")

    death = Competitor("death", "dies", dies)
    error = Competitor("error", "raises", raises)
    hanging = Competitor("hanging", "hangs", hangs)
    tired = Competitor("tired", "stops later", later)
    printing = Competitor("printing", "prints", prints)
    absent = Competitor("absent", "needs more", prints, modules=("no_such_module",), extra="jax")
    number = 3
"""


def need(name: str) -> Competitor:
    """The competitor, or a skip where its library is not installed."""
    competitor = COMPETITORS[name]
    for module in competitor.modules:
        pytest.importorskip(module)
    return competitor


@pytest.fixture
def users(user_module: Callable[[str], str]) -> str:
    return user_module(textwrap.dedent(USERS))


# -- what is computed ------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", STEPPERS)
def test_step_is_the_oracles(name: str, start: str, dtype: str) -> None:
    competitor = need(name)
    small = make_task(Problem(24, 6, 200, dtype, start, seed=3))
    # With large weights and labels all of σ' and both of Huber's branches come into play.
    large = replace(small, W=100 * small.W, y=3 * small.y)
    for task in (small, large):
        run = competitor.prepare(task)
        arrays = (task.W, task.a, task.b, task.X, task.y)
        options: dict[str, Any] = {
            "eta": task.eta, "beta": task.beta, "activation": task.activation, "loss": task.loss,
        }  # fmt: skip
        exact = exact_step(*arrays, **options)
        bound = step_envelope(*arrays, **options, dtype=dtype)
        assert np.abs(exact).max() > 100 * bound.max()  # or the comparison would be void
        for _ in range(2):  # a call leaves the state as it found it
            result = np.asarray(run.call())
            assert result.dtype == dtype
            assert (np.abs(result - exact) <= bound).all()


@pytest.mark.parametrize("backend", BACKENDS_WITH_DEVICES)
def test_a_named_device_computes_the_same_step(backend: str) -> None:
    usual = need(backend)
    task = make_task(Problem(24, 6, 200, "float64", seed=3))
    named = get_competitor(f"{backend} on cpu")
    found = named.prepare(task).call()
    assert np.array_equal(np.asarray(found), np.asarray(usual.prepare(task).call()))
    products = get_competitor(named.products).prepare(task).call()
    assert np.allclose(np.asarray(products[0]), task.X @ task.W.T)
    peaks = measure_peaks(get_competitor(named.products), "float64", **SMALL_PEAKS)
    assert set(peaks) == {"flops", "bytes"}


def test_those_on_a_device_are_steps_and_their_products() -> None:
    there = [name for name in BACKENDS_WITH_DEVICES if missing_packages(COMPETITORS[name]) is None]
    steps, products = ([f"{name}{of} on cpu" for name in there] for of in ("", " products"))
    assert list(names_on("cpu", "float32")) == steps + products
    with pytest.raises(InputError, match="device='nothing'"):
        names_on("nothing", "float32")


def test_what_is_no_device_is_refused() -> None:
    with pytest.raises(InputError, match="device='Big card'"):
        get_competitor("torch on Big card")


@pytest.mark.parametrize("name", OTHERS)
def test_others_can_be_called_again_and_again(name: str) -> None:
    run = need(name).prepare(make_task(Problem(32, 4, 512, start="symmetric")))
    for _ in range(3):
        run.call()


@pytest.mark.parametrize("name", [n for n, c in COMPETITORS.items() if c.group == "products"])
def test_products_are_those_of_a_step(name: str) -> None:
    task = make_task(Problem(20, 4, 64))
    P, G = (np.asarray(array) for array in need(name).prepare(task).call())
    assert np.allclose(P, task.X @ task.W.T, atol=1e-6)
    assert G.shape == task.W.shape


def test_eigsh_is_as_accurate_as_the_steps() -> None:
    task = make_task(Problem(64, 8, 64 * 16, "float64", "symmetric"))
    run = COMPETITORS["eigsh"].prepare(task)
    assert run.facts["alignment"] >= run.facts["alignment_after_steps"] > 0.2
    assert alignment(run.call(), task.subspace) == pytest.approx(run.facts["alignment"])
    assert run.steps == run.facts["steps"] == 4
    assert "divided by 4" in run.note


def test_data_are_the_same_in_every_process() -> None:
    problem = Problem(12, 4, 40, start="symmetric", seed=5)
    code = (
        "import sys, json\n"
        "from mimverify.performance.competitors import Problem, make_task\n"
        "t = make_task(Problem(**json.loads(sys.argv[1])))\n"
        "sys.stdout.buffer.write(b''.join(v.tobytes() for v in (t.X, t.y, t.W, t.a)))\n"
    )
    task, command = make_task(problem), [sys.executable, "-c", code, json.dumps(problem.to_json())]
    elsewhere = subprocess.run(command, capture_output=True, check=True).stdout
    assert elsewhere == b"".join(v.tobytes() for v in (task.X, task.y, task.W, task.a))


def test_problem_counts_what_a_step_needs() -> None:
    general, symmetric = (Problem(8, 6, 100, start=start) for start in STARTS)
    assert general.flops == 4 * 100 * 6 * 8 == 2 * symmetric.flops
    assert general.nbytes == 4 * 100 * 8
    assert Problem(8, 6, 100, "float64").nbytes == 2 * general.nbytes


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dim": 1}, "dim=1"),
        ({"neurons": 0}, "neurons=0"),
        ({"samples": 2.5}, "samples=2.5"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"start": "symmetrical"}, "start='symmetrical'.*did you mean 'symmetric'"),
        ({"neurons": 5, "start": "symmetric"}, "neurons=5"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_problems_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Problem(**({"dim": 8, "neurons": 4, "samples": 32} | arguments))  # type: ignore[arg-type]


# -- ratios ----------------------------------------------------------------------------------


def test_estimate_is_a_median_between_order_statistics() -> None:
    few = estimate([3.0, 1.0, 2.0])
    assert (few.median, few.low, few.high, few.coverage) == (2.0, 1.0, 3.0, 0.75)
    seven = estimate([float(k) for k in range(7)])
    assert (seven.low, seven.high) == (0.0, 6.0)
    assert seven.coverage == pytest.approx(1 - 2 / 2**7)
    many = estimate([float(k) for k in range(1, 16)])
    assert (many.median, many.low, many.high) == (8.0, 4.0, 12.0)  # the sign test's interval
    assert many.coverage >= 0.95
    assert estimate([5.0]).coverage == 0.0


def test_ratios_are_paired_by_round() -> None:
    assert ratio([2.0, 40.0, 600.0], [1.0, 10.0]).median == 3.0  # type: ignore[union-attr]
    assert ratio([1.0], []) is None


def test_case_compares_with_products_and_with_the_fastest() -> None:
    times = {
        "numpy": [4.0, 8.0], "torch": [3.0, 6.0], "numpy products": [5.0, 10.0],
        "jax grad": [6.0, 12.0],
    }  # fmt: skip
    entries = {name: Entry(COMPETITORS[name], seconds) for name, seconds in times.items()}
    entries["sklearn"] = Entry(COMPETITORS["sklearn"], failure="died")
    peaks = {"flops": 4.0 * 100 * 6 * 8, "bytes": 1e-3}
    case = Case(Problem(8, 6, 100), entries, peaks)
    assert case.fastest is entries["torch"]
    to_products, to_fastest = case.to_products("numpy"), case.to_fastest("jax grad")
    assert to_products is not None
    assert to_products.median == 0.8
    assert to_fastest is not None
    assert to_fastest.median == 2.0
    assert case.to_products("torch") is None  # its products were not timed
    assert case.to_products("sklearn") is None
    assert case.limit == 3200 / 1e-3  # the larger of the two
    rates = case.rates("torch")
    assert rates is not None
    assert rates[0] == case.problem.flops / 4.5
    assert case.rates("sklearn") is None
    entries["jax grad"].facts["steps"] = 5
    assert case.rates("jax grad") is None
    record = case.to_json()
    assert record["contenders"]["sklearn"]["failure"] == "died"
    assert record["contenders"]["numpy"]["round_seconds"] == [4.0, 8.0]


# -- processes -------------------------------------------------------------------------------


def test_worker_times_what_it_prepared() -> None:
    worker = Worker(COMPETITORS["numpy products"])
    with pytest.raises(ValueError, match="nothing was prepared"):
        worker.answer({"op": "time"})
    with pytest.raises(ValueError, match="unknown request"):
        worker.answer({"op": "dance"})
    reported = worker.answer({"op": "prepare", "problem": Problem(8, 4, 64).to_json()})
    assert reported["versions"]["numpy"] == np.__version__
    assert reported["threads"] >= 1
    assert worker.answer({"op": "time", "repetitions": 2})["seconds"] > 0
    peaks = worker.answer({"op": "peaks", "dtype": "float32", **SMALL_PEAKS})
    assert peaks["flops"] > 0
    assert peaks["bytes"] > 0
    assert Worker(COMPETITORS["numpy"]).answer({"op": "peaks", "dtype": "float32"}) == {}


def test_torch_has_peaks_of_its_own() -> None:
    assert set(measure_peaks(COMPETITORS["torch products"], "float64", **SMALL_PEAKS)) == {
        "flops",
        "bytes",
    }


def test_idle_process_is_stopped_and_ends_with_its_parent(users: str) -> None:
    script = (
        "import sys, time\n"
        "from mimverify.performance.competitors import *\n"
        f"p = CompetitorProcess({users + ':printing'!r})\n"
        "p.prepare(Problem(8, 4, 32))\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        state = Path(f"/proc/{worker}/stat")
        if state.exists():
            assert soon(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        parent.kill()
    assert soon(lambda: not running(worker))


def test_processes_take_no_module_of_theirs_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the competitor itself, and what it imports: as a trainer."""
    for name in ("random", "queue", "numpy", "json", "statistics", "mimverify", "typing"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(9)")
    (tmp_path / "beside_it.py").write_text("import random, statistics\nnote = 'from here'")
    (tmp_path / "my_competitor.py").write_text(
        "from mimverify.performance.competitors import Competitor, Run\n"
        "import beside_it\n"
        "mine = Competitor('mine', 'nothing', lambda task: Run(int, note=beside_it.note))\n"
    )
    monkeypatch.chdir(tmp_path)
    with CompetitorProcess("my_competitor:mine") as process:
        assert process.prepare(Problem(8, 4, 32))["note"] == "from here"
        assert process.time(3) > 0


def soon(holds: Callable[[], bool]) -> bool:
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    try:  # it may have ended, but not been reaped
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_competitor_that_hangs_is_ended(users: str) -> None:
    with (
        CompetitorProcess(f"{users}:hanging", time_limit=2.0) as process,
        pytest.raises(CompetitorError, match="no answer within 2 s"),
    ):
        process.prepare(Problem(8, 4, 32))
    assert process.closed


def test_a_competitor_that_fails_is_named_and_the_others_go_on(users: str) -> None:
    own = [f"{users}:{name}" for name in ("death", "error", "tired", "printing", "absent")]
    reported: list[str] = []
    with BenchmarkRun(["numpy", *own], rounds=2, threads=1, repetitions=1) as benchmark:
        case = benchmark.run(Problem(8, 4, 32), lambda _, words: reported.append(words))
        again = benchmark.run(Problem(8, 4, 48))
        processes = list(benchmark._processes.values())
    assert all(process.closed for process in processes)
    entries = case.entries
    assert entries["death"].failure == "its process died, exit code 7: last words"
    assert entries["error"].failure == "ValueError: no such luck"
    assert "StopIteration" in str(entries["tired"].failure)
    assert "no_such_module (pip install 'mimverify[jax]')" in benchmark.missing["absent"]
    assert entries["absent"].failure == benchmark.missing["absent"]
    for name in ("numpy", "printing"):
        assert entries[name].failure is None
        assert len(entries[name].seconds) == 2
    assert entries["tired"].seconds == entries["tired"].seconds[:1]
    assert entries["printing"].note == "it prints"
    assert "round 2 of 2: numpy" in reported
    # The next problem is tried with all of them again.
    assert again.entries["death"].failure == entries["death"].failure
    assert len(again.entries["numpy"].seconds) == 2
    json.dumps(benchmark.to_json())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"competitors": ["nunpy"]}, "contender='nunpy'.*did you mean 'numpy'"),
        ({"competitors": ["numpy", "NumPy"]}, "'numpy' is there already"),
        (
            {"competitors": ["mimverify.performance.competitors:BenchmarkRun"]},
            "expected a Competitor, got a class",
        ),
        ({"rounds": 0}, "rounds=0"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_bad_benchmark_runs_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        BenchmarkRun(**arguments)  # type: ignore[arg-type]


def test_what_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(InputError, match=r"dim=1000000.*needs about"):
        BenchmarkRun(["numpy"]).run(Problem(10**6, 4, 10**8))


def test_registry_names_users_and_ours() -> None:
    assert get_competitor("Torch-Autograd") is COMPETITORS["torch autograd"]
    assert missing_packages(COMPETITORS["numpy"]) is None
    for competitor in COMPETITORS.values():
        # The bare products of a backend's library are a contender of their own, or none.
        assert competitor.backend or competitor.products in ("", *COMPETITORS)
        assert len(competitor.name) <= 14  # the table's column


def test_fastest_backend_is_one_of_ours() -> None:
    assert fastest_backend(16, 4, 64, rounds=1, threads=1) in BACKENDS
    with pytest.raises(InputError, match="dim=0"):
        fastest_backend(0, 4)


# -- the command -----------------------------------------------------------------------------


def bench(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bench", *arguments], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    code: int = result.return_value
    return code, result.output


def test_command_prints_a_table_and_writes_everything(tmp_path: Path, users: str) -> None:
    path = tmp_path / "bench.json"
    code, page = bench(
        "-d", "16", "-m", "4", "--ratio", "4", "--rounds", "2", "--threads", "1",
        "--start", "symmetric", "--contender", "numpy", "--contender", "eigsh",
        "--contender", f"{users}:death", "--contender", f"{users}:absent", "--json", str(path),
    )  # fmt: skip
    assert code == 1  # one of them died
    assert max(map(len, page.splitlines())) <= 80
    assert "d = 16, n = 64, m = 4, float32, symmetric start" in page
    assert "death failed: its process died, exit code 7: last words" in page
    assert "absent was left out: needs no_such_module" in page
    assert page.count("products with H_n") == 1
    record = json.loads(path.read_text())
    assert record["complete"]
    assert record["machine"]["cpu"]
    assert record["threads"] == 1
    assert [case["start"] for case in record["cases"]] == ["symmetric"]
    numpy = record["cases"][0]["contenders"]["numpy"]
    assert len(numpy["round_seconds"]) == 2
    assert numpy["to_fastest"]["median"] == 1.0
    assert numpy["versions"]["numpy"] == np.__version__
    assert numpy["flops_per_second"] > 0


def test_command_keeps_what_it_has_when_interrupted(
    tmp_path: Path, users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BenchmarkRun.run

    def interrupted(self: BenchmarkRun, problem: Problem, on_progress: object = None) -> Case:
        if self.cases:
            raise KeyboardInterrupt
        return run(self, problem, None)

    monkeypatch.setattr(BenchmarkRun, "run", interrupted)
    path = tmp_path / "bench.json"
    result = CliRunner().invoke(
        app,
        ["bench", "-d", "8", "-m", "4", "--rounds", "1", "-q", "--contender", f"{users}:printing",
         "--json", str(path)],
    )  # fmt: skip
    assert result.exit_code != 0
    record = json.loads(path.read_text())
    assert not record["complete"]
    assert len(record["cases"]) == 1
    assert "printing" in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--start", "all"], "start='all'"),
        (["--ratio", "0"], "ratio=0"),
        (["-m", "3"], "neurons=3"),
        (["--dtype", "half"], "dtype='half'"),
        (["--contender", "tensorflow"], "contender='tensorflow'"),
        (["--json", "/no/such/folder/x.json"], "--json="),
    ],
)
def test_command_refuses_bad_input(arguments: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        bench(*arguments)


@pytest.mark.skipif(
    not BENCHMARK.exists() or importlib.util.find_spec("pytest_benchmark") is None,
    reason="no benchmarks here, or no pytest-benchmark",
)
def test_benchmark_runs(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    test = f"{BENCHMARK}::test_step[numpy-general-64-8]"
    # Not as a part of this run: where it sees a worker's variables, the plugin measures nothing.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test,
         f"--benchmark-json={path}"],
        check=True, capture_output=True, timeout=120, env=environment,
    )  # fmt: skip
    (record,) = json.loads(path.read_text())["benchmarks"]
    assert record["extra_info"]["flops"] == 4 * 1024 * 8 * 64
    assert record["stats"]["min"] > 0


def test_terminated_command_leaves_no_process(users: str) -> None:
    arguments = [
        sys.executable, "-m", "mimverify", "bench", "-d", "8", "-m", "4",
        "--contender", f"{users}:hanging",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL) as command:
        children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
        if not children.exists():
            command.kill()
            pytest.skip("this system does not list the children of a process")
        found = soon(lambda: bool(children.read_text().split()))
        pids = [int(pid) for pid in children.read_text().split()]
        command.send_signal(signal.SIGTERM)
        assert command.wait(20) == 128 + signal.SIGTERM
    assert found
    assert soon(lambda: not any(map(running, pids)))
