"""Tries the units of a plan, several at a time.

Each worker process runs the suite and starts another process for the trainer, as any trial of
a named trainer does.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection

from threadpoolctl import threadpool_limits

from mimverify.calibration.counting import Tried, try_at_levels
from mimverify.calibration.plan import Plan, Unit
from mimverify.support.errors import LostProcessError, MimverifyError
from mimverify.support.threads import environment, thread_limit
from mimverify.trial.claims.claim import Claim
from mimverify.trial.outcomes import Status
from mimverify.trial.running.session import open_trainer
from mimverify.trial.trainer.adapter import TrainerUnderTrial

__all__ = ["tries", "try_unit"]

_MOST_ERRORS = 3  # after which the remaining seeds are skipped


def try_unit(plan: Plan, claim: Claim, trainer: TrainerUnderTrial, seed: int) -> Tried:
    """Try a claim in this process, at all levels of the plan."""
    return try_at_levels(
        claim, trainer, profile=plan.profile, ledgers=plan.ledgers(claim), seed=seed
    )


def tries(
    plan: Plan,
    workers: int,
    *,
    on_start: Callable[[Unit], None] | None = None,
    done: Collection[Unit] = frozenset(),
) -> Generator[tuple[Unit, Tried], None, None]:
    """Units with their results, as they are finished by `workers` processes.

    After three errors of a claim (of a trainer, where whole runs are counted) its remaining
    seeds are skipped. If the generator is closed or interrupted, the units under way are lost.

    **Arguments**

    - `on_start`: called with each unit when it is started.
    - `done`: units that were tried before; they are left out.

    **Raises** `LostProcessError` if a worker dies.
    """
    errors: Counter[tuple[str, str]] = Counter()

    def key(unit: Unit) -> tuple[str, str]:
        return unit.trainer, "" if plan.whole else unit.claim

    waiting = (
        unit for unit in plan.units() if unit not in done and errors[key(unit)] < _MOST_ERRORS
    )
    # Workers end when this pipe is closed, as it also is if this process is killed.
    theirs, ours = Pipe(duplex=False)
    safe_path = os.environ.get("PYTHONSAFEPATH")
    under_way: dict[Future[Tried], Unit] = {}
    with (
        thread_limit(1),
        # Else the workers would look for the standard library in the current folder first.
        environment(PYTHONSAFEPATH="1"),
        ProcessPoolExecutor(
            workers,
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(plan, theirs, safe_path),
        ) as pool,
    ):
        try:
            while True:
                while len(under_way) < workers and (unit := next(waiting, None)) is not None:
                    under_way[pool.submit(_try, unit)] = unit
                    if on_start is not None:
                        on_start(unit)
                if not under_way:
                    return
                ended, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in ended:
                    tried = future.result()
                    unit = under_way.pop(future)
                    errors[key(unit)] += Status.ERROR in tried.statuses
                    yield unit, tried
        except BrokenProcessPool:
            named = ", ".join(
                f"{u.claim} of {u.trainer}, seed {u.seed}" for u in under_way.values()
            )
            raise LostProcessError(f"a process that tried {named} died") from None
        finally:
            if under_way:
                ours.close()
            pool.shutdown(cancel_futures=True)
            ours.close()
            theirs.close()


class _Worker:
    """The state of a worker process: the trainer of the last unit, which stays open."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._name = ""
        self._trainer: TrainerUnderTrial | None = None

    def try_unit(self, unit: Unit) -> Tried:
        claim = self.plan.claim_set.claims[unit.claim]
        try:
            trainer = self._open(unit.trainer)
        except MimverifyError as error:
            statuses = (Status.ERROR,) * len(self.plan.levels)
            return Tried(claim.id, unit.seed, statuses, message=str(error))
        return try_unit(self.plan, claim, trainer, unit.seed)

    def _open(self, name: str) -> TrainerUnderTrial:
        if self._trainer is None or name != self._name:
            if self._trainer is not None:
                self._trainer.handle.close()
                self._trainer = None
            handle = open_trainer(
                name,
                call_seconds=self.plan.profile.call_seconds,
                threads=1,
                claim_set=self.plan.claim_set,
            )
            self._name, self._trainer = name, TrainerUnderTrial(handle)
        return self._trainer


_worker: _Worker | None = None


def _begin(plan: Plan, parent: Connection, safe_path: str | None) -> None:
    """Initialise a worker process; `safe_path` is the user's PYTHONSAFEPATH, for trainers."""
    global _worker  # noqa: PLW0603 - a process pool keeps no state of its workers elsewhere
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    os.environ.pop("PYTHONSAFEPATH", None)
    if safe_path is not None:
        os.environ["PYTHONSAFEPATH"] = safe_path
    threadpool_limits(1)  # as in any trial, see the plugin
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _worker = _Worker(plan)


def _end_with(parent: Connection) -> None:
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _try(unit: Unit) -> Tried:
    assert _worker is not None
    return _worker.try_unit(unit)
