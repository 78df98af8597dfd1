"""One-dimensional Wasserstein gradient flows by neural projected schemes.

The public names are loaded when they are first asked for: importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Incomplete": "wgf.api",
    "solve": "wgf.api",
    "Curvature": "wgf.energies.base",
    "Local": "wgf.energies.base",
    "Record": "wgf.energies.base",
    "Term": "wgf.energies.base",
    "Interaction": "wgf.energies.interaction",
    "Pairwise": "wgf.energies.interaction",
    "Entropy": "wgf.energies.internal",
    "Potential": "wgf.energies.potential",
    "ConfigError": "wgf.errors",
    "WgfError": "wgf.errors",
    "Exact": "wgf.exact",
    "Flow": "wgf.flow",
    "Integrator": "wgf.integrators.base",
    "Adaptive": "wgf.integrators.controller",
    "Dopri5": "wgf.integrators.explicit",
    "Euler": "wgf.integrators.explicit",
    "FixedStep": "wgf.integrators.explicit",
    "Heun": "wgf.integrators.explicit",
    "RK4": "wgf.integrators.explicit",
    "GaussNewton": "wgf.integrators.gauss_newton",
    "DiagonallyImplicit": "wgf.integrators.implicit",
    "Rodas4": "wgf.integrators.implicit",
    "SDIRK2": "wgf.integrators.implicit",
    "SDIRK3": "wgf.integrators.implicit",
    "JKO": "wgf.integrators.jko",
    "TransportMap": "wgf.networks.base",
    "MLP": "wgf.networks.mlp",
    "TwoSidedReLU": "wgf.networks.relu",
    "Spline": "wgf.networks.spline",
    "AggregationDiffusion": "wgf.problem",
    "FokkerPlanck": "wgf.problem",
    "KellerSegel": "wgf.problem",
    "LinearTransport": "wgf.problem",
    "PDE": "wgf.problem",
    "PorousMedium": "wgf.problem",
    "Problem": "wgf.problem",
    "Projection": "wgf.projection",
    "Gauss": "wgf.quadrature",
    "MonteCarlo": "wgf.quadrature",
    "Quadrature": "wgf.quadrature",
    "Barenblatt": "wgf.reference",
    "Gaussian": "wgf.reference",
    "Laplace": "wgf.reference",
    "Law": "wgf.reference",
    "Mixture": "wgf.reference",
    "Semicircle": "wgf.reference",
    "Uniform": "wgf.reference",
    "Solution": "wgf.solution",
    "load": "wgf.stored",
    "Auto": "wgf.solvers",
    "Banded": "wgf.solvers",
    "Cholesky": "wgf.solvers",
    "MINRES": "wgf.solvers",
    "QR": "wgf.solvers",
    "Solver": "wgf.solvers",
    "Truncated": "wgf.solvers",
    "Status": "wgf.status",
}
_MODULES = {"interactions": "wgf.energies.interaction", "potentials": "wgf.energies.potential"}  # equal names in them
__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'wgf' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
