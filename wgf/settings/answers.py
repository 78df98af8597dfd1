"""Answers of functions that a caller gives: numbers and arrays count as the tensors that were asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.settings.arguments import numbers


def answer(name: str, value: Any, points: Tensor) -> Tensor:
    """What a function returns at points [n], as a tensor [n] like them; one number counts for all points.

    Raises:
        ConfigError: it is neither one real number nor one for each point.
    """
    if isinstance(value, Tensor) and value.shape == points.shape and not value.is_complex():
        return value.detach().to(points)
    try:
        found = torch.from_numpy(numbers(name, value * 1.0)).to(points)  # truth values are 0 and 1
    except (ConfigError, TypeError):
        found = None
    if found is None or found.shape not in ((), points.shape):
        shape = f" of shape {list(value.shape)}" if hasattr(value, "shape") else ""
        raise ConfigError(
            f"{name} returns a {type(value).__name__}{shape}: expected a tensor of one real number for each point"
        )
    return found.expand(points.shape)
