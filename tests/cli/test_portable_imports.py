"""Nothing that only POSIX has is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mimverify

PACKAGE = Path(mimverify.__file__).parent

#: Imports every module with these modules and names missing; prints those that fail.
IMPORTS = """
import importlib, os, signal, sys, traceback
for name in ("numpy", "scipy.stats", "torch", "pytest", "hypothesis", "rich.console", "click"):
    importlib.import_module(name)  # others' modules need POSIX in other ways
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGXFSZ", "SIGPIPE", "SIGUSR1", "SIGSTOP"):
    vars(signal).pop(name, None)
for name in ("fork", "killpg", "setsid", "pidfd_open", "memfd_create", "getuid"):
    vars(os).pop(name, None)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        print(name, type(error).__name__, error, f"{place.filename}:{place.lineno}", sep=" | ")
"""


def test_every_module_imports_without_posix(tmp_path: Path) -> None:
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        # `build_hook` is imported by the build alone, which brings hatchling along.
        if "_properties" in parts or parts[-1] in ("__main__", "plugin", "worker", "build_hook"):
            continue
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], cwd=tmp_path, check=False, capture_output=True,
        text=True, env={"PYTHONPATH": str(PACKAGE.parent), "PATH": ""}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == []
    assert len(names) > 100
