"""Provenance of a run: versions, machine and command."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("wgf", "torch", "numpy", "scipy", "hydra-core", "omegaconf", "tensorboard", "matplotlib")
DIGITS = ("wgf", "torch", "numpy", "scipy")  # packages that can change the last digits


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def circumstances(device: torch.device) -> dict[str, str | int | None]:
    """Versions and machine that the last digits of a run depend on, apart from its config."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions = {name: _version(name) for name in DIGITS}
    return {**versions, "device": f"{device}: {name}", "threads": torch.get_num_threads()}


def provenance(device: torch.device, seed: int) -> dict[str, Any]:
    """Content of provenance.json at the start of a run."""
    known = circumstances(device)
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "git_commit": git_commit(),
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
    """Content of provenance.json for a resumed run: the earlier content, if readable, and what has changed.

    Args:
        path: path of the earlier provenance.json.
        fresh: provenance of this part of the run.
        step, t: step and time from which the run resumes.
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


@cache
def _version(package: str) -> str | None:
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    for line in (found.read_text("METADATA") or "").splitlines():
        if line.startswith("Version: "):  # `found.version` would parse the whole description first
            return line.removeprefix("Version: ")
    return found.version


@cache
def git_commit() -> str | None:
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
