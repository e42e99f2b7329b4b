"""A user's law, named `module:attribute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.inputs.base import InputLaw
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute, summarise
from mimverify.support.validation import number

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["ImportedLaw", "import_law"]

Fill = Callable[[np.random.Generator, Float64Array], object]


class ImportedLaw(InputLaw):
    """A law by its `fill`, with what it promises of itself, under the name it was imported by."""

    def __init__(self, name: str, fill: Fill, promises: object) -> None:
        self._name, self._fill = name, fill
        self.isotropic = bool(getattr(promises, "isotropic", False))
        self.independent = bool(getattr(promises, "independent", False))
        self.rotation_invariant = bool(getattr(promises, "rotation_invariant", False))
        self._moments = float(getattr(promises, "moments", super().moments))
        kurtosis = getattr(promises, "excess_kurtosis", None)
        if kurtosis is not None:
            kurtosis = number(f"inputs {name}: excess_kurtosis", kurtosis, minimum=-2.0)
        self._kurtosis: float | None = kurtosis

    @property
    def name(self) -> str:
        return self._name

    @property
    def moments(self) -> float:
        return self._moments

    @property
    def excess_kurtosis(self) -> float | None:
        return self._kurtosis

    def fill(self, generator: np.random.Generator, out: Float64[Float64Array, "k d"]) -> None:
        self._fill(generator, out)


def import_law(specification: str) -> InputLaw:
    """The law that `module:attribute` names: an `InputLaw`, a class of them that takes no
    arguments, or a function `fill(generator, out)`.

    **Raises** `InputError` for anything else.
    """
    target = load_attribute("inputs", specification)
    if isinstance(target, type) and issubclass(target, InputLaw):
        try:
            target = target()
        except Exception as error:
            raise InputError(
                f"inputs={specification!r}: raised {summarise(error)} when called without "
                "arguments; name an instance"
            ) from error
    if isinstance(target, InputLaw):
        return ImportedLaw(specification, target.fill, target)
    if not callable(target):
        raise InputError(
            f"inputs={specification!r}: expected an InputLaw or a function fill(generator, out), "
            f"got {type(target).__name__}"
        )
    return ImportedLaw(specification, target, target)
