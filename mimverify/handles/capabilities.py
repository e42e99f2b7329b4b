"""What a trainer offers and declares, read from the object itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimverify.handles.methods import SIGNATURES
from mimverify.handles.own_methods import Signatures
from mimverify.handles.tracebacks import trainer_error
from mimverify.support.errors import InputError
from mimverify.support.importing import summarise, visible
from mimverify.support.strict_json import Json

__all__ = [
    "Capabilities",
    "describe",
    "has_parameters",
    "methods_of",
    "name_of",
    "random_state_parameters",
]


@dataclass(frozen=True)
class Capabilities:
    """What a trainer says it can do.

    **Arguments**

    - `methods`: those of `SIGNATURES`, and of the claims' own, that it offers.
    - `activations`, `losses`, `dtypes`: the names it declares, or None: not declared.
    - `sets_random_state`: whether it takes a seed.
    """

    methods: frozenset[str]
    activations: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    sets_random_state: bool = False

    def to_json(self) -> Json:
        """A dictionary of lists, strings and booleans; `from_json` is the inverse."""

        def listed(names: tuple[str, ...] | None) -> list[str] | None:
            return None if names is None else list(names)

        return {
            "methods": sorted(self.methods),
            "activations": listed(self.activations),
            "losses": listed(self.losses),
            "dtypes": listed(self.dtypes),
            "sets_random_state": self.sets_random_state,
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, object], signatures: Signatures = SIGNATURES
    ) -> Capabilities:
        """The capabilities that `to_json` wrote, of trainers with methods among `signatures`.

        **Raises** `InputError` where `data` is not of that form.
        """
        try:
            declared = {key: _names(data[key]) for key in _DECLARATIONS}
            methods = frozenset(_names(data["methods"]) or ())
            sets_random_state = bool(data["sets_random_state"])
        except (KeyError, TypeError) as error:
            raise InputError(f"capabilities={data!r}: {summarise(error)}") from error
        if not methods <= signatures.keys():
            raise InputError(f"methods={sorted(methods)}: expected some of {list(signatures)}")
        return cls(methods=methods, sets_random_state=sets_random_state, **declared)


_DECLARATIONS = ("activations", "losses", "dtypes")


def _names(value: object) -> tuple[str, ...] | None:
    """`value`, a list of names or None, as a tuple; TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(name, str) and name.isprintable() for name in value
    ):
        raise TypeError(f"expected a list of names, got {value!r}")
    return tuple(value)


def describe(trainer: object, signatures: Signatures = SIGNATURES) -> Capabilities:
    """What `trainer`, an object that `new_trainer` returned, offers and declares.

    **Raises** `TrainerError` of kind `"construct"` for a declaration that is no list of names.
    """
    declared: dict[str, tuple[str, ...] | None] = {}
    for key in _DECLARATIONS:
        try:
            declared[key] = _names(getattr(trainer, key, None))
        except Exception as error:
            message = f"{key} of {name_of(trainer)}: {summarise(error)}"
            raise trainer_error("construct", message, error) from error
    return Capabilities(
        methods=methods_of(trainer, signatures),
        sets_random_state=_takes_random_state(trainer),
        **declared,
    )


def name_of(source: object) -> str:
    """What messages call a trainer, its class or the factory that makes it."""
    named = source if hasattr(source, "__qualname__") else type(source)
    return visible(str(named.__qualname__))


def methods_of(trainer: object, signatures: Signatures = SIGNATURES) -> frozenset[str]:
    """Those of `signatures` that `trainer` offers.

    **Raises** `TrainerError` of kind `"construct"` where they cannot be read.
    """
    try:
        return frozenset(name for name in signatures if callable(getattr(trainer, name, None)))
    except Exception as error:  # a property that raises something else than AttributeError
        message = f"reading the methods of {name_of(trainer)} raised {summarise(error)}"
        raise trainer_error("construct", message, error) from error


def has_parameters(trainer: object) -> bool:
    """Whether `trainer` follows scikit-learn's convention. `get_params` alone is not
    enough: others use the name for methods that need arguments."""
    return all(callable(getattr(trainer, name, None)) for name in ("get_params", "set_params"))


def random_state_parameters(trainer: Any) -> list[str]:  # Any: scikit-learn has no types
    """Names of the `random_state` parameters, those of nested estimators included."""
    if not has_parameters(trainer):
        return []
    names = sorted(str(name) for name in trainer.get_params())
    return [name for name in names if name.rpartition("__")[2] == "random_state"]


def _takes_random_state(trainer: object) -> bool:
    try:
        return bool(random_state_parameters(trainer)) or hasattr(trainer, "random_state")
    except Exception as error:
        message = f"reading the parameters of {name_of(trainer)} raised {summarise(error)}"
        raise trainer_error("construct", message, error) from error
