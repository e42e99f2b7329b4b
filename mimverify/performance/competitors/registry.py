"""The built-in competitors by name, and users' own.

Ours are those of the backends; the others are the files of `contenders`. Neither are in a list.
"""

from __future__ import annotations

from mimverify.backends import BACKENDS, BACKENDS_WITH_DEVICES, backend_class, get_backend
from mimverify.performance.competitors import contenders
from mimverify.performance.competitors.competitor import GROUPS, Competitor
from mimverify.performance.competitors.our_steps import our_step
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.optional_libraries import missing_libraries
from mimverify.support.package_files import objects_with_modules
from mimverify.support.unique_names import by_name
from mimverify.support.validation import choice
from mimverify.training.on_device import check_device_name


def _found() -> dict[str, Competitor]:
    """By group, those that need no extra first, then alphabetically."""
    ours = [(backend_class(name).__module__, our_step(name)) for name in BACKENDS]
    return by_name(
        sorted([*ours, *objects_with_modules(contenders, Competitor, in_each=True)], key=_place)
    )


def _place(found: tuple[str, Competitor]) -> tuple[object, ...]:
    _, one = found
    return (GROUPS.index(one.group), one.extra != "", one.name)


#: In the table's order.
COMPETITORS: dict[str, Competitor] = _found()


def get_competitor(spec: str) -> Competitor:
    """The competitor of that name, one on a device, `"torch on cuda"`, or a user's own,
    `"module:attribute"`.

    **Raises** `InputError` for an unknown name, or an attribute that is no `Competitor`.
    """
    name, _, device = spec.partition(" on ")
    on_device = COMPETITORS[name].on_device if device and name in COMPETITORS else None
    if on_device is not None:
        return on_device(check_device_name(device))
    if ":" not in spec:
        return COMPETITORS[choice("contender", spec, COMPETITORS)]
    found = load_attribute("contender", spec)
    if not isinstance(found, Competitor):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise InputError(f"contender={spec!r}: expected a Competitor, got {kind}")
    return found


def names_on(device: str, dtype: str) -> tuple[str, ...]:
    """Names of those on a device: our steps on the backends that can use it, and their libraries'
    bare products.

    **Raises** `InputError` if no backend can.
    """
    refusals: list[InputError] = []
    backends = []
    for name in BACKENDS_WITH_DEVICES:
        try:
            get_backend(name, dtype, device)
            backends.append(name)
        except InputError as error:
            refusals.append(error)
    if not backends:
        raise refusals[0]
    products = (COMPETITORS[name].products for name in backends)
    return tuple(
        f"{name} on {device}"
        for name in (*backends, *products)
        if name in COMPETITORS and COMPETITORS[name].on_device is not None
    )


def missing_packages(competitor: Competitor) -> str | None:
    """A message that names the packages to install; None if all are there."""
    return missing_libraries(competitor.modules, competitor.extra)
