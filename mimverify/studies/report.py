"""What a study came to: its comparisons, its figures' numbers, and where its trials ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.studies.comparison import LIMIT, Comparison, beyond, false_alarms
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.support.strict_json import Json, jsonable
from mimverify.support.versions import software_versions
from mimverify.sweeps import Row, Store, Sweep

__all__ = ["StudyReport"]


@dataclass(frozen=True)
class StudyReport(ShownInNotebooks):
    """A study at one scale, by the finished trials of a store and by nothing else.

    **Raises** `InputError` from `comparisons` and `figures` where trials are missing.
    """

    study: NamedStudy
    scale: str
    sweeps: Sequence[Sweep]
    rows: Sequence[Row]

    @classmethod
    def of(cls, study: NamedStudy, scale: str, store: Store) -> StudyReport:
        """By the trials that the store has; nothing is computed."""
        sweeps = study.sweeps(scale)
        return cls(study, scale, sweeps, store.rows(sweeps))

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every prediction beside its measurement."""
        return self.study.compare(self.rows)

    @cached_property
    def figures(self) -> list[StudyFigure]:
        """In their order."""
        return self.study.figures(self.rows)

    @property
    def beyond(self) -> list[Comparison]:
        """Comparisons with |z| > 4: prediction or measurement is wrong."""
        return beyond(self.comparisons)

    @property
    def false_alarms(self) -> float:
        """The probability, at most, of any by chance."""
        return false_alarms(len(self.comparisons))

    @property
    def seconds(self) -> float:
        """Of all trials, each in one thread."""
        return sum(row.seconds or 0.0 for row in self.rows)

    @property
    def environments(self) -> list[Json]:
        """Machines and versions with which the trials were run, each once."""
        found: list[Json] = []
        for row in self.rows:
            if row.environment not in found:
                found.append(row.environment)
        return found

    @property
    def verdict(self) -> str:
        """In a line."""
        count, wrong = len(self.comparisons), len(self.beyond)
        chance = f"by chance with probability ≤ {self.false_alarms:.2g} in all"
        if not wrong:
            largest = max((abs(each.z) for each in self.comparisons), default=0.0)
            return f"{count} comparisons, all within |z| ≤ {LIMIT:g}, the largest {largest:.2f}"
        return f"{wrong} of {count} comparisons beyond |z| = {LIMIT:g}, which happens {chance}"

    def to_json(self) -> Json:
        """A record of plain values: what the page shows, and what `--json` writes."""
        record: Json = jsonable(
            {
                "study": self.study.name,
                "title": self.study.title,
                "scale": self.scale,
                "mimverify": software_versions()["mimverify"],
                "trials": {
                    "done": sum(row.status == "done" for row in self.rows),
                    "failed": sum(row.status == "failed" for row in self.rows),
                    "seconds": self.seconds,
                },
                "limit": LIMIT,
                "false_alarm_probability": self.false_alarms,
                "beyond": len(self.beyond),
                "comparisons": [each.to_json() for each in self.comparisons],
                "figures": [
                    {
                        "name": figure.name,
                        "title": figure.title,
                        "caption": figure.caption,
                        "data": figure.data,
                    }
                    for figure in self.figures
                ],
                "sweeps": [sweep.to_json() for sweep in self.sweeps],
                "environments": self.environments,
            }
        )
        return record
