"""Settings on one line."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["settings_text"]


def settings_text(settings: Mapping[str, object]) -> str:
    """`name=value, …` with numbers at a readable length."""
    return ", ".join(
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )
