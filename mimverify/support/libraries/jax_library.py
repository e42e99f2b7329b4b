"""JAX, which may be missing: its module is handed over once it is imported.

Its threads on the CPU are those of a pool that is made when it is first used; their number is read
from the environment alone.
"""

from __future__ import annotations

from typing import Any

from mimverify.support.libraries.process_wide import Library, Setting


def _option(name: str, default: object = None) -> Setting:
    """An option of `jax.config`."""

    def read(jax: Any) -> object:
        # Missing while the module is being imported, in another thread.
        return getattr(jax.config, name) if hasattr(jax, "config") else default

    return Setting("jax", read, lambda jax, value: jax.config.update(name, value), default)


JAX = Library(
    "jax",
    {
        "JAX's float64": _option("jax_enable_x64", False),
        "JAX's precision of products": _option("jax_default_matmul_precision"),
    },
    thread_variables=("NPROC",),
)
