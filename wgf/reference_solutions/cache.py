"""Cache of reference solutions on the disk, one file per problem and times."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wgf.files import replacing
from wgf.kept import describe
from wgf.problem.equations import Problem
from wgf.reference_solutions.base import Grid
from wgf.reference_solutions.finite_volumes.masses import Volumes
from wgf.reference_solutions.finite_volumes.refinement import Reference

log = logging.getLogger("wgf")

VERSION = 16  # of the finite volumes: files of another version are not read
OFF = "WGF_NO_CACHE"  # environment variable that turns the cache off
ENDS = ("low", "high", "centre", "stretch")


def path_of(problem: Problem, times: Sequence[float]) -> Path | None:
    """The file of this solution; None where the cache is off or the problem has classes from outside wgf."""
    if os.environ.get(OFF):
        return None
    terms = problem.potential, problem.internal, problem.interaction
    parts: list[object] = [VERSION, problem.law, problem.base, *terms, list(times)]
    if not problem.domain.is_line:
        parts.append(problem.domain)
    try:
        key = hashlib.sha256(describe(parts).encode()).hexdigest()[:32]
        home = os.environ.get("XDG_CACHE_HOME")
        return (Path(home) if home else Path.home() / ".cache") / "wgf" / f"{key}.npz"
    except (TypeError, RuntimeError):  # a class from outside wgf, or no home folder
        return None


def save(path: Path, reference: Reference) -> None:
    """Write a solution, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    arrays: dict[str, Any] = {name: getattr(reference, name) for name in ("times", "errors", "w2_errors", "share")}
    for name, volumes in (("coarse", reference.coarse), ("fine", reference.fine)):
        arrays[name], arrays[f"{name}_dips"] = volumes.mass, volumes.dips
        arrays[f"{name}_grid"] = [*(getattr(volumes.grid, end) for end in ENDS), float(volumes.smooth)]
    with replacing(path) as file:
        np.savez(file, **arrays)


def load(path: Path, problem: Problem) -> Reference | None:
    """The solution that `save` wrote; None if the file does not exist or is damaged."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            levels = []
            for name in ("coarse", "fine"):
                mass, (low, high, centre, stretch, smooth) = file[name], file[f"{name}_grid"].tolist()
                grid = Grid(low, high, centre, stretch, mass.shape[1] - 1)
                levels.append(Volumes(grid, mass, file[f"{name}_dips"], bool(smooth)))
            times, errors, squares, share = file["times"], file["errors"], file["w2_errors"], float(file["share"])
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        log.debug("%s cannot be read: %s", path, error)
        return None
    return Reference(times, errors, squares, problem.base, levels[0], levels[1], share)
