"""A benchmark run: competitors in their own processes, timed in turn, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.performance.competitors.competitor import Competitor
from mimverify.performance.competitors.problem import Problem
from mimverify.performance.competitors.process import CompetitorError, CompetitorProcess
from mimverify.performance.competitors.registry import COMPETITORS, get_competitor, missing_packages
from mimverify.performance.competitors.summary import Estimate, estimate, ratio
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError
from mimverify.support.machine import machine_facts
from mimverify.support.memory import check_fits
from mimverify.support.strict_json import Json
from mimverify.support.validation import integer, parallel_count

#: Called with the problem and a short description before everything that takes time.
Progress = Callable[[Problem, str], None]

# Memory of a process beside its X: interpreter and libraries; and arrays n × m.
_PROCESS_BYTES = 3 << 27
_ROW_ARRAYS = 6


@dataclass
class Entry:
    """The result of one competitor on one problem.

    **Arguments**

    - `competitor`: which.
    - `seconds`: for one step, the median of each round.
    - `failure`: why there are no times, or no more of them; None if nothing is wrong.
    - `facts`: what its process reported about itself and its run.
    """

    competitor: Competitor
    seconds: list[float] = field(default_factory=list)
    failure: str | None = None
    facts: Json = field(default_factory=dict)

    @property
    def note(self) -> str:
        """One line for people, or empty."""
        return str(self.facts.get("note", ""))

    @property
    def time(self) -> Estimate | None:
        """Seconds of a step; None without any."""
        return estimate(self.seconds) if self.seconds else None


@dataclass
class Case:
    """All competitors on one problem.

    **Arguments**

    - `problem`: which.
    - `entries`: by the competitor's name, in the order given.
    - `peaks`: the best speeds measured in the same run: `flops`, `bytes`, each per second.
    """

    problem: Problem
    entries: dict[str, Entry]
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def fastest(self) -> Entry | None:
        """The fastest of our backends; None if none was timed."""
        ours = [e for e in self.entries.values() if e.competitor.backend and e.seconds]
        return min(ours, key=lambda e: estimate(e.seconds).median, default=None)

    def to_products(self, name: str) -> Estimate | None:
        """The competitor's time over that of its library's two bare products."""
        entry = self.entries[name]
        products = self.entries.get(entry.competitor.products)
        return None if products is None else ratio(entry.seconds, products.seconds)

    def to_fastest(self, name: str) -> Estimate | None:
        """The competitor's time over that of the fastest of our backends."""
        fastest = self.fastest
        return None if fastest is None else ratio(self.entries[name].seconds, fastest.seconds)

    @property
    def limit(self) -> float | None:
        """The least seconds of a step at the measured peaks; None without them."""
        if not self.peaks:
            return None
        return max(
            self.problem.flops / self.peaks["flops"], self.problem.nbytes / self.peaks["bytes"]
        )

    def rates(self, name: str) -> tuple[float, float, float | None] | None:
        """Operations and bytes per second of a step, and the fraction of the limit reached.

        None without a time, and where a call amounts to several steps: it does other work.
        """
        entry, limit = self.entries[name], self.limit
        if entry.time is None or entry.facts.get("steps", 1) != 1:
            return None
        seconds = entry.time.median
        reached = None if limit is None else limit / seconds
        return self.problem.flops / seconds, self.problem.nbytes / seconds, reached

    def to_json(self) -> Json:
        """Problem, peaks and the results of each competitor."""
        fastest = self.fastest
        return {
            **self.problem.to_json(),
            "flops": self.problem.flops,
            "bytes": self.problem.nbytes,
            "peaks": self.peaks,
            "limit_seconds": self.limit,
            "fastest": None if fastest is None else fastest.competitor.name,
            "contenders": {name: self._entry_json(name) for name in self.entries},
        }

    def _entry_json(self, name: str) -> Json:
        entry = self.entries[name]
        flops, nbytes, reached = self.rates(name) or (None, None, None)
        estimates = {
            "time": entry.time,
            "to_products": self.to_products(name),
            "to_fastest": self.to_fastest(name),
        }
        return {
            "about": entry.competitor.about,
            "failure": entry.failure,
            "round_seconds": entry.seconds,
            **{key: None if e is None else e.to_json() for key, e in estimates.items()},
            "flops_per_second": flops,
            "bytes_per_second": nbytes,
            "fraction_of_limit": reached,
            **entry.facts,
        }


