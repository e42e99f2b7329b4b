"""Finished trials by their parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from mimverify.sweeps import Row

__all__ = ["grouped", "only", "result_of", "select", "stacked"]


def select(rows: Iterable[Row], kind: str, **at: object) -> list[Row]:
    """The trials of a kind that are done and have these parameters, in their order."""
    return [
        row
        for row in rows
        if row.kind == kind
        and row.status == "done"
        and all(row.parameters[name] == value for name, value in at.items())
    ]


def only(rows: Iterable[Row], kind: str, **at: object) -> Row:
    """The one trial of a kind with these parameters.

    **Raises** `InputError` where there is none, as of a study that has not been run to its end.
    """
    found = select(rows, kind, **at)
    if not found:
        raise InputError(f"no finished trial {kind} with {at}: run the study to its end")
    return found[0]


def result_of(rows: Iterable[Row], kind: str, **at: object) -> Json:
    """The result of `only`."""
    found = only(rows, kind, **at).result
    assert found is not None
    return found


def grouped(rows: Iterable[Row], *names: str) -> list[list[Row]]:
    """The trials that agree in these parameters, group by group as they come."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.parameters[name] for name in names), []).append(row)
    return list(groups.values())


def stacked(rows: Iterable[Row], result: str) -> Float64Array:
    """One result of each trial, `(trials, …)`."""
    return np.array([(row.result or {})[result] for row in rows], dtype=np.float64)
