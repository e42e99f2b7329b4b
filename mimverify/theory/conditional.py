"""What a label says about the hidden features: E[z | y] and E[zzᵀ − I | y] as functions of y.

With z ~ N(0, I_r) and y = g(z) + noise·ε, the law of z given y decides how hard learning is
(theory.md §5). A link is a black box here: only its values are asked for. Two methods, each
a room of its own: *preimages* for one feature without noise, exact to about nine digits, and
*projection* otherwise, a lower bound with a statistical error.
"""

from __future__ import annotations

from collections.abc import Callable

from mimverify.errors import InputError
from mimverify.problems.links import Array, Link
from mimverify.theory.moments import ConditionalMoments
from mimverify.theory.preimages import by_preimages
from mimverify.theory.projection import MAXIMUM_RANK, by_projection
from mimverify.validation import integer, number


def conditional_moments(link: Link, *, noise: float = 0.0, seed: int = 0) -> ConditionalMoments:
    """E[z | y] and E[zzᵀ − I | y] for y = g(z) + noise·ε, with ε ~ N(0, 1).

    Deterministic for given arguments; `seed` scrambles the point sets of the projection and
    does nothing to the method of preimages.

    **Raises** `InputError` for a rank above 12, negative noise, or a link whose values are
    not finite.
    """
    noise = number("noise", noise, minimum=0.0)
    seed = integer("seed", seed, minimum=0)
    if link.rank > MAXIMUM_RANK:
        raise InputError(f"rank={link.rank}: expected at most {MAXIMUM_RANK} (link {link.name})")
    if link.rank == 1 and noise == 0:
        exact = by_preimages(link)
        if exact is not None:
            return exact
    return by_projection(link, noise, seed)


def conditional_second_moment(
    link: Link, *, noise: float = 0.0, seed: int = 0
) -> Callable[[Array], Array]:
    """The function y `(k,)` → E[zzᵀ | y] `(k, r, r)`, for y = g(z) + noise·ε.

    Exact to about 1e-8 for r = 1 without noise, except within rounding of a critical value of
    g; labels within 1e-12 of an atom count as that atom. Otherwise averages of
    zzᵀ over some thousand labels around a knot, linearly interpolated between knots: positive
    semidefinite everywhere, a few per cent of statistical error, and jumps are smeared over
    one knot distance. Outside the range of g the nearest known label's value is returned.

    **Raises** `InputError` as `conditional_moments` does.
    """
    return conditional_moments(link, noise=noise, seed=seed).second_moment
