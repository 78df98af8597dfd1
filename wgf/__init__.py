"""One-dimensional Wasserstein gradient flows by neural projected schemes.

The public names are loaded when they are first asked for: importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Local": "wgf.energies.base",
    "Record": "wgf.energies.base",
    "Term": "wgf.energies.base",
    "Interaction": "wgf.energies.interaction",
    "Pairwise": "wgf.energies.interaction",
    "Potential": "wgf.energies.potential",
    "ConfigError": "wgf.errors",
    "WgfError": "wgf.errors",
    "Exact": "wgf.exact",
    "Integrator": "wgf.integrators.base",
    "TransportMap": "wgf.networks.base",
    "MLP": "wgf.networks.mlp",
    "TwoSidedReLU": "wgf.networks.relu",
    "Spline": "wgf.networks.spline",
    "PDE": "wgf.problem",
    "Problem": "wgf.problem",
    "Projection": "wgf.projection",
    "Solver": "wgf.solvers",
    "Gauss": "wgf.quadrature",
    "MonteCarlo": "wgf.quadrature",
    "Law": "wgf.reference",
    "Solution": "wgf.solution",
    "Status": "wgf.status",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wgf' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
