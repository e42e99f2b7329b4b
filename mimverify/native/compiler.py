"""Builds the native library from the C sources beside this file, by whatever C compiler there is.

Of the standard library alone, since the build hook of the package loads this file by its place.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
#: A shared library without Python's headers, loaded by ctypes: one name on every system.
LIBRARY = "mimverify_native.so"

_COMPILERS = ("cc", "gcc", "clang")
# CFLAGS is not read: -ffast-math in it would change results, -march=native make a wheel of one
# machine. Who needs a flag gives it with the compiler: CC="gcc --sysroot=/target".
_FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
_TIME_LIMIT = 600.0  # s, for one file


class CompilerError(Exception):
    """There is no compiler, or it refused; the message has one line."""


@dataclass(frozen=True)
class Unit:
    """A C file that is compiled once for each level, and flags of its own."""

    source: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level:
    """Instructions that a processor may have, and the bytes of a vector with them."""

    name: str
    vector_bytes: int
    flags: tuple[str, ...] = ()


UNITS = (
    Unit("kernels.c", ("-ffp-contract=fast",)),
    Unit("normals.c", ("-ffp-contract=off",)),  # the same bits as NumPy's
)

#: The widest first: the order in which a processor is asked for them.
_X86 = (
    Level(
        "avx512",
        64,
        ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma"),
    ),
    Level("avx2", 32, ("-mavx2", "-mfma")),
)
_GENERIC = Level("generic", 16)  # of SSE2, NEON, AltiVec


def levels(machine: str | None = None) -> tuple[Level, ...]:
    """The levels that are built for a machine (`platform.machine()`), the widest first."""
    name = (platform.machine() if machine is None else machine).lower()
    return (*_X86, _GENERIC) if name in ("x86_64", "amd64") else (_GENERIC,)


def stamp() -> str:
    """A hash of the sources and of how they are compiled: a library with another one is stale."""
    digest = hashlib.sha256(repr((_FLAGS, UNITS, levels())).encode())
    for path in sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")]):
        digest.update(f"\0{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def compiler() -> list[str]:
    """The command of the C compiler: of CC, or the first that is found.

    **Raises** `CompilerError` if there is none.
    """
    named = os.environ.get("CC", "").strip()
    try:
        command = (
            shlex.split(named) if named else next(([c] for c in _COMPILERS if shutil.which(c)), [])
        )
    except ValueError as error:
        raise CompilerError(f"CC={named!r}: is no command ({error})") from None
    if not command or shutil.which(command[0]) is None:
        looked_for = f"CC={named!r}" if named else ", ".join(_COMPILERS)
        raise CompilerError(f"no C compiler was found ({looked_for})")
    return command


def build(target: Path, extra: tuple[str, ...] = ()) -> None:
    """Compile the library to the file `target`, which appears whole or not at all.

    **Arguments**

    - `extra`: flags for compiling and linking, such as those of sanitisers.

    **Raises** `CompilerError`.
    """
    command = compiler()
    target = Path(target)
    try:
        memory = tempfile.TemporaryDirectory(prefix="mimverify-native-")
    except OSError as error:
        raise CompilerError(f"no folder for what is compiled ({error.strerror})") from None
    with memory as folder:
        # The small one first: what is wrong with a compiler shows there as well, and at once.
        jobs = [
            (
                SOURCES / unit.source,
                Path(folder) / f"{unit.source}.{level.name}.o",
                (
                    *unit.flags, *level.flags, f"-DLEVEL={level.name}",
                    f"-DVECTOR_BYTES={level.vector_bytes}",
                ),
            )
            for unit in reversed(UNITS)
            for level in levels()
        ]  # fmt: skip
        jobs.append((SOURCES / "levels.c", Path(folder) / "levels.o", (f"-DSTAMP={stamp()}",)))

        failed = threading.Event()

        def compile_one(job: tuple[Path, Path, tuple[str, ...]]) -> None:
            source, made, flags = job
            if failed.is_set():
                return
            try:
                _run([*command, *_FLAGS, *flags, *extra, "-c", str(source), "-o", str(made)])
            except CompilerError:
                failed.set()
                raise

        with ThreadPoolExecutor(min(len(jobs), os.cpu_count() or 1)) as pool:
            list(pool.map(compile_one, jobs))
        linked = Path(folder) / LIBRARY
        _run([*command, *extra, "-shared", *(str(made) for _, made, _ in jobs), "-o", str(linked)])
        # Into place by a rename: a process that has loaded the old one keeps it.
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            shutil.copyfile(linked, beside)
            os.replace(beside, target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise CompilerError(f"{target}: cannot be written ({error.strerror})") from None


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT,
            stdin=subprocess.DEVNULL, errors="replace", env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{command[0]} did not end within {_TIME_LIMIT:g} s") from None
    except OSError as error:
        raise CompilerError(f"{command[0]} cannot be started ({error.strerror})") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        raise CompilerError(f"{command[0]} failed with exit code {done.returncode}: {lines[0]}")
