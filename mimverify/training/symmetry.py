"""Neurons in mirrored pairs: half of them determine all. Source: theory.md §3, E1.

With a_{j+m/2} = −a_j, w_{j+m/2} = ± w_j, b = 0 and σ even, the two neurons of a pair cancel in
the output, f ≡ 0, and their gradients agree up to sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from mimverify.network.activations import Activation
from mimverify.support.arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float


def mirror_sign(
    W: Float[Array, "m d"],
    a: Float[Array, " m"],
    b: Float[Array, " m"],
    activation: Activation,
) -> int | None:
    """The sign s with w_{j+m/2} = s w_j for all j, entry by entry; None without such pairs.

    Equality is exact, so that its consequences are exact too: a step that computes one half and
    mirrors the other preserves the pairs.
    """
    half, odd = divmod(int(W.shape[0]), 2)
    xp = array_namespace(W)
    if odd or not activation.even or bool(xp.any(b != 0)) or bool(xp.any(a[:half] != -a[half:])):
        return None
    for sign in (1, -1):
        # One entry of each neuron decides for most networks.
        if bool(xp.all(W[half:, 0] == sign * W[:half, 0])) and bool(
            xp.all(W[half:] == sign * W[:half])
        ):
            return sign
    return None
