"""Neurons in mirrored pairs, of which half carry all the work. Source: theory.md §3, E1.

With a_{j+m/2} = −a_j, w_{j+m/2} = ± w_j, b = 0 and σ even, the two neurons of a pair cancel in
the output, f ≡ 0, and their gradients agree up to sign.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from mimverify.network.activations import Activation


def mirror_sign(W: Any, a: Any, b: Any, activation: Activation) -> int | None:
    """The sign s with w_{j+m/2} = s w_j for all j, entry by entry; None without such pairs.

    Exact equality, so that what follows from it is exact too: after a step of which half
    was computed and half mirrored, the pairs are found again.
    """
    half, odd = divmod(int(W.shape[0]), 2)
    xp = array_namespace(W)
    if odd or not activation.even or bool(xp.any(b != 0)) or bool(xp.any(a[:half] != -a[half:])):
        return None
    for sign in (1, -1):
        # One entry of each neuron tells most networks apart without a look at the others.
        if bool(xp.all(W[half:, 0] == sign * W[:half, 0])) and bool(
            xp.all(W[half:] == sign * W[:half])
        ):
            return sign
    return None
