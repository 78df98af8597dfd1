"""The table of cases: own and least bound relative to the error, for four problems and three networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from wgf.api import solve
from wgf.flow import Flow
from wgf.integrators.implicit import Rodas4
from wgf.networks.base import TransportMap
from wgf.networks.relu import TwoSidedReLU
from wgf.networks.spline import Spline
from wgf.problem.equations import PDE, FokkerPlanck, KellerSegel, PorousMedium
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Potential, Quartic, Sextic

CASES: dict[str, tuple[PDE, float, Potential | None]] = {
    "Fokker-Planck, quartic": (FokkerPlanck(), 0.2, Quartic(1.0)),
    "Fokker-Planck, sextic": (FokkerPlanck(), 1e-3, Sextic(4.0)),
    "porous medium, g = 2": (PorousMedium(2.0), 1.0, None),
    "Keller-Segel, chi = 0.5": (KellerSegel(0.5), 0.5, None),
}
WIDTHS = 8, 32, 128
LAW = Gaussian()
NETWORKS: dict[str, Callable[[int], TransportMap]] = {
    "the paper's": lambda m: TwoSidedReLU(m, base=LAW),
    "degree 1": lambda m: Spline(m, 1, base=LAW),
    "degree 3": lambda m: Spline(m, 3, base=LAW),
}


def flow(pde: PDE, t_end: float, potential: Potential | None, network: TransportMap, rtol: float) -> Flow:
    """Solve a problem to its end."""
    method = Rodas4(rtol=rtol, atol=1e-2 * rtol, max_steps=2000)
    known = {"potential": potential, "integrator": method, "reference_solution": "none", "saves": 1}
    return solve(pde, t_end=t_end, law=LAW, network=network, **known)  # type: ignore[arg-type]


def table() -> Iterator[tuple[str, bool]]:
    """Lines of the table, and whether all bounds of a line hold.

    Errors are measured against a spline of degree 5, whose own bound is the error of the measurement.
    """
    yield f"| problem | network | {' | '.join(f'm = {m}' for m in WIDTHS)} |", True
    yield "|---" * (2 + len(WIDTHS)) + "|", True
    for name, problem in CASES.items():
        small = isinstance(problem[0], KellerSegel)
        truth = flow(*problem, Spline(65 if small else 193, 5, 7.0, base=LAW), 1e-8 if small else 1e-9)
        doubt = truth.certificate(rich=False).bound or math.inf
        for kind, network in NETWORKS.items():
            cells, good = [], True
            for width in WIDTHS[:2] if small else WIDTHS:
                run = flow(*problem, network(width), 1e-6)
                error, found = run.w2(truth), run.certificate()
                ratios = " / ".join("none" if b is None else f"{b / error:.3g}" for b in (found.own, found.bound))
                cells.append(f"{ratios} ({error:.1e})")
                good &= all(b is None or b >= (error - doubt) * (1 - 1e-6) for b in (found.own, found.bound))
            yield f"| {name} | {kind} | {' | '.join([*cells, ''] if small else cells)} |", good
