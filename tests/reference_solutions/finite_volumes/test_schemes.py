"""The parts of the finite volumes: schemes and their order, Jacobians, extrapolation."""

import math

import numpy as np
import pytest
import torch
from oracles import Oracle, density_oracle, distance
from reference_problems import QUARTIC, problem

from wgf.problem import interaction, kernels
from wgf.problem.equations import (
    AggregationDiffusion,
    FokkerPlanck,
    KellerSegel,
    LinearTransport,
    PorousMedium,
    Problem,
)
from wgf.problem.internal import Entropy
from wgf.problem.laws import Gaussian, Mixture, Uniform
from wgf.problem.potential import Quartic
from wgf.reference_solutions.base import Grid, Starts, extrapolation
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.reference_solutions.finite_volumes.masses import Volumes
from wgf.reference_solutions.finite_volumes.pressure import pressure_of
from wgf.reference_solutions.finite_volumes.refinement import LAST
from wgf.reference_solutions.finite_volumes.schemes import Central, Monotone


@pytest.mark.parametrize(
    ("gains", "nominal", "share"),
    [
        ([4.0], 4.0, 1 / 3),
        ([3.5], 4.0, 0.4),
        ([9.0], 4.0, 0.0),  # two errors that are equal by chance
        ([9.0, 4.0], 4.0, 0.0),
        ([1.2, 3.9], 4.0, 0.0),
        ([2.7], 4.0, 1 / 1.7),
        ([100.0], 256.0, 1 / 99),
        ([300.0], 256.0, 1 / 255),
        ([5.0], 256.0, 0.0),
        ([5.0, 5.5], 256.0, 1 / 4.5),
        ([5.0, 9.0], 256.0, 0.0),
        ([2.0, 2.0], 256.0, 0.0),  # of errors from a kink
        ([0.0], 4.0, 0.0),
    ],
)
def test_extrapolation(gains: list[float], nominal: float, share: float):
    """A gain counts where it is the scheme's own or repeated."""
    found, doubt = extrapolation(gains, nominal, [0.9, 0.9])
    assert extrapolation(gains, nominal, [0.9, -0.5]) == (0.0, 0.0)
    assert found == pytest.approx(share)
    assert (doubt == 0) if not share else doubt < 0.4


def test_what_turned_a_step_ago_is_not_extrapolated():
    """The errors of a root of V and of a kink: true W1 error 1.9e-6, stated 2.8e-7."""
    gains = [2.73, 3.10, 2.72, 2.73]
    assert extrapolation(gains, 256.0, [0.998, -0.87, -0.72, 0.987]) == (0.0, 0.0)
    assert extrapolation(gains, 256.0, [0.998, 0.87, 0.9, 0.987])[0] == pytest.approx(1 / 1.73)


@pytest.mark.parametrize(("kind", "order", "cells"), [(Central, 5.5, (64, 128)), (Monotone, 1.8, (100, 200))])
def test_order(kind: type[Central] | type[Monotone], order: float, cells: tuple[int, int]):
    oracle, errors = density_oracle(QUARTIC, 0.2, -7.0, 7.0, 240), []
    for n in cells:
        run, _ = finite_volume._run(kind, QUARTIC, np.array([0.2]), Grid(-7.0, 6.5, 0.0, 3.0, n))
        one = Oracle(lambda z, run=run: run.map(np.zeros(len(z), int), Starts.of(QUARTIC.law, z, LAST)))
        errors.append(distance(QUARTIC.law, lambda z: oracle(0.2, z), lambda z, one=one: one(0.2, z)))
    assert math.log2(errors[0] / errors[1]) > order


@pytest.mark.parametrize(
    "p",
    [
        problem(FokkerPlanck(), Uniform(), Quartic()),
        problem(PorousMedium(), Uniform(), Quartic()),
        problem(LinearTransport(), Mixture(), Quartic()),
        problem(AggregationDiffusion(0.0), Uniform(), None, interaction.Newtonian(-1.0)),
        problem(KellerSegel(1.5), Gaussian()),
    ],
    ids=["edges", "porous medium", "transport", "repulsion", "keller-segel"],
)
def test_mass_and_positivity(p: Problem):
    """The masses left of the faces rise from 0 to 1, so cells are positive and no mass is lost."""
    times = np.array([0.01, 0.1])
    run, _ = finite_volume._run(Monotone, p, times, Grid(-7.0, 7.0, 0.0, 5.0, 200))
    assert (run.mass[:, 0] == 0).all()
    assert (run.mass[:, -1] == 1).all()
    assert np.diff(run.mass, axis=1).min() >= 0
    assert run.dips.max() < 1e-7  # what Monotone computes is positive already, to the tolerance in time
    found = finite_volume.solve(p, times)
    for k in (0, 1):
        assert (found(times[k], p.law.quantile(torch.linspace(0.01, 0.99, 99, dtype=torch.float64))).diff() > 0).all()
    assert np.diff(found.fine.mass, axis=1).min() >= 0
    assert (found.fine.dips <= found.errors).all()  # the distance to what `Central` computed counts as an error


@pytest.mark.parametrize("kind", [Central, Monotone])
@pytest.mark.parametrize("name", ["none", "log", "newtonian", "morse", "moments"])
def test_bands_of_the_jacobian(kind: type[Central] | type[Monotone], name: str):
    kernel = {
        "none": None,
        "log": interaction.Log(1.3),
        "newtonian": interaction.Newtonian(0.7),
        "morse": kernels.Morse(1.0, 0.8, 2.0, 0.5),
        "moments": interaction.Quadratic(0.6),
    }[name]
    p = problem(AggregationDiffusion(0.5), Gaussian(), Quartic(0.3), kernel)
    grid = Grid(-4.0, 4.0, 0.2, 2.0, 24)
    scheme = kind(p, grid)
    mass = Gaussian(0.1, 1.1).cdf(torch.from_numpy(grid.x(grid.s)[0][1:-1])).numpy()
    h, columns = 1e-6, np.eye(len(mass))
    slow = np.stack([(scheme(0.0, mass + h * e) - scheme(0.0, mass - h * e)) / (2 * h) for e in columns], 1)
    bands = scheme.bands(0.0, mass)
    for k in range(-scheme.reach, scheme.reach + 1):
        inside = bands[scheme.reach + k, max(-k, 0) : len(mass) - max(k, 0)]
        assert inside == pytest.approx(slow.diagonal(-k), rel=1e-4, abs=1e-4)
    if name == "none":
        assert np.abs(np.tril(slow, -scheme.reach - 1)).max() + np.abs(np.triu(slow, scheme.reach + 1)).max() < 1e-9


def test_grid_is_whole():
    run, _ = finite_volume._run(Monotone, QUARTIC, np.array([0.1]), Grid(-6.0, 6.0, 0.0, 1.0, 50))
    assert isinstance(run, Volumes)
    x, dx, _ = run.grid.x(run.grid.s)
    assert x[[0, -1]] == pytest.approx([-6, 6], abs=1e-12)
    assert np.diff(x) == pytest.approx(run.grid.x(run.grid.s[:-1] + 0.5)[1], rel=0.05)
    assert (dx > 0).all()


def test_an_energy_whose_number_changes_has_another_pressure():
    """Also one of a class from outside wgf, whose settings may mean anything."""

    class Own(Entropy):
        pass

    for kind in (Entropy, Own):
        energy = kind(1.0)
        assert pressure_of(energy).linear == 1.0
        energy.diffusion = 2.0
        assert pressure_of(energy).linear == 2.0
