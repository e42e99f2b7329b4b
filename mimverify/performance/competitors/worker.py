"""The process of one competitor.

Started by `mimverify.performance.competitors.process` through `mimverify.handles.launcher`; of no
use on its own. Requests and replies are lines of JSON, on standard input and output.
"""

from __future__ import annotations

import gc
import math
import os
import statistics
import sys
from time import perf_counter

from mimverify.handles.framing import decode, encode
from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Problem, make_task
from mimverify.performance.competitors.products import measure_peaks
from mimverify.performance.competitors.registry import get_competitor
from mimverify.support.importing import adopt_search_path, summarise
from mimverify.support.machine import process_facts
from mimverify.support.strict_json import Json, jsonable

_WARM_UP = 3  # calls, of which the fastest determines how many are timed in a round
_ROUND_SECONDS = 0.15  # s; roughly how long a competitor is timed in each round
_LEAST, _MOST = 3, 200  # repetitions in a round


class Worker:
    """Prepares the runs of a competitor and times them.

    **Arguments**

    - `competitor`: the one that this process times.
    """

    def __init__(self, competitor: Competitor) -> None:
        self._competitor = competitor
        self._run: Run | None = None
        self._repetitions = _LEAST

    def answer(self, request: Json) -> Json:
        """The reply to one request."""
        match request["op"]:
            case "prepare":
                return self.prepare(Problem(**request["problem"]))
            case "time":
                return self.time(request.get("repetitions"))
            case "peaks":
                return self.peaks(request)
            case other:
                raise ValueError(f"unknown request {other!r}")

    def prepare(self, problem: Problem) -> Json:
        """Make the data and the run, and warm it up."""
        self._run = None  # release the memory of the last problem
        gc.collect()
        self._run = self._competitor.prepare(make_task(problem))
        fastest = min(self._once() for _ in range(_WARM_UP))
        self._repetitions = min(max(math.ceil(_ROUND_SECONDS / max(fastest, 1e-9)), _LEAST), _MOST)
        return {
            "steps": self._run.steps,
            "facts": dict(self._run.facts),
            "note": self._run.note,
            "repetitions": self._repetitions,
            **process_facts(self._competitor.modules),
        }

    def time(self, repetitions: int | None = None) -> Json:
        """The median of a round's repetitions, in seconds for one step."""
        if self._run is None:
            raise ValueError("nothing was prepared")
        self._once()  # to fill the caches, which other processes used meanwhile
        gc.disable()
        try:
            times = [self._once() for _ in range(repetitions or self._repetitions)]
        finally:
            gc.enable()
        return {"seconds": statistics.median(times) / self._run.steps}

    def peaks(self, request: Json) -> Json:
        """The peak speeds of this library; empty for all but the bare products."""
        sizes = {name: request[name] for name in ("side", "nbytes") if name in request}
        return dict(measure_peaks(self._competitor, request["dtype"], **sizes))

    def _once(self) -> float:
        assert self._run is not None
        start = perf_counter()
        self._run.call()
        return perf_counter() - start


def main() -> None:
    """Answer requests until there are no more."""
    # Libraries may print to standard output: it is redirected, away from the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            request = decode(line.encode(), "a request")
            if worker is None:
                adopt_search_path(request["path"], request["pythonpath"])
                worker = Worker(get_competitor(request["competitor"]))
            reply = worker.answer(request)
        except Exception as error:  # the benchmark run goes on without it
            reply = {"error": summarise(error)}
        replies.write(encode(jsonable(reply)))
        replies.flush()


if __name__ == "__main__":
    main()
