"""Random links, inside or outside the theorem's assumptions according to the link analysis."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from mimverify.network import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems import Link, get_link
from mimverify.strategies.choices import choices
from mimverify.strategies.families import FAMILIES, ODD_FAMILIES, family_link
from mimverify.support.errors import InputError
from mimverify.support.validation import integer
from mimverify.theory import label_law, sampled_law
from mimverify.theory.analysis import first_moments

__all__ = ["lies_inside", "link_candidates", "links"]

_SEEDS = range(256)
_RANKS = (1, 2)
# Labels of a first look, and the standard errors that leave no doubt.
_SAMPLE, _CERTAIN = 1 << 15, 6.0


def lies_inside(link: Link | str, loss: Loss | str = DEFAULT_LOSS) -> bool | None:
    """Whether Λ has full rank and T is bounded; None where the analysis cannot decide.

    The assumptions `generic` and `bounded-transform` of `inspect_link`, without the rest of
    its work. False too for a link that has no law: a constant one, or one that overflows.
    Takes milliseconds where a sample of labels leaves no doubt, else some 0.2 s for r = 1 and 2 s
    and more for r ≥ 2.

    Source: theory.md §1, §6 (N1, N2).
    """
    link = get_link(link)
    if _clearly_inside(link, get_loss(loss)):
        return True
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


def _clearly_inside(link: Link, loss: Loss) -> bool:
    """Whether T is bounded for every label, and the Λ of a sample of labels so far from a singular
    matrix that the population's is none: by 6 times the root mean square of ‖Λ̂ − Λ‖_F.
    """
    if not loss.lipschitz:
        return False
    try:
        law = sampled_law(link, loss, _SAMPLE)
    except InputError:
        return False
    products = law.z[:, :, None] * law.z[:, None] - np.eye(link.rank)
    terms = law.T[:, None, None] * products
    error = math.sqrt(terms.var(axis=0).sum() / _SAMPLE)
    smallest = float(np.abs(np.linalg.eigvalsh(terms.mean(axis=0))).min())
    return smallest > _CERTAIN * error


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
