"""`convexity` of potentials and kernels: their second derivative does not fall below it, and comes close."""

import pytest
import torch

from wgf.problem import interaction, kernels
from wgf.problem import potential as potentials


@pytest.mark.parametrize(
    "term",
    [
        potentials.Quadratic(-0.7, 2.0),
        potentials.Quartic(1.0),
        potentials.Sextic(-1.0),
        potentials.Expressed("x**4 - x"),
    ],
)
def test_potentials(term):
    x = torch.linspace(-5, 5, 10001, dtype=torch.float64)
    assert term.convexity == pytest.approx(float(term.second_derivative(x).min()), abs=1e-6)


@pytest.mark.parametrize(
    "term",
    [
        kernels.PowerLaw(4.0, 2.0, 1.5),
        kernels.PowerLaw(5.0, 3.0, 0.5),
        kernels.PowerLaw(3.0, 1.0),
        kernels.PowerLaw(2.0, 1.0, 0.3),
        kernels.Morse(1.0, 2.0, 2.0, 0.5),
        kernels.Morse(2.0, 1.0, 1.0, 3.0),
        kernels.Morse(1.0, 1.0, 1.0, 1.0),
        interaction.Log(-0.4),
    ],
)
def test_kernels(term):
    r = torch.logspace(-7, 2, 100001, dtype=torch.float64)
    assert term.convexity == pytest.approx(float(term.stiffness(r).min()), abs=1e-4 + 1e-4 * abs(term.convexity))


def test_kernels_without_a_bound():
    assert kernels.PowerLaw(3.0, 1.5).convexity is None
    assert interaction.Log(0.4).convexity is None
    assert (interaction.Newtonian(-2.0).convexity, interaction.Quadratic(-2.0).convexity) == (0.0, -2.0)
    assert potentials.Potential.convexity is None
