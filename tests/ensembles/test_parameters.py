"""Which numbers may be parameters of an ensemble, and that each acts as the same number of a single flow."""

import numpy as np
import pytest
import torch

import wgf
from wgf.ensembles.parameters import TAKEN
from wgf.problem.internal import Entropy
from wgf.problem.quadrature import LeanGauss

SMALL = wgf.Spline(8, base=wgf.Gaussian())
TIGHT = {"t_end": 0.1, "network": SMALL, "integrator": wgf.Rodas4(1e-7, 1e-9)}
Attracted, Kernel = wgf.AggregationDiffusion, wgf.interactions


class Hidden(wgf.PDE):
    """Linear diffusion whose constant is a function of its number."""

    def __init__(self, rate=1.0, square: "Unloaded" = False):  # noqa: F821
        self.rate, self.square = rate, square

    def internal(self):
        return Entropy(self.rate**2 if self.square else 3 * self.rate)


class Keyword(wgf.Potential):
    """A number that only a keyword gives."""

    def __init__(self, a=1.0, *, b=2.0):
        self.a, self.b = a, b

    def value_at(self, x):
        return self.a * x**2 / 2 + self.b * x


class Width(Keyword):
    """An attribute that is a function of its argument."""

    def __init__(self, a=1.0, b=2.0):
        self.a, self.b = a, 1 / b**2


class Renamed(Keyword):
    """An argument whose attribute has another name, and one that may be infinite."""

    def __init__(self, a=1.0, shift=2.0, cut=np.inf):
        self.a, self.b, self.cut = a, shift, float(cut)


class Bare(Keyword):
    """Numbers that are no arguments."""

    def __init__(self, *c):
        self.a, self.b = c or (1.0, 2.0)


class Function(Keyword):
    """A number of the energy that is no multiple of the argument."""

    def __init__(self, a=1.0, b=2.0, how=lambda a: a):
        self.a, self.b, self.how = a, b, how
        self.far = how(a)


def jump(a):
    return 1.0 if a > 0.6 else -1.0


class Needy(Keyword):
    """An argument that nobody can read."""

    def __init__(self, a, shift):
        self.a, self.b = a, shift


class Slope(wgf.Potential):
    """A function that the constructor makes."""

    def __init__(self, a=1.0, power=2.0, bound=False):
        self.a, self.power, self.bound = a, power, bound
        self.shape = (lambda x: a * x**power) if bound else (lambda x: x**power)

    def value_at(self, x):
        return self.shape(x) if self.bound else self.a * self.shape(x)


class Formula(wgf.potentials.Expressed):
    """A constant that is a function of the argument."""

    def __init__(self, a=1.0):
        super().__init__("a*x**2", a=abs(a))


def set_later(a):
    v = Keyword(a)
    v.b = 5.0
    return v


