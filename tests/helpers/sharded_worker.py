"""The processes of the runs that `test_sharded.py` tests.

`sharded_worker.py SCENARIO FOLDER` is one process; its place in the run comes from the
environment, as under torchrun. What it finds goes to FOLDER/RANK.npz; an error of mimverify's
ends it as it ends the command line, with exit code 1.

`sharded_worker.py FOLDER` makes all the runs, by itself: Torch takes seconds to load, so the
processes are forked from one that has loaded it and has no threads yet.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import base, get_backend
from mimverify.designs import (
    Design,
    ModelRows,
    ShardedDesign,
    StoredDesign,
    StreamedDesign,
    shard_rows,
)
from mimverify.designs.distributed import Communicator, process_group
from mimverify.experiment.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mimverify.problems.model import MultiIndexModel
from mimverify.support.errors import InputError, MimverifyError
from mimverify.training.stage1 import FirstLayerState
from mimverify.training.trainer import LayerwiseTrainer

Array = NDArray[Any]

KINDS = [(library, dtype) for library in ("numpy", "torch") for dtype in ("float64", "float32")]
#: Where the linear part is removed as well: some hundred passes, each with its all-reduce.
LINEAR = [("numpy", "float64"), ("torch", "float32")]
ROWS, DIM, STEPS, READOUT, RIDGE = 1003, 24, 4, 32, 0.1
#: Where the shards of the trainings end, by number of processes: as uneven as can be.
ENDS = {1: [ROWS], 2: [130, ROWS], 3: [700, 700, ROWS], 4: [1, 600, 1003, ROWS]}
#: Rows of the exact passes: fewer than processes, as many, and more.
FEW = (1, 2, 4, 7, 30)
PATIENCE = 600.0  # s; far longer than the tests wait
HANG = 3.0  # s that a process that hangs is waited for


def shard(rank: int, ranks: int) -> slice:
    ends = [0, *ENDS[ranks]]
    return slice(ends[rank], ends[rank + 1])


def samples(seed: int) -> tuple[Array, Array]:
    """Inputs with every term that the trainings meet: linear, even, and noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, DIM))
    y = X[:, 0] * X[:, 1] + np.cos(2 * X[:, 2]) + 0.5 * X[:, 3] + 0.1 * rng.standard_normal(ROWS)
    return X, y


def integers(n: int) -> tuple[Array, Array, Array]:
    """X `(n, 5)`, V `(3, 5)`, y: small enough that every sum stays exact, in any order."""
    rng = np.random.default_rng(n)
    return tuple(rng.integers(-4, 5, shape).astype(np.float64) for shape in ((n, 5), (3, 5), (n,)))  # type: ignore[return-value]


def small_blocks() -> None:
    """Several row blocks to a shard."""
    base._BLOCK_BYTES, base._MIN_ROWS = 1, 64


def trainer(*, linear: bool, **parameters: Any) -> LayerwiseTrainer:
    settings: dict[str, Any] = {
        "neurons": 8, "steps": STEPS, "readout_neurons": READOUT, "ridge": RIDGE,
        "remove_linear_part": linear,
    }  # fmt: skip
    return LayerwiseTrainer(**settings, **parameters)


def train(design: Callable[[Array], Design], *, linear: bool) -> dict[str, Array]:
    """Both stages: weights of every step, what was fitted before them, the output weights."""
    (X1, y1), (X2, y2) = samples(1), samples(2)
    subject, weights = trainer(linear=linear), []
    first = design(X1)
    subject.fit_first_layer(first, y1, observe=lambda _, W: weights.append(W))
    subject.fit_readout(design(X2), y2)
    readout = subject.readout_
    return {
        "weights": np.stack([first.backend.to_numpy(W) for W in weights]),
        "linear": np.zeros(DIM) if readout.linear is None else readout.linear,
        "constant": np.array(subject.centring_.constant),
        "predictions": subject.predict(X1[:200]),
    }


# -- what a run of several processes finds -----------------------------------------------------


@contextmanager
def collectives() -> Iterator[list[str]]:
    """The names of torch.distributed's collectives that are called meanwhile."""
    import torch.distributed as dist

    names = ("all_reduce", "all_gather", "broadcast", "barrier", "reduce", "gather", "scatter")
    real, called = {name: getattr(dist, name) for name in names}, []

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            called.append(name)
            return real[name](*arguments, **options)

        return call

    for name in names:
        setattr(dist, name, counted(name))
    try:
        yield called
    finally:
        for name in names:
            setattr(dist, name, real[name])


