"""Moments of the hidden features given the label: E[z | y] and E[zzᵀ − I | y].

With z ~ N(0, I_r) and y = g(z) + noise·ε, the law of z given y decides how hard learning is
(theory.md §5). A link is a black box here: only its values are used. Two methods, each in a
module of its own: *preimages* for one feature without noise, exact to about nine digits, and
*projection* otherwise, a lower bound with a statistical error. Neither depends on the unit of
the labels, or on a large offset of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number
from mimverify.theory.conditional.moments import ConditionalMoments
from mimverify.theory.conditional.preimages import by_preimages
from mimverify.theory.conditional.projection import MAXIMUM_RANK, by_projection
from mimverify.theory.labels.sobol import sobol_points
from mimverify.theory.labels.tables import STANDARD, Units

#: A median this many spreads from zero is an offset, to be subtracted. A smaller one is left,
#: for the sake of labels known to a small *relative* error.
_OFFSET = 16.0
_UNIT_POWER = 12  # 2 to it: points by which the labels' unit is found


def conditional_moments(
    link: Link | str, *, noise: float = 0.0, seed: int = 0, rank: int | None = None
) -> ConditionalMoments:
    """E[z | y] and E[zzᵀ − I | y] for y = g(z) + noise·ε, with ε ~ N(0, 1).

    Deterministic for given arguments; `seed` scrambles the point sets of the projection and
    does not affect the method of preimages. `rank` is r, for an imported function without one.

    **Raises** `InputError` for a rank above 12, negative noise, or a link whose values are
    not finite.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    seed = integer("seed", seed, minimum=0)
    if link.rank > MAXIMUM_RANK:
        raise InputError(f"rank={link.rank}: expected at most {MAXIMUM_RANK} (link {link.name})")
    units = label_units(link, noise)
    standard = standardised(link, units)
    found = _standardised(standard, noise / units.unit, seed, units.blur)
    return replace(
        found,
        second_moment=lambda y: found.second_moment(
            units.standard(np.asarray(y, dtype=np.float64))
        ),
        # Rounding at a large offset makes some knots equal.
        knots=np.unique(units.original(found.knots)),
        atoms=units.original(found.atoms),
        units=units,
    )


def standardised(link: Link, units: Units) -> Link:
    """The link with labels in the given units."""
    return Link(link.name, link.rank, lambda z: units.standard(_quietly(link, z)))


def _standardised(link: Link, noise: float, seed: int, blur: float) -> ConditionalMoments:
    """The moments for labels that are rounded to `blur` against a spread of about 1."""
    if link.rank > 1 or noise > 0:
        return by_projection(link, noise, seed, blur)
    exact = by_preimages(link, blur)
    if isinstance(exact, ConditionalMoments):
        return exact
    projected = by_projection(link, noise, seed, blur)
    return replace(projected, rests_on=f"Not by preimages: {exact}. {projected.rests_on}")


def _quietly(link: Link, z: Float64Array) -> Float64Array:
    """Labels; where they overflow, the link raises `InputError`, and NumPy does not warn."""
    with np.errstate(all="ignore"):
        return link(z)


def label_units(link: Link, noise: float) -> Units:
    """Offset and spread of the labels, from a fixed set of points."""
    from scipy.special import ndtri

    if link.rank == 1:
        uniform = ((np.arange(1 << _UNIT_POWER) + 0.5) / (1 << _UNIT_POWER))[:, None]
    else:
        rng = np.random.default_rng([link.rank, 0x756E6974])
        uniform = sobol_points(link.rank, _UNIT_POWER, rng) + 2.0**-31
    y = _quietly(link, ndtri(uniform))
    _, exponent = math.frexp(np.abs(y).max())
    y = np.ldexp(y, -exponent)  # now |y| ≤ 1, and no sum overflows
    middle = float(np.median(y))
    around = np.abs(y - middle)
    rounding = 4 * np.finfo(np.float64).eps * abs(middle)
    spreads = [float(s) for s in np.quantile(around, [0.5, 0.9, 1.0]) if s > rounding]
    spread = spreads[0] if spreads else abs(middle)
    powers = [math.frexp(spread)[1] + exponent] if spread else []
    powers += [math.frexp(noise)[1]] if noise else []
    if not powers:
        return STANDARD
    # 2^1024 and 2^−1075 are no numbers.
    unit = math.ldexp(1.0, min(max(*powers, -1074), 1023))
    offset = math.ldexp(middle, exponent) / unit
    return Units(offset if abs(offset) > _OFFSET else 0.0, unit)


def conditional_second_moment(
    link: Link | str, *, noise: float = 0.0, seed: int = 0, rank: int | None = None
) -> Callable[[Float64Array], Float64Array]:
    """The function y `(k,)` → E[zzᵀ | y] `(k, r, r)`, for y = g(z) + noise·ε.

    Exact to about 1e-8 for r = 1 without noise, except within rounding of a critical value of
    g; labels within 1e-12 of an atom count as that atom. Otherwise averages of
    zzᵀ over some thousand labels around a knot, linearly interpolated between knots: positive
    semidefinite everywhere, a few per cent of statistical error, and jumps are smeared over
    one knot distance. Outside the range of g the nearest known label's value is returned.

    **Raises** `InputError` as `conditional_moments` does.
    """
    return conditional_moments(link, noise=noise, seed=seed, rank=rank).second_moment
