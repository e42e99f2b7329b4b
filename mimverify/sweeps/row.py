"""A finished trial, as a store keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.support.strict_json import Json

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """A finished trial.

    **Arguments**

    - `parameters`: all of its kind's; those that a sweep names, where it was asked for one, are
      among them as the sweep spells them.
    - `status`: `"done"`, with a `result`, or `"failed"`, with an `error` of type, message and
      traceback.
    - `seconds`: of the trial alone. `finished`: when, in UTC.
    - `environment`: host, machine, pass, definition of data, versions of libraries.
    """

    key: str
    kind: str
    version: str
    parameters: Json
    status: str
    result: Json | None
    error: Json | None
    seconds: float | None
    finished: str
    environment: Json
