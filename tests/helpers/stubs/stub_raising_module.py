"""A module that cannot be imported, for the tests of `load_source`."""

raise ZeroDivisionError("no licence\nsecond line")
