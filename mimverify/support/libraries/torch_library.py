"""Torch, which may never be imported: its module is handed over once it is."""

from __future__ import annotations

from typing import Any

from mimverify.support.libraries.process_wide import Library, Setting, ThreadCount


def _read_deterministic(torch: Any) -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _write_deterministic(torch: Any, value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _read_precision(torch: Any) -> str:
    try:
        return str(torch.get_float32_matmul_precision())
    except RuntimeError:  # it was set for one device alone, which has no one name
        return "highest"


def _write_device(torch: Any, value: str) -> None:
    torch.set_default_device(None if value == "cpu" else value)  # None: without a device's mode


TORCH = Library(
    "torch",
    {
        "Torch's default dtype": Setting(
            "torch",
            lambda torch: str(torch.get_default_dtype()).removeprefix("torch."),
            lambda torch, value: torch.set_default_dtype(getattr(torch, value)),
            "float32",
        ),
        "Torch's gradients": Setting(
            "torch",
            lambda torch: torch.is_grad_enabled(),
            lambda torch, value: torch.set_grad_enabled(value),
            True,
        ),
        "Torch's default device": Setting(
            "torch", lambda torch: str(torch.get_default_device()), _write_device, "cpu"
        ),
        "Torch's deterministic algorithms": Setting(
            "torch", _read_deterministic, _write_deterministic, (False, False)
        ),
        "Torch's precision of float32 products": Setting(
            "torch",
            _read_precision,
            lambda torch, value: torch.set_float32_matmul_precision(value),
            "highest",
        ),
    },
    threads=ThreadCount(
        lambda torch: int(torch.get_num_threads()),
        lambda torch, count: torch.set_num_threads(count),
    ),
)
