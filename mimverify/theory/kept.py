"""Results of the theory that are kept on disk between commands.

A result belongs to a function of this package, a link, a loss and settings, and to the versions
of all that computed it. A user's link is known by the source of its module *and* by its values at
fixed points, since it may call what its source does not show; one without a source is not kept.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mimverify.network.losses import Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.disk_cache import DiskCache, cache_folder
from mimverify.support.errors import InputError
from mimverify.support.plain_records import from_plain, to_plain
from mimverify.support.strict_json import Json
from mimverify.support.versions import software_versions

__all__ = ["kept"]

_Result = TypeVar("_Result")

_PROBES = 512
_SCALES = (1.0, 4.0)  # of the points at which a function is probed


def kept(
    function: Callable[..., _Result],
    kind: type[_Result],
    link: Link | str,
    loss: Loss | str,
    *,
    rank: int | None = None,
    unkeyed: dict[str, Any] | None = None,
    **settings: Any,
) -> _Result:
    """`function(link, loss, **settings)`, from the disk where it was computed before.

    **Arguments**

    - `kind`: the dataclass that it returns.
    - `rank`: of a link that has none.
    - `unkeyed`: keyword arguments that do not change the result.

    **Raises** what the function raises, which is not kept.
    """
    link, loss = get_link(link, rank=rank), get_loss(loss)

    def computed() -> _Result:
        return function(link, loss, **settings, **(unkeyed or {}))

    folder = cache_folder()
    key = None if folder is None else _key(function, link, loss, settings)
    if folder is None or key is None:
        return computed()
    cache, given = DiskCache(folder), {Link: link, Loss: loss}
    found = cache.get(key)
    if found is not None:
        try:
            return from_plain(kind, *found, given)
        except (TypeError, ValueError):
            pass  # not what this version writes
    result = computed()
    try:
        content, arrays = to_plain(result, given)
    except TypeError:
        return result
    cache.put(key, content, arrays)
    return result


def _key(
    function: Callable[..., object], link: Link, loss: Loss, settings: dict[str, Any]
) -> Json | None:
    """What the result depends on; None where that is not known."""
    plain = {name: value for name, value in settings.items() if value is not None}
    if not all(isinstance(value, (bool, int, float, str)) for value in plain.values()):
        return None
    rng = np.random.default_rng(0x6B657074)
    points = np.concatenate(
        [scale * rng.standard_normal((_PROBES, link.rank)) for scale in _SCALES]
    )
    f, y = (scale * rng.standard_normal(_PROBES) for scale in _SCALES)
    try:
        values = [link(points), np.asarray(loss.derivative(f, y), dtype=np.float64)]
    except InputError:  # the function says so better
        return None
    sources = [_source(link.function), _source(loss.derivative)]
    versions = _versions()
    if versions is None or None in sources:
        return None
    return {
        "function": function.__name__,
        "link": [link.name, link.rank, link.formula, link.polynomial],
        "loss": [
            loss.name, repr(loss.curvature_bound), loss.lipschitz, loss.smooth,
            loss.value is None,
        ],
        "settings": plain,
        "sources": sources,
        "values": [sha256(np.ascontiguousarray(v).tobytes()).hexdigest() for v in values],
        "versions": versions,
    }  # fmt: skip


def _source(function: object) -> str | None:
    """Digest of the module that defines the function, or None without one."""
    owner = inspect.unwrap(function) if callable(function) else function
    if not (inspect.isroutine(owner) or inspect.isclass(owner)):
        owner = type(owner)
    try:
        path = inspect.getsourcefile(owner)
        return None if path is None else sha256(Path(path).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None


@lru_cache(maxsize=1)
def _versions() -> Json | None:
    """Digest of this package's sources, and the versions of what computes with it."""

    root = Path(__file__).parents[1]
    total = sha256()
    try:
        paths = sorted(
            path
            for name in ("network", "problems", "statistics", "support", "theory", "training")
            for path in (root / name).rglob("*.py")
        )
        for path in paths:
            content = path.read_bytes()
            total.update(f"{path.relative_to(root).as_posix()}:{len(content)}:".encode())
            total.update(content)
    except OSError:
        return None
    if not paths:
        return None
    return {
        "sources": total.hexdigest(),
        **software_versions("numpy", "scipy"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
