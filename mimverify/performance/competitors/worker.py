"""The process of one contender: `python -m mimverify.performance.competitors.worker`.

Requests and replies are lines of JSON, on standard input and output. Of no use on its own; see
`mimverify.performance.competitors.process`.
"""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from mimverify.performance.competitors.competitor import Contender, Run
from mimverify.performance.competitors.machine import process_facts
from mimverify.performance.competitors.problem import Problem, make_task
from mimverify.performance.competitors.products import NUMPY_PRODUCTS, TORCH_PRODUCTS, measure_peaks
from mimverify.performance.competitors.registry import get_contender
from mimverify.support.importing import summarise
from mimverify.support.strict_json import jsonable

_WARM_UP = 3  # calls, at least, of which the fastest tells how many fill a turn
_TURN = 0.15  # s; about as long is a contender timed in each round
_LEAST, _MOST = 3, 200  # repetitions of a turn


class Worker:
    """Prepares the runs of a contender and times them.

    **Arguments**

    - `contender`: whose process this is.
    """

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._run: Run | None = None
        self._repetitions = _LEAST

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
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

    def prepare(self, problem: Problem) -> dict[str, Any]:
        """Make the data and the run, and call it until it is warm."""
        self._run = None  # the memory of the last problem is needed
        gc.collect()
        self._run = self._contender.prepare(make_task(problem))
        fastest = min(self._once() for _ in range(_WARM_UP))
        self._repetitions = min(max(math.ceil(_TURN / max(fastest, 1e-9)), _LEAST), _MOST)
        return {
            "steps": self._run.steps,
            "facts": dict(self._run.facts),
            "note": self._run.note,
            "repetitions": self._repetitions,
            **process_facts(self._contender.modules),
        }

    def time(self, repetitions: int | None = None) -> dict[str, Any]:
        """The median of a turn's repetitions, in seconds for one step."""
        if self._run is None:
            raise ValueError("nothing was prepared")
        self._once()  # others had the caches since
        gc.disable()
        try:
            times = [self._once() for _ in range(repetitions or self._repetitions)]
        finally:
            gc.enable()
        return {"seconds": statistics.median(times) / self._run.steps}

    def peaks(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The speeds of this library, or nothing for a contender that has none."""
        if self._contender.name not in (NUMPY_PRODUCTS.name, TORCH_PRODUCTS.name):
            return {}
        sizes = {name: request[name] for name in ("side", "nbytes") if name in request}
        return dict(measure_peaks(self._contender.name, request["dtype"], **sizes))

    def _once(self) -> float:
        assert self._run is not None
        start = perf_counter()
        self._run.call()
        return perf_counter() - start


def main() -> None:
    """Answer requests until there are no more."""
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if worker is None:
                worker = Worker(get_contender(request["contender"]))
            reply = worker.answer(request)
        except Exception as error:  # of whatever library: the others go on without it
            reply = {"error": summarise(error)}
        print(json.dumps(jsonable(reply)), file=replies, flush=True)


if __name__ == "__main__":
    main()
