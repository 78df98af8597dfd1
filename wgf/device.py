"""The device of a run by its name."""

from __future__ import annotations

import torch

from wgf.errors import ConfigError


def device_of(name: str) -> torch.device:
    """cpu, cuda, cuda:<number> or auto.

    Raises:
        ConfigError: it is none of these, or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name!r} is not allowed: expected cpu, cuda, cuda:<number> or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={name!r} is not allowed: expected cpu, cuda, cuda:<number> or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device={name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; "
            "say device=cpu or device=auto"
        )
    return device
