"""Where figures come from: the versions, the machine and the command behind a run."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("wgf", "torch", "numpy", "scipy", "hydra-core", "omegaconf", "tensorboard", "matplotlib")
DIGITS = ("wgf", "torch", "numpy", "scipy")  # packages that decide on the last digits


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def circumstances(device: torch.device) -> dict[str, str | int | None]:
    """What the last digits of a run depend on beside its config."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    versions = {name: _version(name) for name in DIGITS}
    return {**versions, "device": f"{device}: {name}", "threads": torch.get_num_threads()}


def provenance(device: torch.device, seed: int) -> dict[str, Any]:
    """The content of provenance.json when a run begins."""
    known = circumstances(device)
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "git_commit": _git_commit(),
        "device": known["device"],
        "threads": known["threads"],
        "seed": seed,
        "argv": sys.argv,
        "host": platform.node(),
        "start": now(),
        "end": None,
        "resumed": [],
    }


def resumed(path: Path, fresh: dict[str, Any], step: int, t: float) -> dict[str, Any]:
    """The content of an earlier provenance.json, as far as it can be read, with what is new about the run going on.

    Args:
        path: of the earlier one.
        fresh: the same of this part of the run.
        step, t: where it goes on.
    """
    try:
        earlier = json.loads(path.read_text())
        parts = list(earlier["resumed"])
    except (OSError, ValueError, KeyError, TypeError):
        return fresh | {"resumed": [{"step": step, "t": t}]}
    changed = {
        key: value for key, value in fresh.items() if key not in ("end", "resumed") and earlier.get(key) != value
    }
    return earlier | {"end": None, "resumed": [*parts, {"step": step, "t": t, **changed}]}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
