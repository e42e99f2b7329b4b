"""The studies that there are: the files of this package that have a `STUDY`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from mimverify.studies.named_study import NamedStudy
from mimverify.support.validation import choice

# The one file that cannot be looked into while it looks.
_OWN = "finding"

__all__ = ["get_study", "study_names"]


@cache
def _studies() -> dict[str, NamedStudy]:
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.ispkg and module.name != _OWN:
            content = importlib.import_module(f"{__package__}.{module.name}")
            study: NamedStudy | None = getattr(content, "STUDY", None)
            if study is not None:
                found[study.name] = study
    return found


def study_names() -> tuple[str, ...]:
    """Names of all studies, in order."""
    return tuple(sorted(_studies()))


def get_study(name: str) -> NamedStudy:
    """The study of this name. **Raises** `InputError` with the nearest name."""
    return _studies()[choice("study", name, study_names())]
