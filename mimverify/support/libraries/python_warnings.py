"""Python's own warnings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mimverify.support.libraries.process_wide import Library, Setting


def _write(_: object, filters: Sequence[tuple[object, ...]]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with warnings.catch_warnings():  # forgets which warnings were shown
        pass


WARNINGS = Library(
    "warnings",
    {"filters of warnings": Setting("warnings", lambda _: list(warnings.filters), _write)},
)
