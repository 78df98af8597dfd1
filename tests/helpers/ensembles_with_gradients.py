"""Ensembles with derivatives."""

import torch
from gradient_problems import FINE, tensor

import wgf

NETWORK = wgf.Spline(9, 3, 3.0, base=wgf.Gaussian())
LAPLACE = wgf.Laplace(0.3, 0.4)  # few nodes miss some of its mass at its kink
ROUGH = {"potential": "x**2/2 + x", "law": LAPLACE, "network": wgf.Spline(5, 2, 3.5, base=LAPLACE)}
DOUBLE_WELL = "a*x**4/4 - b*x**2/2"
FUNCTIONS = "a*tanh(x)**2 + b*sqrt(1 + x**2) + exp(-a*x**2) + erf(x)*x/(2 + sin(b*x)) + atan(x) + abs(x)**(2 + a)"


class Tabulated(wgf.Potential):
    """A potential that no tape can hold."""

    def value_at(self, x):
        return torch.logaddexp(x, -x) + 0.1 * x**2


# the equation, parameters, settings of the ensemble; the equation and the settings of a single flow from its numbers
CASES = {
    "quartic": (
        wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0, 1.5], "a": [0.7, 1.0, 1.3], "b": [1.0, -0.5, 0.2]},
        {"potential": DOUBLE_WELL},
        lambda d, a, b: (wgf.FokkerPlanck(d), {"potential": wgf.potentials.Expressed(DOUBLE_WELL, a=a, b=b)}),
    ),
    "numbers that all flows share": (
        wgf.FokkerPlanck(), {"diffusion": [0.5, 0.5], "a": [1.0, 1.0], "b": [0.0, 0.0]}, {"potential": DOUBLE_WELL},
        lambda d, a, b: (wgf.FokkerPlanck(d), {"potential": wgf.potentials.Expressed(DOUBLE_WELL, a=a, b=b)}),
    ),
    "no attraction": (wgf.KellerSegel(), {"chi": [0.0]}, {}, lambda c: (wgf.KellerSegel(c), {})),
    "functions": (
        wgf.FokkerPlanck(), {"a": [0.5, 1.2], "b": [0.3, 0.9]}, {"potential": FUNCTIONS},
        lambda a, b: (wgf.FokkerPlanck(), {"potential": wgf.potentials.Expressed(FUNCTIONS, a=a, b=b)}),
    ),
    "porous medium": (
        wgf.PorousMedium(), {"exponent": [1.4, 2.0, 2.7], "diffusion": [0.6, 1.0, 0.8]}, {"potential": "x**2/2"},
        lambda m, d: (wgf.PorousMedium(m, d), {"potential": "x**2/2"}),
    ),
    "keller segel": (
        wgf.KellerSegel(), {"chi": [0.2, 0.9], "diffusion": [1.0, 1.2]}, {}, lambda c, d: (wgf.KellerSegel(c, d), {}),
    ),
    "attraction": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]}, {"interaction": wgf.interactions.Quadratic(2.0)},
        lambda d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Quadratic(2.0)}),
    ),
    "attraction where mass is missing": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]}, {"interaction": wgf.interactions.Quadratic(2.0)} | ROUGH,
        lambda d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Quadratic(2.0)} | ROUGH),
    ),
    "morse": (
        wgf.AggregationDiffusion(), {"diffusion": [0.5, 3.0]}, {"interaction": wgf.interactions.Morse()},
        lambda d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Morse()}),
    ),
    "power law": (
        wgf.AggregationDiffusion(), {"strength": [0.5, 0.9], "diffusion": [0.5, 1.0]},
        {"interaction": wgf.interactions.PowerLaw(4.0, 1.5)},
        lambda s, d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.PowerLaw(4.0, 1.5, s)}),
    ),
    "table": (
        wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, {"potential": Tabulated()},
        lambda d: (wgf.FokkerPlanck(d), {"potential": Tabulated()}),
    ),
}  # fmt: skip


def computed(case, **settings):
    """Tensors of an ensemble, and the ensemble."""
    pde, parameters, given, _ = CASES[case]
    tensors = {name: tensor(values) for name, values in parameters.items()}
    given = {"t_end": 0.1, "saves": 2, "network": NETWORK, "integrator": FINE} | given | settings
    return tensors, wgf.ensemble(pde, tensors, threads=1, **given)


def functional(coordinates):
    """A scalar of the coordinates at all saved times of each flow [..., s, M]."""
    s, m = coordinates.shape[-2:]
    weights = torch.linspace(-1, 1.3, s * m, dtype=torch.float64).cos().reshape(s, m)
    return (weights * coordinates).sum((-2, -1))
