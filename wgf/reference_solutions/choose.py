"""Choice of the reference solution: a closed form, else particles or finite volumes, whose results are cached."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from wgf.errors import ConfigError, in_one_line
from wgf.problem.equations import Problem
from wgf.process import threads_of_torch
from wgf.reference_solutions import cache, particles
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.characteristics import Characteristics
from wgf.reference_solutions.exact import Exact, FromBase, find
from wgf.reference_solutions.finite_volumes import circle, refinement
from wgf.reference_solutions.finite_volumes.circle import Around
from wgf.reference_solutions.finite_volumes.refinement import GOOD, Reference
from wgf.reference_solutions.particles import Particles
from wgf.reference_solutions.series import heat_series

log = logging.getLogger("wgf")


def closed_form(problem: Problem, wanted: str) -> Exact | None:
    """The exact solution for the setting `reference_solution`, or None.

    Raises:
        ConfigError: the setting asks for an exact solution and none is known.
    """
    known = find(problem) or heat_series(problem) if wanted in ("auto", "exact") else None
    if known is None and wanted == "exact":
        raise ConfigError(
            f"reference_solution=exact is impossible: no exact solution of {problem.equation} from this law is known, "
            "say reference_solution=auto"
        )
    return known


def exact_until(t: float, problem: Problem, wanted: str) -> Exact | None:
    """`closed_form`, or None where its particles cannot be followed up to a time: they may need too many steps."""
    known = closed_form(problem, wanted)
    particle = known.known if isinstance(known, FromBase) else known
    if not isinstance(particle, Characteristics) or particle.reaches(t):
        return known
    log.info("particles cannot be followed one by one up to t = %g", t)
    return None


@threads_of_torch(1)
def computed(problem: Problem, times: Sequence[float], wanted: str = "auto") -> Computed | None:
    """The numerical reference solution at increasing times > 0 for the setting `reference_solution`; None on failure.

    `auto` uses particles where there is no diffusion, and finite volumes elsewhere or where particles are inaccurate.
    """
    if wanted not in ("auto", "finite_volume"):
        return None
    particle: Particles | None = None
    try:
        if wanted == "auto" and problem.internal is None and problem.domain.is_line:
            particle = _particles(problem, times)
        if particle is not None and particle.error < GOOD * problem.law.std:
            return particle
        volumes = replace(_finite_volumes(problem, times), start=problem.start)
        return volumes if particle is None or volumes.error < particle.error else particle
    except KeyboardInterrupt:
        why = "interrupted"
    except Exception as error:  # a run without a reference solution still has a result
        why = in_one_line(error)
    log.warning("no %sreference solution: %s", "" if particle is None else "better ", why)
    return particle


def _particles(problem: Problem, times: Sequence[float]) -> Particles | None:
    log.info("computing the reference solution by particles")
    try:
        return replace(particles.solve(problem, times), start=problem.start)
    except ArithmeticError as error:
        log.info("%s: wgf uses finite volumes", error)
        return None


def _finite_volumes(problem: Problem, times: Sequence[float]) -> Reference | Around:
    if problem.domain.period is not None:
        log.info("computing the reference solution by finite volumes")
        return circle.solve(problem, times)
    path = cache.path_of(problem, times)
    if path is not None and (known := cache.load(path, problem)) is not None:
        return known
    log.info("computing the reference solution by finite volumes")
    reference = refinement.solve(problem, times)
    if path is not None:
        try:
            cache.save(path, reference)
        except OSError as error:
            log.debug("the reference solution is not cached: %s", error)
    return reference
