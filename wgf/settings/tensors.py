"""Numbers that a caller gives as tensors. Whoever holds a tensor has loaded torch: this module does not load it."""

from __future__ import annotations

from typing import Any

FOREIGN = "torch.func and forward mode have no derivatives here: use torch.autograd.grad or backward()"


def is_foreign(value: Any) -> bool:
    """Whether a value is a tensor of torch.func or of forward mode, whose derivatives would be lost."""
    if not hasattr(value, "requires_grad"):
        return False
    import torch

    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(value)
    return wrapped or torch.autograd.forward_ad.unpack_dual(value).tangent is not None


def has_derivatives(value: Any) -> bool:
    """Whether a value is a tensor whose derivatives torch records, or a list with such tensors."""
    if isinstance(value, (list, tuple)):
        return any(map(has_derivatives, value))
    if not getattr(value, "requires_grad", False):
        return False
    import torch

    return torch.is_grad_enabled()


def numbers_in(value: Any) -> Any:
    """The numbers in a tensor or in a list of tensors and numbers."""
    if isinstance(value, (list, tuple)):
        return [numbers_in(entry) for entry in value]
    return value.tolist() if hasattr(value, "requires_grad") else value


def copied(value: Any) -> Any:
    """Copies with the same derivatives: a tensor of one number, or a list of numbers and such tensors."""
    if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1:
        return [copied(entry) for entry in value]
    return value.double().clone() if hasattr(value, "double") else float(value)
