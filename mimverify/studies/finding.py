"""The studies that there are: the files of this package that have a `STUDY`."""

from __future__ import annotations

import sys
from functools import cache

from mimverify.studies.named_study import NamedStudy
from mimverify.support.package_files import objects_with_modules
from mimverify.support.unique_names import by_name
from mimverify.support.validation import choice

__all__ = ["get_study", "study_names"]


@cache
def _studies() -> dict[str, NamedStudy]:
    package = sys.modules[__name__.rpartition(".")[0]]
    return by_name(objects_with_modules(package, NamedStudy))


def study_names() -> tuple[str, ...]:
    """Names of all studies, in order."""
    return tuple(sorted(_studies()))


def get_study(name: str) -> NamedStudy:
    """The study of this name. **Raises** `InputError` with the nearest name."""
    return _studies()[choice("study", name, study_names())]
