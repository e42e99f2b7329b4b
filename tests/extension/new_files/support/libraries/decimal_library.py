"""A library with a setting of the whole process, and a variable for its threads."""

from __future__ import annotations

from mimverify.support.libraries.process_wide import Library, Setting

DECIMAL = Library(
    "decimal",
    {
        "decimal's precision": Setting(
            "decimal",
            lambda decimal: decimal.getcontext().prec,
            lambda decimal, value: setattr(decimal.getcontext(), "prec", value),
            28,
        )
    },
    thread_variables=("DECIMAL_THREADS",),
)
