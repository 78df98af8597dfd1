"""Problems with derivatives, and their flows."""

import torch
from missing_mass import MissingMass

import wgf
from wgf.gradients.tensors import plain
from wgf.integrators.base import State
from wgf.problem import kernels
from wgf.problem.laws import Uniform

FINE = wgf.Rodas4(1e-4, 1e-6)


def tensor(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


class Own(wgf.Potential):
    """A potential of a user, with a vector of coefficients."""

    def __init__(self, a):
        self.a = a

    def value_at(self, x):
        return self.a[0] * x**4 / 4 + self.a[1] * torch.cos(2 * x)


def small(degree=3, width=9):
    return wgf.Spline(width, degree, 3.0, base=wgf.Gaussian())


def expressed(text, **constants):
    return wgf.potentials.Expressed(text, **constants)


# a problem from numbers: the pde, the settings of `solve`
TINY = {"network": wgf.Spline(4, 3, 3.0, base=wgf.Gaussian())}
LADDER = {
    "fokker_planck": (
        [0.8, 1.2, 0.4],
        lambda d, a, b: (wgf.FokkerPlanck(d), {"potential": expressed("a*x**4/4 - b*x**2/2", a=a, b=b)}),
    ),
    "potentials": (
        [0.3, 0.7, -0.2],
        lambda c, k, m: (wgf.LinearTransport(), {"potential": wgf.potentials.Quadratic(k + c, m)}),
    ),
    "quartic": ([0.3], lambda c: (wgf.FokkerPlanck(), {"potential": wgf.potentials.Quartic(c)})),
    "porous": ([2.2, 0.7], lambda g, d: (wgf.PorousMedium(g, d), {"potential": "x**2/2"})),
    "keller_segel": ([0.4, 1.1], lambda chi, d: (wgf.KellerSegel(chi, d), TINY)),
    "logarithm of strength 0": (
        [0.0, 1.1],
        lambda s, d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Log(s)} | TINY),
    ),
    "repulsion, and cells without width": (
        [-0.6, 0.5],
        lambda s, d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Log(s), "potential": "x**2/2"}),
    ),
    "newtonian": (
        [0.6, 0.5],
        lambda s, d: (wgf.AggregationDiffusion(d), {"interaction": wgf.interactions.Newtonian(s)}),
    ),
    "quadratic": ([-0.6], lambda s: (wgf.AggregationDiffusion(0.5), {"interaction": wgf.interactions.Quadratic(s)})),
    "quadratic where mass is missing": (
        [-0.6],
        lambda s: (
            wgf.AggregationDiffusion(0.5),
            {"potential": "x**2/2 + x", "interaction": wgf.interactions.Quadratic(s), "quadrature": MissingMass()},
        ),
    ),
    "morse": (
        [1.0, 0.8, 2.0, 1.1],
        lambda *p: (wgf.AggregationDiffusion(0.5), {"interaction": wgf.interactions.Morse(*p)} | TINY),
    ),
    "power_law": (
        [3.5, 0.7],
        lambda a, s: (wgf.AggregationDiffusion(0.5), {"interaction": wgf.interactions.PowerLaw(a, 1.5, s)} | TINY),
    ),
    "attraction with a kink": (
        [2.0, 0.7],
        lambda a, s: (wgf.AggregationDiffusion(0.5), {"interaction": wgf.interactions.PowerLaw(a, 1.0, s)} | TINY),
    ),
    "a formula of pairs": (
        [0.4, 0.3, 0.8],
        lambda a, b, c: (
            wgf.AggregationDiffusion(0.5),
            {"interaction": kernels.Expressed("a*abs(r) + b*r**2 - c*exp(-r**2/c)", a=a, b=b, c=c)} | TINY,
        ),
    ),
    "a parabola of pairs": (
        [0.4],
        lambda a: (wgf.AggregationDiffusion(0.5), {"interaction": kernels.Expressed("a*r**2", a=a)}),
    ),
    "aggregation in a porous medium": (
        [1.7, 0.6],
        lambda g, s: (wgf.AggregationDiffusion(0.5, g), {"interaction": wgf.interactions.Quadratic(s)}),
    ),
    "vector": ([[1.0, 0.3]], lambda a: (wgf.FokkerPlanck(0.5), {"potential": Own(a)})),
    "law": (
        [0.3, 1.2, 0.8],
        lambda m, s, d: (
            wgf.FokkerPlanck(d),
            {"potential": "x**4/4", "law": wgf.Gaussian(m, s), "network": None, "base": wgf.Gaussian(0.2, 1.1)},
        ),
    ),
    "interval": (
        [0.4, 1.5],
        lambda d, a: (
            wgf.FokkerPlanck(d),
            {
                "potential": expressed("a*x**2", a=a),
                "domain": wgf.Interval(-1.0, 2.0),
                "network": wgf.Spline(6, base=Uniform(-1.0, 2.0)),
            },
        ),
    ),
    "relu": (
        [0.8, 0.5],
        lambda d, a: (
            wgf.FokkerPlanck(d),
            {"potential": expressed("a*x**4", a=a), "network": wgf.TwoSidedReLU(8, base=wgf.Gaussian())},
        ),
    ),
    "functions": (
        [0.5, 1.3, 2.5],
        lambda a, b, p: (
            wgf.FokkerPlanck(),
            {
                "potential": expressed(
                    "x**2/2 + a*cos(b*x) + exp(-a*x**2) + tanh(x)**2 + (1 + x**2)**(p/2)", a=a, b=b, p=p
                )
            },
        ),
    ),
    "many nodes": (
        [0.8, 0.5],
        lambda d, a: (wgf.FokkerPlanck(d), {"potential": expressed("a*x**4", a=a), "network": small(width=140)}),
    ),
    "half line": (
        [0.4, 1.5],
        lambda d, a: (
            wgf.FokkerPlanck(d),
            {
                "potential": expressed("a*x**2", a=a),
                "domain": wgf.HalfLine(0.0),
                "law": wgf.Exponential(),
                "network": None,
            },
        ),
    ),
}


def solved(make, numbers, **settings):
    pde, given = make(*numbers)
    return wgf.solve(pde, **{"t_end": 0.1, "saves": 2, "network": small(), "integrator": FINE} | given | settings)


def repeated(history, numbers, make):
    """Coordinates at the saved times [s, M] for other numbers, by steps of the recorded lengths."""
    pde, given = make(*numbers)
    pde, law, potential, kernel = plain((pde, *(given.get(name) for name in ("law", "potential", "interaction"))))
    old = history.projection
    potential = wgf.potentials.Expressed(potential) if isinstance(potential, str) else potential
    problem = pde.problem(
        law or old.problem.law,
        potential or wgf.potentials.Zero(),
        kernel or wgf.interactions.Zero(),
        0.1,
        old.map.base,
        old.problem.domain,
    )
    projection = wgf.Projection(problem, old.map, old.quadrature, old.solver)
    theta, found = projection.initial, []
    for k in range(len(history.recorded.steps) + 1):
        found += [theta] * history.recorded.counts.count(k)
        if k < len(history.recorded.steps):
            state = State(theta, projection(theta))
            theta = wgf.Rodas4.step(history.method, projection, history.recorded.steps[k], state).state.theta
    return torch.stack([projection.landscape.chart.coordinates(theta) for theta in found])
