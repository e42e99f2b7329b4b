"""All known wrong rules."""

from __future__ import annotations

from itertools import chain

from mimverify.support.package_files import modules_of
from mimverify.trial.diagnosis import rules
from mimverify.trial.diagnosis.rule import Rule

__all__ = ["RULES"]


def _found() -> list[Rule]:
    """The `RULES` of every file in `rules`."""
    each: list[tuple[Rule, ...]] = [getattr(file, "RULES", ()) for file in modules_of(rules)]
    return sorted(chain(*each), key=lambda rule: rule.fitted)


#: Rules by name, those without a fitted constant first.
RULES: dict[str, Rule] = {rule.name: rule for rule in _found()}
