"""Tensors that require grad among the arguments of an ensemble."""

from __future__ import annotations

from typing import Any

from wgf.errors import ConfigError
from wgf.gradients.tensors import tensors_of


def check_tensors(**arguments: Any) -> None:
    """Check that no argument holds a tensor whose derivative would be lost.

    Raises:
        ConfigError: with one line for each that does.
    """
    lost = [name for name, value in arguments.items() if tensors_of(value)]
    if lost:
        raise ConfigError(
            *(f"{name} has a tensor that requires grad, whose derivative would be lost: detach it" for name in lost)
        )
