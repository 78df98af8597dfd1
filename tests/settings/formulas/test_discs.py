"""Discs that contain the values of a formula, and how far its slope is from polynomials."""

import numpy as np
import pytest
import torch
from numpy.polynomial import legendre
from scipy import special

from wgf.settings.formulas.discs import INNER, RADII, Disc, Roughness, _disc
from wgf.settings.formulas.expression import Expression

NAMES = {name: getattr(np, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")} | {
    "atan": np.arctan, "erf": special.erf, "pi": np.pi,
}  # fmt: skip
FORMULAS = (
    "x**3 - 2*x/7", "x**-2", "x**2.5", "abs(x - 9)", "sqrt(x)", "exp(-x**2/2)", "log(x)", "sin(3*x)", "cos(3*x)",
    "tan(x/4)", "sinh(x)", "cosh(x)", "tanh(2*x)", "tanh(x - 3)", "atan(x)", "erf(x)", "1/(1 + x**2)", "2**x", "x**x",
    "-x*exp(x)", "+x", "pi*x", "1/x + 3",
)  # fmt: skip
SMOOTH = (*FORMULAS, "x**2/2 + 1e-3*sin(40*x)", "x**2/2 + 2e-6*exp(-((x - 1.31)/1e-3)**2)", "abs(x - 1)**1.5 + x", "3")


def at_complex(text: str, z: np.ndarray) -> np.ndarray:
    """A formula at complex numbers z [n]; abs continued from the left of 9."""
    return eval(text, {"__builtins__": {}}, NAMES | {"x": z, "abs": lambda u: -u}) + 0 * z


@pytest.mark.parametrize("text", FORMULAS)
def test_discs_contain_the_values_of_a_formula(text):
    rng = np.random.default_rng(0)
    half, middle = rng.uniform(1e-3, 0.2, 40), rng.uniform(0.5, 3, 40)
    radii = np.concatenate([[INNER], RADII])[:, None] * half
    with np.errstate(all="ignore"):
        found = _disc(Expression(text).tree, Disc(np.broadcast_to(middle, radii.shape), radii), {"pi": np.pi})
        for radius, c, r in zip(radii, *found, strict=True):
            angle = rng.uniform(0, 2 * np.pi, (50, 1))
            off = abs(at_complex(text, middle + radius * np.exp(1j * angle)) - c)
            assert not (off > r * (1 + 1e-9) + 1e-13 * abs(c)).any()
    assert np.isfinite(found.r[:2]).all()
    assert (found.r[1] <= 60 * half * (1 + abs(found.c[1]))).all()  # of twice the half width: it is not just large


@pytest.mark.parametrize("order", [8, 12])
@pytest.mark.parametrize("text", SMOOTH)
def test_interpolation_errs_by_at_most_seven_times_the_roughness(text, order):
    """The factor 7 is 1 plus the Lebesgue constant of 12 Gauss nodes."""
    expression, (s, _), fine = Expression(text), legendre.leggauss(order), np.linspace(-1, 1, 101)
    interpolate = legendre.legvander(fine, order - 1) @ np.linalg.inv(legendre.legvander(s, order - 1))
    assert abs(interpolate).sum(1).max() < 6
    for width in (0.7, 0.1, 0.003):
        low = 0.6 + width * np.arange(min(int(2.4 / width), 300))
        middle, half = (low + width / 2)[:, None], width / 2
        at_nodes, right = (_slope(expression, middle + half * places) for places in (s, fine))
        found = Roughness(expression, order)(low, low + width, np.zeros_like(low))
        off = abs(at_nodes @ interpolate.T - right).max(1)
        assert (off <= 7 * found + 1e-11 * abs(right).max(1)).all()
    assert np.median(found) < 1e-9  # it is not just large


def _slope(expression: Expression, x: np.ndarray) -> np.ndarray:
    z = torch.from_numpy(x).requires_grad_()
    return torch.autograd.grad(expression(z).sum(), z)[0].numpy()


def test_only_terms_beyond_polynomials_count():
    order = 8
    text = "x**2/2 - (x**8 + 0.5*(2*x - exp(x)*3)/4) + 7 - 2*cos(x)"
    assert [Expression(text).polynomial(term) for term in Roughness(Expression(text), order).terms] == [None, None]
    assert Roughness(Expression("x**8/8 - x"), order).terms == []
    assert len(Roughness(Expression("x**9/8 - x"), order).terms) == 1


def test_a_ripple_counts_with_its_amplitude_where_that_is_less():
    """sin(1e6 x) is far from polynomials at every width here; a V of it hides a force of 2e-7 at most."""
    low = np.linspace(-3, 3, 50)
    found = Roughness(Expression("x**2/2 + 0.5*(x**4 + 2e-13*sin(1e6*x))"), 8)(low, low + 0.1, np.zeros_like(low))
    np.testing.assert_allclose(found, 2e-7, rtol=1e-9)


def test_a_singular_point_is_rough_until_it_is_outside():
    rough = Roughness(Expression("abs(x - 1)"), 8)
    found = rough(np.array([0.9, 1.0, 1.1]), np.array([1.05, 1.1, 1.2]), np.zeros(3))
    np.testing.assert_allclose(found, [2.0, 0.0, 0.0], atol=1e-7)


def test_the_variable_may_have_any_name():
    low, high = np.array([0.1, 0.5]), np.array([0.2, 0.9])
    x, r = (Expression(f"a*exp(-({v}/0.3)^2) + {v}^2", {"a": 2.0}, v) for v in "xr")
    assert len(Roughness(r, 8).terms) == 1
    for allowed in (np.zeros(2), np.ones(2)):
        assert Roughness(r, 8)(low, high, allowed) == pytest.approx(Roughness(x, 8)(low, high, allowed), rel=1e-14)
