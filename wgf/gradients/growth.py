"""Growth of derivatives on the way back, which tells whether the steps of a flow can be differentiated.

A flow multiplies a derivative in its state, in the dual of the W2 length, by at most exp(-lambda dt) in a time dt, and
an error estimate keeps lambda dt small. A step that multiplies it by far more has passed a layer that its length does
not resolve, such as a cell without mass where the map nearly folds: the computed states hardly notice it, but their
derivatives do.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

LARGEST = 4.0  # factor of one step
SMALL = 1e-3  # derivative relative to the largest one of the loss, whose growth does not matter


class Doubtful(RuntimeWarning):
    """Warning: a derivative may be false."""


def factor(before: Tensor, after: Tensor, loss: Tensor) -> Tensor:
    """By how much one step multiplies derivatives, at most, a scalar.

    Args:
        before, after: lengths of the derivatives in the states before and after some steps [...].
        loss: length of the largest derivative of the loss itself, a scalar or one for each.
    """
    grown = torch.where((before <= SMALL * loss) | (before == 0), 0.0, before / after)  # NaN and infinity stay
    return grown.max() if grown.numel() else loss.new_zeros(())


def judge(factor: float) -> None:
    """Warn of a factor that is too large. NaN counts as one."""
    if factor <= LARGEST:
        return
    warnings.warn(
        f"a step of this flow multiplies derivatives by {factor:.2g}, so they may be false: choose a smaller "
        "network.bound or network.knots=quantile, so that every cell holds mass",
        Doubtful,
        stacklevel=2,
    )
