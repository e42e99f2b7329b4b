"""Results kept on disk between commands, where that is allowed and possible.

`MIMVERIFY_CACHE` is "off", or the folder; without it, the platform's folder for what may be
deleted at any time. A cache never fails: what cannot be read or written counts as not kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from mimverify.support.archive import Archive, json_text
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import MimverifyError
from mimverify.support.strict_json import Json

__all__ = ["DiskCache", "cache_folder"]

VARIABLE = "MIMVERIFY_CACHE"
#: The cache's bounds: bytes of one entry and of all, and how many.
LARGEST, TOTAL, COUNT = 4 << 20, 64 << 20, 1000

_FILE = Archive("kept result", 1)
_SUFFIX = ".kept.npz"


def cache_folder() -> Path | None:
    """Where results are kept, or None where they are not to be."""
    given = os.environ.get(VARIABLE, "")
    if given.lower() in ("off", "0"):
        return None
    if given:
        return Path(given).expanduser()
    home = os.environ.get("XDG_CACHE_HOME", "")
    if home and Path(home).is_absolute():  # the standard has others ignored
        return Path(home) / "mimverify"
    try:
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA", "")
            return Path(local) / "mimverify" / "Cache" if local else None
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "mimverify"
        return Path.home() / ".cache" / "mimverify"
    except RuntimeError:  # there is no home
        return None


class DiskCache:
    """Entries of a JSON text and arrays in a folder, each in a file of its own, without pickle.

    Several processes may use it at once: files are replaced in one step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: Json) -> tuple[Json, dict[str, NumpyArray]] | None:
        """What `put` was given under this key; None where that is not to be had."""
        path = self._path(key)
        try:
            description, arrays = _FILE.read(path)
        except (MimverifyError, OSError):
            return None
        if description.get("key") != key:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used last: deleted last
        content = description.get("content")
        return (content, arrays) if isinstance(content, dict) else None

    def put(self, key: Json, content: Json, arrays: Mapping[str, NumpyArray]) -> None:
        """Keep this, unless it is too large; delete the oldest entries beyond the bounds."""
        size = len(json_text("content", content)) + sum(a.nbytes for a in arrays.values())
        if size > LARGEST:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _FILE.write(self._path(key), {"key": key, "content": content}, arrays)
            self._prune()
        except (MimverifyError, OSError):
            return

    def _path(self, key: Json) -> Path:
        name = sha256(json_text("key", key).encode()).hexdigest()
        return self.folder / f"{name}{_SUFFIX}"

    def _prune(self) -> None:
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # another process was faster
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        found.sort(reverse=True)
        total = 0
        for place, (_, size, path) in enumerate(found):
            total += size
            if total > TOTAL or place >= COUNT:
                with contextlib.suppress(OSError):
                    path.unlink()
