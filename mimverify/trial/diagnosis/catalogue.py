"""All known wrong rules."""

from __future__ import annotations

from mimverify.support.package_files import modules_of
from mimverify.support.unique_names import by_name
from mimverify.trial.diagnosis import rules
from mimverify.trial.diagnosis.rule import Rule

__all__ = ["RULES"]


def _found() -> list[tuple[str, Rule]]:
    """The `RULES` of every file in `rules`.

    **Raises** `ImportError` for a file that leaves one out.
    """
    found: list[tuple[str, Rule]] = []
    for file in modules_of(rules):
        its: tuple[Rule, ...] = getattr(file, "RULES", ())
        for name, value in vars(file).items():
            if isinstance(value, Rule) and not name.startswith("_") and value not in its:
                raise ImportError(
                    f"{file.__name__}: expected {name} in RULES, a tuple of its rules"
                )
        found += [(file.__name__, rule) for rule in its]
    return sorted(found, key=lambda each: each[1].fitted)


#: Rules by name, those without a fitted constant first.
RULES: dict[str, Rule] = by_name(_found())
