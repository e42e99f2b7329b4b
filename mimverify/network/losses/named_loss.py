"""A loss of the package as its name gives it: with a parameter after a colon, or without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimverify.network.losses.loss import Loss
from mimverify.support.errors import InputError
from mimverify.support.validation import shortest

__all__ = ["NamedLoss"]


@dataclass(frozen=True)
class NamedLoss:
    """The losses that a name and a number specify: `"huber"`, `"huber:0.5"`.

    **Arguments**

    - `name`: before the colon.
    - `build`: called with the number, or without one where `default` is None. **Raises**
      `InputError` for a number that it does not take.
    - `default`: the number where none is given; None: the loss takes none.
    - `expected`: what the number is, for messages.

    **Raises** `InputError` for a name with a colon.
    """

    name: str
    build: Callable[..., Loss]
    default: float | None = None
    expected: str = "a positive number"

    def __post_init__(self) -> None:
        if ":" in self.name:
            raise InputError(
                f"name={self.name!r}: expected a name without a colon, after which a number stands"
            )

    def __call__(self, *parameter: float) -> Loss:
        """The loss of this number, or of the default one."""
        return self.build(*parameter)

    @property
    def takes_parameter(self) -> bool:
        """Whether a number may follow the name."""
        return self.default is not None

    def specification(self, parameter: float) -> str:
        """The name of the loss of this number, which `get_loss` reads."""
        return self.name if parameter == self.default else f"{self.name}:{shortest(parameter)}"
