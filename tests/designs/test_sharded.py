"""Tests of sharded designs and of runs of several processes, which `sharded_worker.py` makes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sharded_worker as worker
from mimverify.backends import base, get_backend
from mimverify.designs import ShardedDesign, StoredDesign, shard_rows
from mimverify.designs.distributed import Communicator, process_group
from mimverify.support.errors import InputError, LostProcessError

Array = NDArray[Any]

_ROOT = Path(__file__).resolve().parents[2]
_WORKER = str(_ROOT / "tests" / "helpers" / "sharded_worker.py")
_GUARD = 300.0  # s; a run that is not over by then hangs

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
RANKS = pytest.mark.parametrize("ranks", [1, 2, 3, 4])


def start(*command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    path = [str(_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    return subprocess.run(
        [sys.executable, *command],
        env=environment, capture_output=True, text=True, timeout=_GUARD, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all the runs that the worker makes."""
    folder = tmp_path_factory.mktemp("runs")
    process = start(_WORKER, str(folder))
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture(scope="module")
def results(runs: Path) -> Callable[[int], list[dict[str, Array]]]:
    """By number of processes: what each of them found."""

    @cache
    def read(ranks: int) -> list[dict[str, Array]]:
        folder = runs / f"agree-{ranks}"
        errors = [(folder / f"{rank}.err").read_text(encoding="utf-8") for rank in range(ranks)]
        assert json.loads((folder / "codes.json").read_text("utf-8")) == [0] * ranks, errors
        assert errors == [""] * ranks
        return [dict(np.load(folder / f"{rank}.npz")) for rank in range(ranks)]

    return read


@pytest.fixture(scope="module")
def single() -> Callable[[str, str, bool], dict[str, Array]]:
    """The same training on a stored matrix, in this process."""

    @cache
    def train(library: str, dtype: str, linear: bool) -> dict[str, Array]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(base, "_BLOCK_BYTES", 1)
            patch.setattr(base, "_MIN_ROWS", 64)
            return worker.train(
                lambda X: StoredDesign(X, get_backend(library, dtype)), linear=linear
            )

    return train


# -- several processes are one -----------------------------------------------------------------


