"""One-dimensional Wasserstein gradient flows by neural projected schemes.

The public names are loaded when they are first asked for: importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "Doubtful": "wgf.gradients.growth",
    "Incomplete": "wgf.api",
    "solve": "wgf.api",
    "Ensemble": "wgf.ensembles.flows",
    "ensemble": "wgf.ensembles.compute",
    "Curvature": "wgf.problem.energy",
    "Local": "wgf.problem.energy",
    "MapAtNodes": "wgf.problem.energy",
    "Term": "wgf.problem.energy",
    "Interaction": "wgf.problem.interaction",
    "Pairwise": "wgf.problem.interaction",
    "Entropy": "wgf.problem.internal",
    "Potential": "wgf.problem.potential",
    "ConfigError": "wgf.errors",
    "WgfError": "wgf.errors",
    "Exact": "wgf.reference_solutions.exact",
    "Flow": "wgf.flow",
    "Integrator": "wgf.integrators.base",
    "Adaptive": "wgf.integrators.controller",
    "Dopri5": "wgf.integrators.explicit",
    "Alternating": "wgf.integrators.explicit",
    "Euler": "wgf.integrators.explicit",
    "FixedStep": "wgf.integrators.explicit",
    "Heun": "wgf.integrators.explicit",
    "RK4": "wgf.integrators.explicit",
    "GaussNewton": "wgf.integrators.gauss_newton",
    "Limex": "wgf.integrators.limex",
    "MovingKnots": "wgf.projection.solvers",
    "DiagonallyImplicit": "wgf.integrators.implicit",
    "Rodas4": "wgf.integrators.implicit",
    "SDIRK2": "wgf.integrators.implicit",
    "SDIRK3": "wgf.integrators.implicit",
    "JKO": "wgf.integrators.implicit",
    "TransportMap": "wgf.networks.base",
    "MLP": "wgf.networks.mlp",
    "OneSidedReLU": "wgf.networks.one_sided",
    "TwoSidedReLU": "wgf.networks.relu",
    "Spline": "wgf.networks.spline",
    "AggregationDiffusion": "wgf.problem.equations",
    "FokkerPlanck": "wgf.problem.equations",
    "KellerSegel": "wgf.problem.equations",
    "LinearTransport": "wgf.problem.equations",
    "PDE": "wgf.problem.equations",
    "PorousMedium": "wgf.problem.equations",
    "Problem": "wgf.problem.equations",
    "Projection": "wgf.projection.field",
    "Gauss": "wgf.problem.quadrature",
    "MonteCarlo": "wgf.problem.quadrature",
    "Quadrature": "wgf.problem.quadrature",
    "Base": "wgf.problem.base",
    "Barenblatt": "wgf.problem.laws",
    "Beta": "wgf.problem.laws",
    "Density": "wgf.problem.laws",
    "Exponential": "wgf.problem.laws",
    "Formula": "wgf.problem.laws",
    "Gamma": "wgf.problem.laws",
    "Gaussian": "wgf.problem.laws",
    "Histogram": "wgf.problem.laws",
    "Laplace": "wgf.problem.laws",
    "LogNormal": "wgf.problem.laws",
    "Mixture": "wgf.problem.laws",
    "Samples": "wgf.problem.laws",
    "Semicircle": "wgf.problem.laws",
    "Student": "wgf.problem.laws",
    "Table": "wgf.problem.laws",
    "TruncatedNormal": "wgf.problem.laws",
    "Uniform": "wgf.problem.laws",
    "Law": "wgf.problem.base",
    "Circle": "wgf.problem.domain",
    "HalfLine": "wgf.problem.domain",
    "Interval": "wgf.problem.domain",
    "SavedMaps": "wgf.saved_maps",
    "load": "wgf.run.load",
    "Auto": "wgf.projection.solvers",
    "Banded": "wgf.projection.solvers",
    "Cholesky": "wgf.projection.solvers",
    "MINRES": "wgf.projection.solvers",
    "QR": "wgf.projection.solvers",
    "Solver": "wgf.projection.solvers",
    "Truncated": "wgf.projection.solvers",
    "Status": "wgf.integrators.status",
}
_MODULES = {"interactions": "wgf.problem.kernels", "potentials": "wgf.problem.potential"}  # equal names in them
__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'wgf' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
