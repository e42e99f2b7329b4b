"""A module that needs one that does not exist, for the tests of `load_source`."""

import a_module_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