@RANKS
def test_passes_over_few_rows_are_exact(
    ranks: int, library: str, dtype: str, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    """Also where some processes have no rows: integers, so that any order gives the same sum."""
    for found in results(ranks):
        for n in worker.FEW:
            X, V, y = worker.integers(n)
            P, kind = X @ V.T, f"{library} {dtype}"
            expected = ((P * P)[:, :2] + y[:, None]).T @ X
            np.testing.assert_array_equal(found[f"{kind} pass {n}"], expected)
            np.testing.assert_array_equal(found[f"{kind} project {n}"], P)
            assert found[f"{kind} pass {n}"].dtype == np.dtype(dtype)
            assert found[f"{kind} reduce {n}"].tolist() == [ranks, sum(range(ranks))]


@RANKS
def test_one_all_reduce_a_pass_and_a_step(
    ranks: int, library: str, dtype: str, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    for found in results(ranks):
        assert found["steps called"].tolist() == ["all_reduce"] * worker.STEPS
        for n in worker.FEW:
            assert found[f"{library} {dtype} pass called {n}"].tolist() == ["all_reduce"]
            assert found[f"{library} {dtype} project called {n}"].tolist() == ["all_gather"]


@RANKS
def test_all_processes_hold_the_same_bits(
    ranks: int, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    """They decide by themselves how many passes to make: a bit of difference could part them."""
    first, *others = results(ranks)
    for other in others:
        assert first.keys() == other.keys()
        for name in first:
            np.testing.assert_array_equal(other[name], first[name], err_msg=name)


@pytest.mark.parametrize(
    ("library", "dtype", "linear"),
    [(*kind, False) for kind in worker.KINDS] + [(*kind, True) for kind in worker.LINEAR],
)
@RANKS
def test_training_is_that_of_one_process_to_rounding(
    ranks: int,
    library: str,
    dtype: str,
    linear: bool,
    results: Callable[[int], list[dict[str, Array]]],
    single: Callable[[str, str, bool], dict[str, Array]],
) -> None:
    """On shards as uneven as can be, one of them empty.

    Rounding: the gradient is a sum of n terms of either sign. Its partial sums grow like √n
    times a term, and so does the result; n roundings of relative size u, of random sign, of
    numbers of that size make √n u relative to it. A step of power iteration damps what is off
    the leading directions, so that errors of t steps add up to t √n u.

    Linear part: both solutions leave a vector of `fit_linear_part`'s tolerance, of slopes with
    mean square below 1 and labels with mean square below 2.5. The Hessian's smallest eigenvalue
    is that of the sample covariance, (1 − √(d/n))² = 0.7, times the fraction of rows that Huber's
    loss does not clip, over a half: θ differs by 2 (1 + 1.6) / 0.35 tolerances, under 16. A
    slope follows θ·x at a rate of 1 at most, and the gradient with it: over the steps, t times.

    Readout: a ridge regression moves by 2 rms(y)/√ridge for a change of the features, relative
    to their scale; p features on unit rows whose projections differ by δ are off by √p δ
    together, and their scale √(Var log cosh(g + b)) is above 0.4.
    """
    expected, found = single(library, dtype, linear), results(ranks)[0]
    u = float(np.finfo(dtype).eps) / 2
    rounding = np.sqrt(worker.ROWS) * u
    solved = 16 * max(8 * u * np.sqrt(worker.DIM), 1e-12) if linear else 0.0

    def computed(name: str) -> Array:
        return found[f"{library} {dtype} {name} {linear}"]

    assert np.linalg.norm(computed("linear") - expected["linear"]) <= solved
    assert abs(computed("constant") - expected["constant"]) <= solved
    weights, reference = computed("weights"), expected["weights"]
    np.testing.assert_array_equal(weights[0], reference[0])
    for t in range(worker.STEPS + 1):
        error = np.linalg.norm(weights[t].astype(float) - reference[t])
        assert error <= t * (rounding + solved) * np.linalg.norm(reference[t])
    moved = (worker.STEPS + 1) * (rounding + solved)
    labels = np.sqrt(np.mean(worker.samples(2)[1] ** 2))
    lipschitz = 2 * labels * np.sqrt(worker.READOUT / worker.RIDGE) / 0.4
    difference = computed("predictions") - expected["predictions"]
    assert np.sqrt(np.mean(difference**2)) <= lipschitz * moved


@RANKS
def test_shards_may_be_streamed(
    ranks: int, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    for found in results(ranks):
        np.testing.assert_array_equal(found["drawn"], found["stored"])
        assert found["drawn"].any()


@RANKS
def test_a_resumed_run_has_the_bits_of_the_whole_one(
    ranks: int, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    for found in results(ranks):
        np.testing.assert_array_equal(found["resumed"], found["whole"])


# -- shards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3, 4, 30, 1003])
@RANKS
def test_shards_follow_one_another_and_are_even(n: int, ranks: int) -> None:
    shards = [shard_rows(n, rank, ranks) for rank in range(ranks)]
    rows = [row for shard in shards for row in range(shard.start, shard.stop)]
    assert rows == list(range(n))
    sizes = [shard.stop - shard.start for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((-1, 0, 1), "n=-1"), ((5, 2, 2), "rank=2"), ((5, 0, 0), "ranks=0"), ((5, -1, 2), "rank=-1")],
)
def test_impossible_shards_are_refused(arguments: tuple[int, int, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        shard_rows(*arguments)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_shards_that_make_no_matrix_are_refused_by_all(
    ranks: int, results: Callable[[int], list[dict[str, Array]]]
) -> None:
    last, n = ranks - 1, 2 * ranks
    expected = {
        "gap": f"process {last} of {ranks}: rows={n - 1}:{n + 1}",
        "held": f"process {last} of {ranks}: rows={n - 2}:{n} and a local design of 3 rows",
        "dim": f"process {last} of {ranks}: n_samples={n}, d=4",
        "n": f"process {last} of {ranks}: n_samples={n + 1}, d=3",
        "short": f"n_samples={n + 1}: the processes hold {n} rows",
        "same": f"--seed: process {last} has another one than process 0",
    }
    for found in results(ranks):
        messages = json.loads(str(found["refusals"]))
        assert messages.keys() == expected.keys()
        for name, beginning in expected.items():
            assert messages[name].startswith(beginning)


@pytest.mark.parametrize("rows", [slice(None), slice(0, None), slice(-1, 2), slice(2, 0)])
def test_rows_are_a_range(rows: slice) -> None:
    local = StoredDesign(np.zeros((2, 3)), get_backend("numpy", "float64"))
    with pytest.raises(InputError, match=r"rows\.st"):
        ShardedDesign(local, rows, 2, Communicator())


# -- processes that are lost -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "patience", "last"),
    [("kill", worker.PATIENCE, -9), ("raise", worker.PATIENCE, 1), ("hang", worker.HANG, -9)],
)
def test_a_lost_process_ends_the_others(
    scenario: str, patience: float, last: int, runs: Path
) -> None:
    """With an error: at once where it died, after the time limit where it hangs.

    (The one that hangs does so until the worker kills it; a run that waited for the longer
    limit would have been killed as well, and its exit codes be others.)
    """
    folder = runs / f"{scenario}-3"
    assert json.loads((folder / "codes.json").read_text("utf-8")) == [1, 1, last]
    *others, lost = [(folder / f"{rank}.err").read_text("utf-8") for rank in range(3)]
    message = f"Error: a process of the run died or did not answer within {patience:g} s ("
    for text in others:
        assert text.startswith(message)
        assert len(text.splitlines()) == 1
    assert lost == ("Error: this process alone raises\n" if scenario == "raise" else "")


def test_torchrun_starts_the_run_and_ends_it(
    runs: Path, results: Callable[[int], list[dict[str, Array]]], tmp_path: Path
) -> None:
    """Its processes find what those started by hand do; then one is killed."""
    process = start(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        _WORKER, "kill", str(tmp_path),
    )  # fmt: skip
    assert process.returncode == 1, process.stderr
    assert "exitcode  : -9" in process.stderr
    for rank in range(2):
        found = dict(np.load(tmp_path / f"{rank}.npz"))
        assert found["steps called"].tolist() == ["all_reduce"] * worker.STEPS
        np.testing.assert_array_equal(found["stepped"], results(2)[rank]["stepped"])


# -- a process's place in the run --------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets torchrun's variables, as it does for a single process by default."""

    def put(**changes: str | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        values = dict(zip(VARIABLES, ("0", "1", "0", "127.0.0.1", port), strict=True))
        for name, value in (values | changes).items():
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)

    return put


def test_without_variables_it_is_a_run_of_one(environment: Callable[..., None]) -> None:
    import torch.distributed

    environment(**dict.fromkeys(VARIABLES))
    with process_group("cpu") as run:
        assert not torch.distributed.is_initialized()
        assert (run.rank, run.ranks, run.device) == (0, 1, "cpu")
        x = np.arange(3.0)
        assert run.sum_(x) is x
        assert run.gather(x) == [x]
        run.barrier()
        run.check_same("--seed", "1")


def test_the_group_ends_with_its_block(environment: Callable[..., None]) -> None:
    import torch.distributed

    environment()
    for _ in range(2):  # another one after it, and after one that raised
        with process_group("cpu", 60) as run:
            assert torch.distributed.is_initialized()
            assert run.sum_(np.arange(3.0)).tolist() == [0, 1, 2]
        assert not torch.distributed.is_initialized()
        with pytest.raises(ZeroDivisionError), process_group("cpu", 60):
            raise ZeroDivisionError
        assert not torch.distributed.is_initialized()


def test_arrays_with_gaps_or_read_only_are_summed(environment: Callable[..., None]) -> None:
    import torch

    environment()
    X = np.arange(6.0).reshape(2, 3)
    X.flags.writeable = False
    with process_group("cpu", 60) as run:
        np.testing.assert_array_equal(run.sum_(X), X)
        np.testing.assert_array_equal(run.sum_(X.T), X.T)
        tensor = torch.arange(6.0).reshape(2, 3)
        assert torch.equal(run.sum_(tensor.T), tensor.T)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"RANK": None}, "RANK is not set"),
        ({"WORLD_SIZE": None}, "WORLD_SIZE is not set"),
        ({"RANK": "one"}, "RANK='one'"),
        ({"RANK": "1"}, "RANK=1 .* from 0 to 0"),
        ({"RANK": "-1"}, "RANK=-1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0"),
        ({"LOCAL_RANK": "x"}, "LOCAL_RANK='x'"),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR=''"),
        ({"MASTER_ADDR": " "}, "MASTER_ADDR=' '"),
    ],
)
def test_broken_variables_are_named(
    changes: dict[str, str | None], named: str, environment: Callable[..., None]
) -> None:
    environment(**changes)
    with pytest.raises(InputError, match=named), process_group("cpu", 60):
        pass


@pytest.mark.parametrize("timeout", [0, 0.5, -1.0, float("nan"), float("inf"), 1e12, "soon"])
def test_a_time_limit_is_one(timeout: Any) -> None:
    with pytest.raises(InputError, match="timeout="), process_group("cpu", timeout):
        pass


def test_processes_that_never_come_are_an_error(environment: Callable[..., None]) -> None:
    environment(WORLD_SIZE="2")
    with (
        pytest.raises(LostProcessError, match=r"the 2 processes .* did not meet .* within 1 s"),
        process_group("cpu", 1),
    ):
        pass


def test_a_port_that_is_taken_is_an_error(environment: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment(MASTER_PORT=str(server.getsockname()[1]))
        with pytest.raises(LostProcessError, match="did not meet"), process_group("cpu", 1):
            pass


def test_a_group_that_exists_is_not_replaced(environment: Callable[..., None]) -> None:
    environment()
    with (
        process_group("cpu", 60),
        pytest.raises(InputError, match="initialised already"),
        process_group("cpu", 60),
    ):
        pass


def test_a_torch_without_groups_is_refused(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.distributed

    environment()
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"has no torch\.distributed"), process_group("cpu", 60):
        pass


@pytest.mark.parametrize("device", ["cuda:1", "mps", "nothing"])
def test_devices_are_cpu_or_cuda(device: str, environment: Callable[..., None]) -> None:
    environment()
    with pytest.raises(InputError, match=f"device='{device}'"), process_group(device, 60):
        pass


def test_a_process_without_a_gpu_is_refused(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    environment()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device='cuda'"), process_group("cuda", 60):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="LOCAL_RANK=0"), process_group("cuda", 60):
        pass
    environment(LOCAL_RANK=None)
    with pytest.raises(InputError, match="LOCAL_RANK is not set"), process_group("cuda", 60):
        pass
