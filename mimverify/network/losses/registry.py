"""The named losses, found in their files, and where each stands among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from mimverify.network.losses import named
from mimverify.network.losses.loss import Loss
from mimverify.network.losses.named_loss import NamedLoss
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.package_files import objects_with_modules
from mimverify.support.unique_names import by_name
from mimverify.support.validation import canonical, choice

__all__ = ["DEFAULT_LOSS", "LOSSES", "get_loss", "lipschitz_losses"]

#: The loss where none is named, on every command line and in Python: of the theorem's kind, C¹ and
#: Lipschitz. It clips labels beyond 1 from the constant, which costs some links signal.
DEFAULT_LOSS = "huber"


def _place(found: tuple[str, NamedLoss]) -> tuple[object, ...]:
    """Those of the theorem's kind last, the default first of them, then those with a parameter."""
    _, loss = found
    usual = loss()
    return (
        usual.lipschitz,
        usual.smooth,
        loss.name != DEFAULT_LOSS,
        not loss.takes_parameter,
        loss.name,
    )


def _named(loss: Loss | NamedLoss) -> NamedLoss:
    return loss if isinstance(loss, NamedLoss) else NamedLoss(loss.name, lambda: loss)


def _found() -> Iterable[tuple[str, NamedLoss]]:
    kinds: tuple[type[Loss | NamedLoss], ...] = (Loss, NamedLoss)
    for module, loss in objects_with_modules(named, *kinds, in_each=True):
        yield module, _named(loss)


#: Named losses; some take a number after a colon (`"huber:0.5"`).
LOSSES: dict[str, NamedLoss] = by_name(sorted(_found(), key=_place))


def lipschitz_losses() -> tuple[str, ...]:
    """Names of the losses that the theorem's bound on l' admits, those without a jump first."""
    found = [name for name in LOSSES if get_loss(name).lipschitz]
    return tuple(sorted(found, key=lambda name: not get_loss(name).smooth))


def get_loss(loss: Loss | str) -> Loss:
    """The loss that a specification names; a `Loss` is returned as it is.

    **Arguments**

    - `loss`: a `Loss`, a registered name (`"huber"`, `"huber:0.5"`), or
      `"module:attribute"` naming a `Loss` or a callable l'(f, y).

    **Raises** `InputError` for an unknown name, a δ that is not positive, or an
    attribute that cannot be imported.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise InputError(f"loss={loss!r}: expected a Loss or a name")
    head, _, parameter = loss.partition(":")
    name: str | None = head  # spelt as it is here: no search, since every step asks
    if head not in LOSSES:
        name = {canonical(known): known for known in LOSSES}.get(canonical(head))
    if name is None:
        if parameter:
            return _import_loss(loss)
        choice("loss", loss, LOSSES)  # raises, with the nearest name
        raise AssertionError("unreachable")
    return _specified(name, parameter, loss)


@lru_cache(maxsize=128)
def _specified(name: str, parameter: str, spec: str) -> Loss:
    found = LOSSES[name]
    if not parameter:
        return _built(name, found.default)
    if not found.takes_parameter:
        raise InputError(f"loss={spec!r}: {name} takes no parameter")
    try:
        return _built(name, float(parameter))
    except ValueError:
        raise InputError(f"loss={spec!r}: expected {found.expected} after the colon") from None


@lru_cache(maxsize=128)
def _built(name: str, parameter: float | None) -> Loss:
    # One object for one loss, however it is spelt: caches are keyed by it.
    return LOSSES[name]() if parameter is None else LOSSES[name](parameter)


def _import_loss(spec: str) -> Loss:
    try:
        target = load_attribute("loss", spec)
    except InputError as error:
        raise InputError(f"loss={spec!r}: neither a named loss nor importable ({error})") from None
    if isinstance(target, Loss):
        return replace(target, name=spec)
    if not callable(target):
        raise InputError(f"loss={spec!r}: expected a Loss or a callable l'(f, y)")
    return Loss(spec, derivative=target)
