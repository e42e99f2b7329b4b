"""The division of the rows into stages and test set."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.support.errors import InputError
from mimverify.support.validation import number


@dataclass(frozen=True)
class Split:
    """Rows of stage 1, of stage 2 and of the test set, in the order of the data."""

    first: slice
    second: slice
    test: slice | None

    @classmethod
    def of(cls, n: int, test_fraction: float) -> Split:
        """Set the last rows aside for the test, and halve the others.

        **Raises** `InputError` where a stage would get no row or the test fewer than two.
        """
        number("test_fraction", test_fraction, minimum=0.0)
        held_out = round(n * test_fraction)
        trained = n - held_out
        if trained < 2 or (test_fraction > 0 and held_out < 2):
            raise InputError(
                f"test_fraction={test_fraction:g} of {n} rows: expected at least two rows for the "
                "test (or 0, for none) and one for each stage"
            )
        half = trained // 2
        return cls(slice(0, half), slice(half, trained), slice(trained, n) if held_out else None)


def row_count(rows: slice | None) -> int:
    """The number of rows of a range; 0 for None."""
    return 0 if rows is None else rows.stop - rows.start
