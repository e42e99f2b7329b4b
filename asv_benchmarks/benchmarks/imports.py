"""Time to import the package, each time in a new process."""

from __future__ import annotations


class Import:
    params = (["mimverify", "mimverify.training", "mimverify.theory", "mimverify.trial"],)
    param_names = ("module",)
    version = "1"
    timeout = 120
    rounds = 1
    number = 1
    repeat = (3, 9, 10.0)
    warmup_time = 0

    def timeraw_import(self, module: str) -> str:
        return f"import {module}"


class ImportCommandLine(Import):
    """What `mimverify --help` imports."""

    params = (["mimverify.cli"],)