class BenchmarkRun(ShownInNotebooks, Closing):
    """Competitors in their processes, for as many problems as are run.

    Processes are started when a problem is first run, and ended by `close`.

    **Arguments**

    - `competitors`: names, or users' own (`get_competitor`); all of `COMPETITORS` by default.
    - `rounds`: how often each is timed, in turn.
    - `threads`: of every pool of every process; None leaves the libraries' defaults.
    - `repetitions`: of the call in a round; None for as many as take about 0.15 s.
    - `peak_sizes`: of `measure_peaks`, where its defaults are too large.

    `cases` holds the results, complete or not.

    **Raises** `InputError` for an unknown competitor, one named twice, or no rounds.
    """

    def __init__(
        self,
        competitors: Sequence[str] | None = None,
        *,
        rounds: int = 7,
        threads: int | None = None,
        repetitions: int | None = None,
        peak_sizes: dict[str, int] | None = None,
    ) -> None:
        self.rounds = integer("rounds", rounds, minimum=1)
        self.threads = None if threads is None else parallel_count("threads", threads)
        self._repetitions = repetitions
        self._peak_sizes = peak_sizes or {}
        self.competitors: dict[str, Competitor] = {}
        self._specs: dict[str, str] = {}
        for spec in COMPETITORS if competitors is None else competitors:
            competitor = get_competitor(spec)
            if competitor.name in self.competitors:
                raise InputError(f"contender={spec!r}: {competitor.name!r} is there already")
            self.competitors[competitor.name] = competitor
            self._specs[competitor.name] = spec if ":" in spec else competitor.name
        self.missing = {
            name: reason
            for name, competitor in self.competitors.items()
            if (reason := missing_packages(competitor)) is not None
        }
        self.cases: list[Case] = []
        self._processes: dict[str, CompetitorProcess] = {}

    def check(self, problem: Problem) -> None:
        """Refuse a problem that does not fit into memory. **Raises** `InputError`."""
        p, item = problem, problem.nbytes // (problem.samples * problem.dim)
        each = problem.nbytes + _ROW_ARRAYS * p.samples * p.neurons * item + _PROCESS_BYTES
        count = len(self.competitors) - len(self.missing)
        what = f"dim={p.dim}, samples={p.samples}, neurons={p.neurons} for {count} processes"
        check_fits(count * each, what)

    def run(self, problem: Problem, on_progress: Progress | None = None) -> Case:
        """Time every competitor on a problem.

        One that raises, dies or hangs is left out of this case, and its entry says why.
        """
        self.check(problem)
        case = Case(problem, {name: Entry(c) for name, c in self.competitors.items()})
        self.cases.append(case)
        for name, reason in self.missing.items():
            case.entries[name].failure = reason

        def report(words: str) -> None:
            if on_progress is not None:
                on_progress(problem, words)

        for name, entry in case.entries.items():
            if entry.failure is None:
                report(f"{name} gets ready")
                with self._process_of(entry) as process:
                    entry.facts = process.prepare(problem)
        self._measure_peaks(case, report)
        for number in range(self.rounds):
            # In alternating order, so that none always follows the same other one.
            order = list(case.entries)[:: 1 if number % 2 == 0 else -1]
            for name in order:
                entry = case.entries[name]
                if entry.failure is None:
                    report(f"round {number + 1} of {self.rounds}: {name}")
                    with self._process_of(entry) as process:
                        entry.seconds.append(process.time(self._repetitions))
        return case

    def to_json(self) -> Json:
        """The machine, the settings and the cases."""
        return {
            "machine": machine_facts(),
            "rounds": self.rounds,
            "threads": self.threads,
            "missing": self.missing,
            "cases": [case.to_json() for case in self.cases],
        }

    def close(self) -> None:
        """End all processes. May be called again."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def _measure_peaks(self, case: Case, report: Callable[[str], None]) -> None:
        for name, entry in case.entries.items():
            if entry.failure is None and entry.competitor.peaks is not None:
                report(f"the peaks of {name.split()[0]}")
                with self._process_of(entry) as process:
                    peaks = process.peaks(case.problem.dtype, **self._peak_sizes)
                    entry.facts["peaks"] = peaks
                    for key, value in peaks.items():
                        case.peaks[key] = max(value, case.peaks.get(key, 0.0))

    @contextmanager
    def _process_of(self, entry: Entry) -> Iterator[CompetitorProcess]:
        """Its process, started if need be; an error in the block is recorded, not raised."""
        name = entry.competitor.name
        try:
            process = self._processes.get(name)
            if process is None or process.closed:
                process = CompetitorProcess(self._specs[name], threads=self.threads)
                self._processes[name] = process
            yield process
        except CompetitorError as error:
            entry.failure = str(error)
