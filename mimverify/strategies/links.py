"""Random links, inside or outside the theorem's assumptions according to the link analysis."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from mimverify.network import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems import Link, get_link
from mimverify.strategies.choices import choices
from mimverify.strategies.families import FAMILIES, ODD_FAMILIES, family_link
from mimverify.support.errors import InputError
from mimverify.support.validation import integer
from mimverify.theory import label_law
from mimverify.theory.analysis import first_moments

__all__ = ["lies_inside", "link_candidates", "links"]

_SEEDS = range(256)
_RANKS = (1, 2)


def lies_inside(link: Link | str, loss: Loss | str = DEFAULT_LOSS) -> bool | None:
    """Whether Λ has full rank and T is bounded; None where the analysis cannot decide.

    The assumptions `generic` and `bounded-transform` of `inspect_link`, without the rest of
    its work. False too for a link that has no law: a constant one, or one that overflows.
    Takes some 0.2 s for r = 1 and 2 s for r = 2.

    Source: theory.md §1, §6 (N1, N2).
    """
    link = get_link(link)
    try:
        law = label_law(link, loss)
    except InputError:
        return False
    moments = first_moments(law)
    if law.tail.bounded is False:
        return False
    if moments.rank == link.rank:
        return law.tail.bounded
    # What is indistinguishable from zero is zero only where the error is far below √v.
    return False if moments.eigenvalue_error < 1e-3 * math.sqrt(moments.v) else None


def link_candidates(*, rank: int | None = None, odd: bool = False) -> st.SearchStrategy[Link]:
    """Members of the families, not analysed.

    **Arguments**

    - `rank`: r; 1 or 2 by default.
    - `odd`: odd links, mostly outside, instead of generic ones, mostly inside.

    **Raises** `InputError` for a rank below 1.
    """
    ranks = _RANKS if rank is None else (integer("rank", rank, minimum=1),)
    families = ODD_FAMILIES if odd else FAMILIES
    return st.builds(family_link, choices(families), choices(ranks), choices(_SEEDS))


def links(
    inside: bool | None = None, *, rank: int | None = None, loss: Loss | str = DEFAULT_LOSS
) -> st.SearchStrategy[Link]:
    """Random links: polynomials, ReLU networks, trigonometric ones, compositions, odd ones.

    **Arguments**

    - `inside`: True: only links with Λ of full rank and bounded T under `loss`; False: only
      links that break either; None: any, not analysed.
    - `rank`: r; 1 or 2 by default.
    - `loss`: which loss the assumptions are about.

    Shrinks to a polynomial of small seed. Analysed once for each link (`lies_inside`): give
    tests that ask for `inside` at rank 2 no deadline.

    **Raises** `InputError` for a rank below 1 or an unknown loss.
    """
    loss = get_loss(loss)
    generic, odd = (link_candidates(rank=rank, odd=flag) for flag in (False, True))
    if inside is None:
        return st.one_of(generic, odd)
    candidates = generic if inside else odd
    return candidates.filter(lambda link: lies_inside(link, loss) is inside)
