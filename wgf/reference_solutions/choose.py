"""What a run is compared with: a closed form, else particles or finite volumes, the latter kept on the disk."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wgf.errors import ConfigError, in_one_line
from wgf.files import replacing
from wgf.problem.equations import Problem
from wgf.reference_solutions import finite_volume, particles
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact, find
from wgf.reference_solutions.finite_volume import GOOD, Reference, Volumes
from wgf.reference_solutions.finite_volume_schemes import Grid
from wgf.reference_solutions.particles import Particles
from wgf.settings.expression import Expression

log = logging.getLogger("wgf")

VERSION = 3  # of the finite volumes: another one makes what is on the disk worthless
OFF = "WGF_NO_CACHE"  # environment variable that turns the cache off
ENDS = ("low", "high", "centre", "stretch")


def closed_form(problem: Problem, wanted: str) -> Exact | None:
    """The exact solution for the setting `reference_solution`, or None.

    Raises:
        ConfigError: it is asked for and not known.
    """
    known = find(problem) if wanted in ("auto", "exact") else None
    if known is None and wanted == "exact":
        raise ConfigError(
            f"reference_solution=exact is impossible: no exact solution of {problem.equation} from this law is known, "
            "say reference_solution=auto"
        )
    return known


def computed(problem: Problem, times: Sequence[float], wanted: str = "auto") -> Computed | None:
    """The numerical reference at increasing times > 0 for the setting `reference_solution`; None when it fails.

    `auto` asks particles where there is no diffusion, and finite volumes for what they cannot do well.
    """
    if wanted not in ("auto", "finite_volume"):
        return None
    particle: Particles | None = None
    try:
        if wanted == "auto" and problem.internal is None:
            particle = _particles(problem, times)
        if particle is not None and particle.error < GOOD:
            return particle
        volumes = _finite_volumes(problem, times)
        return volumes if particle is None or volumes.error < particle.error else particle
    except KeyboardInterrupt:
        why = "interrupted"
    except Exception as error:  # nothing that fails here may cost the run its result
        why = in_one_line(error)
    log.warning("no %sreference solution: %s", "" if particle is None else "better ", why)
    return particle


def _particles(problem: Problem, times: Sequence[float]) -> Particles | None:
    log.info("computing the reference solution by particles")
    try:
        return particles.solve(problem, times)
    except ArithmeticError as error:
        log.info("%s: finite volumes have to do", error)
        return None


def _finite_volumes(problem: Problem, times: Sequence[float]) -> Reference:
    path = _path(problem, times)
    if path is not None and (known := _load(path, problem)) is not None:
        return known
    log.info("computing the reference solution by finite volumes")
    reference = finite_volume.solve(problem, times)
    if path is not None:
        try:
            _save(path, reference)
        except OSError as error:
            log.debug("the reference solution is not kept: %s", error)
    return reference


def describe(value: Any) -> str:
    """An object as a text that is the same for equal settings, whatever their types.

    Raises:
        TypeError: it is of a class from elsewhere, which may mean anything.
    """
    if isinstance(value, bool | int | float | str | None):
        return repr(float(value) if isinstance(value, int | float) else value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"
    if not type(value).__module__.startswith("wgf."):
        raise TypeError(f"{type(value).__name__} is not one of wgf's own")
    settings = {"text": value.text} if isinstance(value, Expression) else vars(value)
    inside = ", ".join(f"{name}={describe(entry)}" for name, entry in sorted(settings.items()))
    return f"{type(value).__module__}.{type(value).__qualname__}({inside})"


def _path(problem: Problem, times: Sequence[float]) -> Path | None:
    """Where this solution is kept; None where nothing is."""
    if os.environ.get(OFF):
        return None
    parts = (VERSION, problem.law, problem.potential, problem.internal, problem.interaction, list(times))
    try:
        key = hashlib.sha256(describe(parts).encode()).hexdigest()[:32]
        home = os.environ.get("XDG_CACHE_HOME")
        return (Path(home) if home else Path.home() / ".cache") / "wgf" / f"{key}.npz"
    except (TypeError, RuntimeError):  # a class from elsewhere, or no home
        return None


def _save(path: Path, reference: Reference) -> None:
    arrays: dict[str, Any] = {name: getattr(reference, name) for name in ("times", "errors", "w2_errors", "share")}
    for name, volumes in (("coarse", reference.coarse), ("fine", reference.fine)):
        arrays[name], arrays[f"{name}_dips"] = volumes.mass, volumes.dips
        arrays[f"{name}_grid"] = [*(getattr(volumes.grid, end) for end in ENDS), float(volumes.smooth)]
    with replacing(path) as file:
        np.savez(file, **arrays)


def _load(path: Path, problem: Problem) -> Reference | None:
    """What `_save` wrote; None for a file that is not there or is damaged."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            levels = []
            for name in ("coarse", "fine"):
                mass, (low, high, centre, stretch, smooth) = file[name], file[f"{name}_grid"].tolist()
                grid = Grid(low, high, centre, stretch, mass.shape[1] - 1)
                levels.append(Volumes(grid, mass, file[f"{name}_dips"], bool(smooth)))
            times, errors, squares, share = file["times"], file["errors"], file["w2_errors"], float(file["share"])
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        log.debug("nothing to be had from %s: %s", path, error)
        return None
    return Reference(times, errors, squares, problem.law, levels[0], levels[1], share)
