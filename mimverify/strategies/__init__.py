"""Hypothesis strategies for problems, networks, experiments and awkward arrays.

For property-based tests of anything that works with multi-index models. Configurations are
drawn, and all numbers derive from them through seeds, so that shrinking cannot change
single entries of arrays. Draws are the same in every installation (see `choices`).

    from hypothesis import given
    from mimverify.strategies import links

    @given(links(inside=True, rank=1))
    def test_my_trainer_learns(link): ...
"""

from mimverify.strategies.arrays import ARRAY_KINDS, AwkwardArrays, adversarial_arrays
from mimverify.strategies.choices import choices
from mimverify.strategies.configurations import configurations
from mimverify.strategies.families import FAMILIES, ODD_FAMILIES, family_link
from mimverify.strategies.links import lies_inside, link_candidates, links
from mimverify.strategies.models import models
from mimverify.strategies.networks import networks

__all__ = [
    "ARRAY_KINDS",
    "FAMILIES",
    "ODD_FAMILIES",
    "AwkwardArrays",
    "adversarial_arrays",
    "choices",
    "configurations",
    "family_link",
    "lies_inside",
    "link_candidates",
    "links",
    "models",
    "networks",
]
