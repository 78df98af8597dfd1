"""Alternating updates of weights and biases against a loop in NumPy that follows the paper's formulas."""

import numpy as np
import pytest
import torch

import wgf
from wgf.errors import ConfigError
from wgf.integrators.base import Integrator
from wgf.integrators.explicit import Alternating, Dopri5
from wgf.integrators.gauss_newton import GaussNewton
from wgf.networks.relu import TwoSidedReLU
from wgf.problem.laws import Gaussian
from wgf.projection.solvers import Auto, Solver, Truncated

M, DT, STEPS = 4, 2e-3, 10
RCOND = 1e-6


def features(theta: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """f [n] and its derivatives with respect to the weights and the biases [n, 2m], by the formula of the paper."""
    w, wt, b, bt = theta.reshape(4, M)
    right, left = z[:, None] - b, bt - z[:, None]
    weights = np.hstack([np.maximum(right, 0), np.maximum(left, 0)]) / M
    biases = np.hstack([-w * (right > 0), wt * (left > 0)]) / M
    return weights @ np.concatenate([w, wt]), weights, biases


def in_turn(theta: np.ndarray, z: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Alternating Euler steps of DT/2 of linear transport in (x - 1)^4/4 - (x - 1)^2/2."""
    theta = theta.copy()
    for step in range(2 * STEPS):
        f, *parts = features(theta, z)
        part, chosen = step % 2, parts[step % 2]
        metric, slope = chosen.T @ (p[:, None] * chosen), chosen.T @ (p * ((f - 1) ** 3 - (f - 1)))
        velocity = -np.linalg.pinv(metric, rcond=RCOND, hermitian=True) @ slope
        theta[2 * M * part : 2 * M * (part + 1)] += 0.5 * DT * velocity
    return theta


def flow(integrator: Integrator, t_end: float = DT * STEPS, solver: Solver | None = None, **options) -> wgf.Flow:
    law = Gaussian()
    network = TwoSidedReLU(M, 4.0, "alternating", base=law)
    return wgf.solve(
        wgf.LinearTransport(),
        potential=wgf.potentials.Quartic(1.0),
        law=law,
        network=network,
        integrator=integrator,
        solver=solver or Truncated(RCOND),
        t_end=t_end,
        reference_solution="none",
        **options,
    )


def test_steps_are_those_of_the_paper_s_loop():
    edges = np.linspace(-8.0, 8.0, 100_001)
    z, h = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    start = TwoSidedReLU(M, 4.0, "alternating", base=Gaussian()).theta.detach().numpy()
    expected = in_turn(start, z, h * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
    found = flow(Alternating(dt=DT), saves=1).saved.theta[-1].numpy()
    assert np.abs(expected - start).max() > 0.01
    inside = np.abs(z) < 4
    here, there = (features(theta, z)[0][inside] for theta in (found, expected))
    assert np.abs(here - there).max() < 1e-3 * np.abs(there - z[inside]).max()


def test_short_steps_follow_the_mean_of_both_projections():
    """Order 1 towards a tight run of dopri5 on theta' = (v_w, v_b)/2."""
    solver = Auto(1e-4)
    limit = flow(Dopri5(rtol=1e-8, atol=1e-10), 0.02, solver, saves=1)
    errors = [flow(Alternating(dt=dt), 0.02, solver, saves=1).w2(limit) for dt in (1e-3, 5e-4)]
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.1)


def test_other_networks_and_methods_are_refused():
    with pytest.raises(ConfigError, match=r"network\.train=alternating"):
        wgf.solve(wgf.FokkerPlanck(), t_end=0.1, integrator=Alternating())
    with pytest.raises(ConfigError, match="in turn"):
        flow(GaussNewton())


def test_part_of_a_tangent_space_multiplies_like_its_matrix():
    law = Gaussian()
    projection, _ = (found := flow(Alternating(dt=DT), saves=1)).projection, law
    tangent = projection.tangent(found.saved.theta[-1], slice(0, 2 * M))
    v = torch.linspace(-1, 1, 2 * M, dtype=torch.float64)
    assert torch.allclose(tangent.apply(v), tangent.metric @ v, atol=1e-14)