def passes(run: Communicator, library: str, dtype: str) -> dict[str, Array]:
    """Exact passes over few rows, some processes without any, and what they called."""
    backend, found = get_backend(library, dtype), {}
    for n in FEW:
        X, V, y = integers(n)
        rows = shard_rows(n, run.rank, run.ranks)
        design = ShardedDesign(StoredDesign(X[rows], backend), rows, n, run)
        directions, labels = backend.asarray(V), backend.asarray(y)

        def rho(P: Any, rows: slice, labels: Any = labels) -> Any:
            return (P * P)[:, :2] + labels[rows][:, None]

        with collectives() as called:
            once = design.one_pass(directions, rho)
            found[f"pass called {n}"] = np.array(called)
        with collectives() as called:
            projected = design.project(directions)
            found[f"project called {n}"] = np.array(called)
        held = [np.arange(part.start, part.stop) for part, _ in design.projections(directions)]
        assert np.array_equal(np.concatenate([[], *held]), np.arange(n)[rows])
        partial = np.array([1.0, run.rank])
        found[f"reduce {n}"] = design.reduce(partial)
        assert partial.tolist() == [1.0, run.rank]
        found[f"pass {n}"] = backend.to_numpy(once)
        found[f"project {n}"] = backend.to_numpy(projected)
    return found


def trainings(run: Communicator, library: str, dtype: str) -> dict[str, Array]:
    rows, found = shard(run.rank, run.ranks), {}

    def design(X: Array) -> Design:
        local = StoredDesign(X[rows], get_backend(library, dtype))
        return ShardedDesign(local, rows, ROWS, run)

    for linear in (False, True) if (library, dtype) in LINEAR else (False,):
        result = train(design, linear=linear)
        found.update({f"{key} {linear}": value for key, value in result.items()})
    return found


def counted_steps(run: Communicator) -> dict[str, Array]:
    """The collectives of a first layer's training, centring by the labels alone."""
    rows, (X, y) = shard(run.rank, run.ranks), samples(1)
    design = ShardedDesign(StoredDesign(X[rows], get_backend("numpy", "float64")), rows, ROWS, run)
    with collectives() as called:
        fitted = trainer(linear=False).fit_first_layer(design, y)
    return {"steps called": np.array(called), "stepped": fitted.network_.W}


def streamed(run: Communicator) -> dict[str, Array]:
    """The gradient at the start, of rows that are drawn anew and of the same rows stored."""
    model, rows = MultiIndexModel("cos2z", DIM, seed=3), shard(run.rank, run.ranks)
    data, backend = model.sample(ROWS), get_backend("torch", "float64")
    stored = StoredDesign(data.X[rows], backend)
    empty = stored.n_samples == 0
    drawn = stored if empty else StreamedDesign(ModelRows(model, ROWS)[rows], backend)
    W, y = backend.asarray(samples(1)[0][:8]), backend.asarray(data.y)

    def rho(P: Any, r: slice) -> Any:
        return P * y[r][:, None]

    designs = {"drawn": drawn, "stored": stored}
    return {
        name: backend.to_numpy(ShardedDesign(local, rows, ROWS, run).one_pass(W, rho))
        for name, local in designs.items()
    }


def resumed(run: Communicator, folder: Path) -> dict[str, Array]:
    """A training, and the same one again from a checkpoint in its middle."""
    rows, (X, y) = shard(run.rank, run.ranks), samples(1)
    design = ShardedDesign(StoredDesign(X[rows], get_backend("torch", "float32")), rows, ROWS, run)
    whole, path = trainer(linear=True), folder / "checkpoint.npz"

    def observe(t: int, W: Any) -> None:
        if t == 2 and run.rank == 0:
            weights = design.backend.to_numpy(W)
            state = FirstLayerState(t, weights, whole.centring_, whole.linear_part_)
            save_checkpoint(path, Checkpoint({}, state, {}))

    whole.fit_first_layer(design, y, observe=observe)
    run.barrier()
    rest = trainer(linear=True).fit_first_layer(design, y, resume=load_checkpoint(path).state)
    return {"whole": whole.network_.W, "resumed": rest.network_.W}


def refusals(run: Communicator) -> dict[str, Array]:
    """The messages about shards that do not fit, each wrong on the last process only."""
    backend = get_backend("numpy", "float64")
    last = run.rank == run.ranks - 1
    # name: rows, rows held, n, d
    start, held = 2 * run.rank, 2
    wrong: dict[str, tuple[int, int, int, int]] = {
        "gap": (start + last, held, 2 * run.ranks, 3),
        "held": (start, held + last, 2 * run.ranks, 3),
        "dim": (start, held, 2 * run.ranks, 3 + last),
        "n": (start, held, 2 * run.ranks + last, 3),
        "short": (start, held, 2 * run.ranks + 1, 3),
    }
    messages = {}
    for name, (first, count, n, dim) in wrong.items():
        local = StoredDesign(np.zeros((count, dim)), backend)
        try:
            ShardedDesign(local, slice(first, first + held), n, run)
        except InputError as error:
            messages[name] = str(error)
    try:
        run.check_same("--seed", str(last))
    except InputError as error:
        messages["same"] = str(error)
    run.check_same("--seed", "1")
    return {"refusals": np.array(json.dumps(messages))}


def agree(run: Communicator, folder: Path) -> None:
    found = {}
    for library, dtype in KINDS:
        for part in (passes, trainings):
            result = part(run, library, dtype)
            found.update({f"{library} {dtype} {key}": value for key, value in result.items()})
    found |= counted_steps(run) | streamed(run) | resumed(run, folder) | refusals(run)
    np.savez(folder / f"{run.rank}.npz", **found)  # type: ignore[arg-type]


# -- runs that lose a process ------------------------------------------------------------------


def loses(run: Communicator, act: Callable[[], None]) -> None:
    """A training amid whose second step the last process does `act`."""
    rows, (X, y) = shard_rows(ROWS, run.rank, run.ranks), samples(1)

    class Failing(StoredDesign):
        passed = 0

        def one_pass(self, V: Any, rho: Any) -> Any:
            self.passed += 1
            if self.passed == 2 and run.rank == run.ranks - 1:
                act()
            return super().one_pass(V, rho)

    local = Failing(X[rows], get_backend("numpy", "float64"))
    trainer(linear=False).fit_first_layer(ShardedDesign(local, rows, ROWS, run), y)


def refuse() -> None:
    raise InputError("this process alone raises")


ACTS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "raise": refuse,
}


def one_process(scenario: str, folder: Path) -> None:
    small_blocks()
    try:
        with process_group("cpu", HANG if scenario == "hang" else PATIENCE) as run:
            if scenario == "agree":
                agree(run, folder)
                return
            if scenario == "kill":
                np.savez(folder / f"{run.rank}.npz", **counted_steps(run))  # type: ignore[arg-type]
            loses(run, ACTS[scenario])
    except MimverifyError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


# -- all runs ----------------------------------------------------------------------------------

RUNS = [("agree", ranks) for ranks in (1, 2, 3, 4)] + [(scenario, 3) for scenario in ACTS]
_LIMIT = 60.0  # s; a run that is not over by then has hung


def run_all(folder: Path) -> None:
    """Every run in a folder of its own, with the exit codes by rank in codes.json."""
    import torch  # noqa: F401 - now, and once

    for scenario, ranks in RUNS:
        place = folder / f"{scenario}-{ranks}"
        place.mkdir()
        started = [_fork(scenario, place, rank, ranks) for rank in range(ranks)]
        codes = _ends(dict(zip(started, range(ranks), strict=True)), scenario == "hang")
        (place / "codes.json").write_text(json.dumps(codes), encoding="utf-8")


def _fork(scenario: str, folder: Path, rank: int, ranks: int) -> int:
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        errors = os.open(folder / f"{rank}.err", os.O_WRONLY | os.O_CREAT)
        os.dup2(errors, 2)
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_port(folder, rank)))
        one_process(scenario, folder)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _port(folder: Path, rank: int) -> int:
    """A free port, found by the first process and sent to the others."""
    shared = folder / "port"
    if rank == 0:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = int(server.getsockname()[1])
        (folder / "port.part").write_text(str(port), encoding="ascii")
        (folder / "port.part").rename(shared)
    while not shared.exists():
        time.sleep(0.01)
    return int(shared.read_text(encoding="ascii"))


def _ends(running: dict[int, int], last_hangs: bool) -> list[int]:
    """Exit codes by rank, negative for a signal; what has not ended in time is killed."""
    codes, deadline = [0] * len(running), time.monotonic() + _LIMIT
    while len(running) > last_hangs and time.monotonic() < deadline:
        for process in list(running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                codes[running.pop(process)] = os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    for process, rank in running.items():
        os.kill(process, signal.SIGKILL)
        codes[rank] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return codes


if __name__ == "__main__":
    *scenario, folder = sys.argv[1:]
    if scenario:
        one_process(scenario[0], Path(folder))
    else:
        run_all(Path(folder))