CASES = {
    "attraction of Morse": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.Morse(p["attraction"], 1.0, 2.0, p["repulsion_length"])}),
        {"attraction": [1.0, 2.0], "repulsion_length": [0.5, 0.8]},
    ),
    "Newtonian strength": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.Newtonian(p["strength"])}), {"strength": [1.0, -0.5]},
    ),
    "strength with a kink": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.PowerLaw(3.0, 1.0, p["strength"])}), {"strength": [1.0, 2.0]},
    ),
    "power of attraction": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.PowerLaw(p["attraction"])}), {"attraction": [3.0, 4.5]},
    ),
    "constant of a kernel": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.Expressed("a*abs(r) - exp(-(r/b)**2)", **p)}),
        {"a": [0.2, -0.1], "b": [1.0, 0.6]},
    ),
    "no diffusion": (
        lambda p: (Attracted(p["diffusion"]), {"potential": "x**2/2"}), {"diffusion": [0.0, 0.5]},
    ),
    "no attraction": (lambda p: (wgf.KellerSegel(p["chi"]), {}), {"chi": [0.0, 0.5]}),
    "numbers of a potential": (
        lambda p: (wgf.FokkerPlanck(), {"potential": wgf.potentials.Quadratic(**p)}),
        {"stiffness": [1.0, 0.5], "center": [0.0, 1.0]},
    ),
    "beside a function": (lambda p: (wgf.FokkerPlanck(), {"potential": Slope(**p, power=4.0)}), {"a": [0.5, 1.0]}),
    "a formula of my own": (lambda p: (wgf.FokkerPlanck(), {"potential": Formula(**p)}), {"a": [0.5, 1.0]}),
    "a keyword": (lambda p: (wgf.FokkerPlanck(), {"potential": Keyword(p["a"], b=5.0)}), {"a": [1.0, 2.0]}),
    "a varied keyword": (lambda p: (wgf.FokkerPlanck(), {"potential": Keyword(**p)}), {"b": [1.0, 2.0]}),
    "an attribute set later": (lambda p: (wgf.FokkerPlanck(), {"potential": set_later(**p)}), {"a": [1.0, 2.0]}),
    "beside a width": (lambda p: (wgf.FokkerPlanck(), {"potential": Width(p["a"], 0.5)}), {"a": [1.0, 2.0]}),
    "beside another name": (lambda p: (wgf.FokkerPlanck(), {"potential": Renamed(p["a"], 0.5)}), {"a": [1.0, 2.0]}),
    "no argument": (
        lambda p: (wgf.FokkerPlanck(), {"potential": Bare(p["a"], p["b"])}), {"a": [1.0, 2.0], "b": [3.0, 0.5]},
    ),
    "a small kink": (
        lambda p: (Attracted(0.5), {"interaction": Kernel.Expressed("a*abs(r) - exp(-r**2)", **p)}),
        {"a": [0.5, 0.001]},
    ),
    "a switched grid": (
        lambda p: (Attracted(p["diffusion"]), {"potential": wgf.potentials.Quadratic(p["stiffness"])}),
        {"diffusion": [0.0, 0.5, 0.0, 0.5], "stiffness": [1.0, 1.0, 2.0, 2.0]},
    ),
    "a number of an equation of my own": (lambda p: (Hidden(**p), {}), {"rate": [0.2, 0.5]}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_parameter_acts_as_the_number_of_a_single_flow(case):
    family, parameters = CASES[case]
    rows = [dict(zip(parameters, row, strict=True)) for row in zip(*parameters.values(), strict=True)]
    pde, parts = family(rows[-1])
    flows = wgf.ensemble(pde, parameters, nodes=14, **parts, **TIGHT)
    for k, row in enumerate(rows):
        pde, parts = family(row)
        single = wgf.solve(pde, saves=1, quadrature=LeanGauss(14), **parts, **TIGHT)
        np.testing.assert_allclose(flows.map(None, [-1.0, 2.0])[k], single.map(0.1, [-1.0, 2.0]), atol=1e-8)


@pytest.mark.parametrize(
    ("pde", "parameters", "settings", "message"),
    [
        (wgf.FokkerPlanck(), {"diffusion": []}, {}, "all of one length > 0"),
        (wgf.FokkerPlanck(), {1: [2.0]}, {}, "arrays of numbers by name"),
        (wgf.FokkerPlanck(), {"mean": [1.0]}, {"potential": "mean*x**2"}, "mean is a column of the table"),
        (wgf.FokkerPlanck(), {"a": [0.0, 2.0]}, {"potential": "a*abs(x - 0.37)"}, "cannot hold the kinks of V"),
        (wgf.FokkerPlanck(), {"a": [1.0, 2.0]}, {"potential": "a*max(x-.123, 0)"}, "cannot hold the kinks of V"),
        (wgf.FokkerPlanck(), {"a": [1.0, -1.0]}, {"potential": "abs(x**2 + a)"}, "kinks of V = abs.* with a = -1"),
        (Attracted(0.5), {"convexity": [1.0]}, {"interaction": Kernel.Morse()}, "expected names among attraction, "),
        (Attracted(0.5), {"kink": [1.0]}, {"interaction": Kernel.Newtonian()}, "among diffusion, exponent, law"),
        (Attracted(0.5), {"sum_rtol": [0.1]}, {"interaction": Kernel.Log()}, "expected names among"),
        (Attracted(0.5), {"strength": [1.0, -1.0]}, {"interaction": Kernel.PowerLaw()}, "strength=-1.0 is not allowed"),
        (Attracted(0.5), {"attraction": [3.0, 1.5]}, {"interaction": Kernel.PowerLaw()}, "expected a number above"),
        (Attracted(0.5), {"repulsion": [1.0, 1.5]}, {"interaction": Kernel.PowerLaw()}, "hold a branch .* repulsion"),
        (Attracted(0.5), {"strength": [1.0, 2.0]}, {"interaction": Kernel.Quadratic()}, "hold the strength of a quadr"),
        (
            Attracted(0.5), {"a": [1.0, 2.0]}, {"interaction": Kernel.Expressed("a**2*abs(r)", a=1)},
            "hold a, on which kink of Expressed depends",
        ),
        (Attracted(), {"exponent": [1.0, 2.0]}, {}, "exponent=1 beside exponent=2: their energies differ"),
        (Attracted(), {"exponent": [2.0, 1.0]}, {}, "exponent=1 beside exponent=2: their energies differ"),
        (Attracted(), {"exponent": [1.0, 1.0001]}, {}, r"exponent=1 beside exponent=1\.0001: their energies differ"),
        (Attracted(), {"exponent": torch.ones(2, requires_grad=True)}, {}, "in exponent at exponent=1: the ener"),
        (Hidden(), {"square": [1.0]}, {}, "expected names among law.mean, law.std, rate, scale, shift"),
        (wgf.FokkerPlanck(), {"b": [1.0, 2.0]}, {"potential": Width(1.0, 0.5)}, "Width with b .* the same b again"),
        (wgf.FokkerPlanck(), {"a": [1.0, 2.0]}, {"potential": Needy(1.0, 2.0)}, "Needy.a. is impossible: .*'shift'"),
        (wgf.FokkerPlanck(), {"a": [-1.0, 0.5, 1.0]}, {"potential": Function(how=abs)}, "a, on which far of Function"),
        (wgf.FokkerPlanck(), {"a": [0.5, 1.0]}, {"potential": Slope(bound=True)}, "a, on which shape of Slope depends"),
        (wgf.FokkerPlanck(), {"a": [-1.0, 0.5]}, {"potential": Formula()}, "a, on which expression of Formula depends"),
        (
            wgf.FokkerPlanck(), {"a": [0.2, 0.5, 0.7]}, {"potential": Function(how=jump)},
            "a, on which far of Function depends",
        ),
        (
            Attracted(0.5), {"a": [1.0, 0.7, -0.5]}, {"interaction": Kernel.Expressed("abs(a)*abs(r)", a=1)},
            "hold a, on which kink of Expressed depends",
        ),
        (Hidden(square=True), {"rate": [0.5, 1.0]}, {}, "hold rate, on which diffusion of Entropy depends"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_parameter_is_refused_in_one_line(pde, parameters, settings, message):
    with pytest.raises(wgf.ConfigError, match=message) as refused:
        wgf.ensemble(pde, parameters, **settings, **TIGHT)
    assert "\n" not in str(refused.value)


def test_no_parameter_has_the_name_of_a_column():
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [0.5]}, **TIGHT)
    assert flows.table().keys() == TAKEN | {"diffusion"}


def test_a_module_of_torch_is_a_potential():
    module = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()
    module.requires_grad_(False)
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, potential=module, nodes=14, **TIGHT)
    single = wgf.solve(wgf.FokkerPlanck(), potential=module, saves=1, quadrature=LeanGauss(14), **TIGHT)
    np.testing.assert_allclose(flows.map(None, [-1.0, 2.0])[1], single.map(0.1, [-1.0, 2.0]), atol=1e-8)


def test_a_flow_that_cannot_start_has_its_status():
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"b": [20.0, -4.0]}, potential="sqrt(x + b)", **TIGHT)
    assert list(flows.status) == ["completed", "not_finite"]
    assert flows.reached[1] == 0.0
