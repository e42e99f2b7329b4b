"""The squared loss, which is not Lipschitz."""

from __future__ import annotations

from mimverify.network.losses.loss import loss_of_difference

__all__ = ["SQUARED"]

SQUARED = loss_of_difference("squared", lambda u: u**2 / 2, lambda u: u, curvature_bound=1.0)
