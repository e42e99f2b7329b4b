"""Random multi-index models."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from mimverify.problems import Link, MultiIndexModel
from mimverify.strategies.choices import choices
from mimverify.strategies.links import links
from mimverify.support.validation import integer, number

__all__ = ["models"]


def models(
    link: st.SearchStrategy[Link] | None = None,
    *,
    dims: Sequence[int] = (8, 3, 5, 12, 24, 40),
    noises: Sequence[float] = (0.0, 0.3, 1.0),
) -> st.SearchStrategy[MultiIndexModel]:
    """Models with Haar-random subspaces; a smaller d than the link's r counts as r, so r = d.

    **Arguments**

    - `link`: a strategy for the link, `links()` by default.
    - `dims`, `noises`: values of d and of the noise's standard deviation, simplest first.

    **Raises** `InputError` for d < 1 or negative noise.
    """
    sizes = [integer("dims", dim, minimum=1) for dim in dims]
    levels = [number("noises", noise, minimum=0.0) for noise in noises]

    def build(link: Link, dim: int, noise: float, seed: int) -> MultiIndexModel:
        return MultiIndexModel(link, max(dim, link.rank), noise=noise, seed=seed)

    return st.builds(
        build,
        links() if link is None else link,
        choices(sizes),
        choices(levels),
        choices(range(256)),
    )
