"""Short runs that check themselves, and the numbers they end with."""

from pathlib import Path
from typing import Any

from composed_configs import composed

from wgf.run.runner import build, run
from wgf.settings.check import check

AFFINE = "experiment=ornstein_uhlenbeck t_end=0.3 network.width=4 "


def unverified(folder: Path, text: str) -> dict[str, Any]:
    """The result of a run without estimates of its error."""
    cfg = composed("saves=2", "logger=none", "figures=false", *text.split())
    check(cfg)
    return run(build(cfg), cfg, folder).as_dict()


def verified(folder: Path, text: str) -> dict[str, Any]:
    """The result of a run with estimates of its error."""
    return unverified(folder, "verify=true " + text)
