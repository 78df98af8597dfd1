"""First maps of the flows of an ensemble: they carry the common base to the initial law of each flow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np

from wgf.ensembles.parameters import LAW, SCALE, SHIFT, Columns
from wgf.networks.base import TransportMap
from wgf.problem.base import Base, Law, Start
from wgf.problem.domain import Line
from wgf.problem.laws import Exponential, Gaussian, Laplace, Uniform
from wgf.projection.chart import Chart
from wgf.projection.field import Projection
from wgf.projection.start import TOLERANCE, fit, placed

log = logging.getLogger("wgf")

LawOf = Callable[[Mapping[str, float]], Law]  # the law with some numbers, without shift and scale
AFFINE = Gaussian, Uniform, Laplace, Exponential  # laws of these classes are shifted and scaled copies of each other


def resolved(network: TransportMap, base: Base, law_of: LawOf, columns: Columns) -> TransportMap:
    """A network on breakpoints that resolve the first maps of the flows with the smallest and the largest numbers."""
    own = {name: column for name, column in columns.items() if name.startswith(LAW) and column.min() < column.max()}
    for k in dict.fromkeys(k for column in own.values() for k in (int(column.argmin()), int(column.argmax()))):
        law = law_of({name: float(column[k]) for name, column in columns.items()})
        if not isinstance(law, AFFINE):
            network = placed(network, Start(law, base), Line())
    return network


def starts(projection: Projection, chart: Chart, law_of: LawOf, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """First coordinates of each flow [n, M], and standard deviations of the initial laws [n] (length).

    Args:
        projection: the flow of one of the laws.
        chart: the coordinates.
        law_of: makes the laws.
        columns: the parameters [n] by name.
    """
    own = {name: column for name, column in columns.items() if name.startswith(LAW)}
    n = len(next(iter(columns.values())))
    table = np.stack(list(own.values()), axis=1) if own else np.zeros((n, 0))
    rows, flow = np.unique(table, axis=0, return_inverse=True)
    laws = [law_of(dict(zip(own, map(float, row), strict=True))) for row in rows]
    found, std = [_start(projection, chart, law) for law in laws], np.array([law.std for law in laws])
    missed = np.array([distance for _, distance in found]) / std
    if (missed > TOLERANCE).any():
        log.warning(
            "the first maps of %d flows miss their laws, by up to %.1g standard deviations: a wider network has better "
            "ones",
            (missed > TOLERANCE)[flow].sum(),
            missed.max(),
        )
    c, flow = np.stack([line for line, _ in found]), flow.reshape(-1)  # numpy 2.0 returns a column
    scale, shift = columns.get(SCALE, np.ones(n)), columns.get(SHIFT, np.zeros(n))
    return scale[:, None] * c[flow] + shift[:, None] * chart.constant().numpy(), std[flow] * scale


def _start(projection: Projection, chart: Chart, law: Law) -> tuple[np.ndarray, float]:
    """Coordinates [M] of the first map to a law, and its W2 distance to the law; 0 for a copy of the projection's law,
    whose map is as good as that of the projection."""
    problem = projection.problem
    if law is problem.law or (type(law) is type(problem.law) and isinstance(law, AFFINE)):
        share, known = law.std / problem.law.std, chart.coordinates(projection.initial)
        return (share * known + (law.mean - share * problem.law.mean) * chart.constant()).numpy(), 0.0
    found = fit(chart.space, Start(law, problem.base), problem.domain)
    return found.c.numpy(), found.distance
