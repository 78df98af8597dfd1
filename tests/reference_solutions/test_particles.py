"""The particles against closed forms and finite volumes: what they state must be true."""

import math

import numpy as np
import pytest
import torch
from reference_problems import AFFINE, problem
from scipy.special import dawsn

from wgf.problem import interaction, kernels
from wgf.problem.base import Base
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, LinearTransport, Problem
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Mixture, Samples, Semicircle, Uniform
from wgf.problem.potential import Expressed, Quartic
from wgf.problem.potential import Quadratic as Well
from wgf.reference_solutions import cache as cache_files
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions import exact, particles
from wgf.reference_solutions.base import Unresolved, yardstick
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.reference_solutions.particles import Track

LAWS = [Gaussian(0.3, 1.2), Mixture(), Uniform(-1.0, 2.0), Laplace(0.4, 0.8), Semicircle(), Barenblatt(1.5)]


class Bump(interaction.Pairwise):
    """A kernel of one's own: W = -exp(-r^2)."""

    def kernel(self, r: torch.Tensor) -> torch.Tensor:
        return -torch.exp(-r * r)

    def force(self, r: torch.Tensor) -> torch.Tensor:
        return 2 * r * torch.exp(-r * r)


def distance(law: Base, one, two, t: float) -> float:
    z, w = (torch.from_numpy(values) for values in yardstick(law))
    return float(w @ (one(t, z) - two(t, z)).abs())


CLOSED = {name: AFFINE[name] for name in ("attraction", "repulsion in a well")} | {
    f"transport of {type(law).__name__}": problem(LinearTransport(), law, Quartic(0.5)) for law in LAWS
}
CLOSED |= {
    f"sheets of {type(law).__name__}": problem(AggregationDiffusion(0.0), law, Well(0.4), interaction.Newtonian(0.5))
    for law in LAWS
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str):
    p, times = CLOSED[name], [0.2, 0.4]
    known, found = exact.find(p), particles.solve(p, times)
    z, w = (torch.from_numpy(values) for values in yardstick(p.law))
    for t, *stated in zip(times, found.errors, found.w2_errors, strict=True):
        gap = known(t, z) - found(t, z)
        assert float(w @ gap.abs()) < stated[0] < 5e-6
        assert float(w @ gap**2) ** 0.5 < stated[1] < 2e-5
    assert found.name == "particles"


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.Morse(),
        interaction.Newtonian(),
        kernels.PowerLaw(3.0, 2.0),
        kernels.PowerLaw(2.0, 1.0),
        interaction.Log(-0.5),
        interaction.Quadratic(),
        Bump(),
    ],
    ids=lambda kernel: type(kernel).__name__,
)
def test_finite_volumes_agree(kernel: interaction.Interaction):
    p = problem(AggregationDiffusion(0.0), Gaussian(), Expressed("x**2/2 + cos(2*x)/4"), kernel)
    volumes, found = finite_volume.solve(p, [0.15]), particles.solve(p, [0.15])
    assert found.error < 2e-8
    assert distance(p.law, volumes, found, 0.15) < volumes.error + found.error < 1e-6


@pytest.mark.parametrize(("length", "shift"), [(2.0**-9, 0.0), (1.0, 8.0)])
def test_the_unit_of_length_and_the_place_change_nothing(length: float, shift: float):
    def solved(length: float, shift: float) -> particles.Particles:
        law, kernel = Gaussian(length * (0.3 + shift), length), interaction.Log(-0.5 * length**2)
        v = Expressed(f"{length**2!r}*cos(x/{length!r} - {shift!r})")
        return particles.solve(problem(AggregationDiffusion(0.0), law, v, kernel), [0.3])

    one, two = solved(1.0, 0.0), solved(length, shift)
    assert len(two.x[0]) == len(one.x[0])
    assert two.x == pytest.approx(length * (one.x + shift), abs=1e-12 * length)
    assert two.errors == pytest.approx(length * one.errors, abs=1e-12 * length)


def test_principal_values():
    """The first velocities of a Gaussian under W = s log|x|: its Hilbert transform is Dawson's function."""
    law, strength, h = Gaussian(0.3, 0.8), 1.3, 1e-6
    track = particles._track(problem(LinearTransport(), law), 192)
    p = problem(AggregationDiffusion(0.0), law, None, interaction.Log(strength))
    z, moved = track.z(track.s)[0], particles._positions(p, track, np.array([h]))[0]
    expected = -strength * math.sqrt(2) / law.std * dawsn((z - law.mean) / law.std / math.sqrt(2))
    assert (moved - z) / h == pytest.approx(expected, abs=1e-5)


def test_particles_that_meet_are_no_solution():
    p = problem(AggregationDiffusion(0.0), Gaussian(), Quartic(), interaction.Newtonian(4.0))
    with pytest.raises(Unresolved):
        particles.solve(p, [3.0])


def test_diffusion_is_for_others():
    with pytest.raises(Unresolved, match="no diffusion"):
        particles.solve(problem(FokkerPlanck(), Gaussian()), [0.1])


def test_center_of_mass_moves_with_the_potential_only():
    p = problem(
        AggregationDiffusion(0.0), Mixture((-1.0, 2.0), (0.6, 0.9), (0.3, 0.7)), Well(0.8, 0.5), kernels.Morse()
    )
    found = particles.solve(p, [0.7])
    z, w = (torch.from_numpy(values) for values in yardstick(p.law))
    assert float(w @ found(0.7, z)) == pytest.approx(0.5 + (p.law.mean - 0.5) * math.exp(-0.56), abs=1e-7)


def test_times_tails_and_dtype():
    found = particles.solve(problem(LinearTransport(), Gaussian(), Quartic(1.0)), [0.1, 0.2])
    z = torch.linspace(-9, 9, 400, dtype=torch.float64)
    assert found(0.0, z).equal(z)
    assert found(0.15, z).isnan().all()
    assert (found(0.2, z).diff() > 0).all()
    assert found(0.2, z.float()).dtype == torch.float32


@pytest.mark.parametrize("flat", [1, 5])
def test_track(flat: int):
    track = Track(np.array([-1.0, 0.5, 3.0]), 20, flat, (0, 2))
    z, slope = track.z(track.s)
    assert track.parameter(z) == pytest.approx(track.s, abs=1e-9)
    assert slope.sum() / 20 == pytest.approx(4.0, abs=1e-5)
    h = 1e-6
    assert slope == pytest.approx((track.z(track.s + h)[0] - track.z(track.s - h)[0]) / (2 * h), abs=1e-6)


# what a run is compared with


@pytest.fixture
def aggregation() -> Problem:
    return problem(AggregationDiffusion(0.0), Gaussian(), None, kernels.PowerLaw(3.0, 2.0))


SMOOTHED = Samples([-2.2, -0.9, -0.8, -0.4, -0.1, 0.3, 0.7, 1.1, 1.3, 2.9], smoothing=0.26)


def test_the_error_is_stated_for_laws_of_many_panels():
    """A density of smoothed samples is linear between hundreds of points. Particles that cross the kink at 1.2 go on as
    in another parabola."""
    assert len(SMOOTHED.panels()) > particles.LEVELS[0]
    counts = [len(particles._track(problem(LinearTransport(), SMOOTHED), count).s) for count in particles.LEVELS]
    assert counts == [counts[0] * 2**k for k in range(4)]
    t, v = 0.01, Expressed("x**2 - 0.3*abs(x - 1.2)")
    found = particles.solve(LinearTransport().problem(SMOOTHED, v, interaction.Zero(), t), [t])
    x = SMOOTHED.quantile(torch.linspace(0.001, 0.999, 999, dtype=torch.float64))
    crossed = 0.5 * ((x - 0.15).clamp(min=1.05) / 1.05).log()  # when it is at 1.2
    right = torch.where(crossed < t, -0.15 + 1.35 * torch.exp(2 * (crossed - t)), 0.15 + (x - 0.15) * math.exp(-2 * t))
    right = torch.where(x < 1.2, -0.15 + (x + 0.15) * math.exp(-2 * t), right)
    assert float((found(t, x) - right).abs().mean()) < found.errors[0] < 1e-3


@pytest.mark.parametrize("law", [Gaussian(), Mixture(), Uniform()])
@pytest.mark.parametrize("place", [-0.37, 0.0, 0.198375, 0.61])
def test_the_error_is_stated_where_the_map_jumps(law: Base, place: float):
    """A kink of V drives particles 0.3 t away on either side. Levels change little if it lies amid their points."""
    t, c = 0.05, law.mean + place * law.std
    found = particles.solve(LinearTransport().problem(law, Expressed(f"-0.3*abs(x-{c})"), interaction.Zero(), t), [t])
    x = law.quantile((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
    gap = found(t, x) - (x + 0.3 * t * (x - c).sign())
    assert float(gap.abs().mean()) < found.errors[0]
    assert float((gap**2).mean()) ** 0.5 < found.w2_errors[0] < 0.1 * law.std


def test_too_many_particles_that_feel_one_another_are_for_others():
    law = Samples(np.linspace(-4, 4, 40), smoothing=0.05)
    with pytest.raises(Unresolved, match="ask for 5640 particles"):
        particles.solve(
            AggregationDiffusion(diffusion=0.0).problem(law, Quartic(), interaction.Log(-0.6), 0.05), [0.05]
        )


def test_auto_asks_particles_where_there_is_no_diffusion(aggregation: Problem):
    assert comparison.computed(aggregation, [0.1]).name.startswith("particles")
    assert comparison.computed(aggregation, [0.1], "finite_volume").name.startswith("finite volumes")
    assert comparison.computed(aggregation, [0.1], "none") is None
    diffusive = problem(FokkerPlanck(), Gaussian(), Quartic())
    assert comparison.computed(diffusive, [0.1]).name.startswith("finite volumes")


def test_particles_stay_where_finite_volumes_fail(aggregation: Problem, monkeypatch: pytest.MonkeyPatch, caplog):
    def fails(*_):
        raise Unresolved("too stiff")

    monkeypatch.setattr(finite_volume, "solve", fails)
    monkeypatch.setattr(comparison, "GOOD", 0.0)
    monkeypatch.setenv(cache_files.OFF, "1")
    assert comparison.computed(aggregation, [0.1]).name.startswith("particles")
    assert "no better reference solution: Unresolved: too stiff" in caplog.text


def test_finite_volumes_do_what_particles_cannot(aggregation: Problem, monkeypatch: pytest.MonkeyPatch, caplog):
    def fails(*_):
        raise Unresolved("particles meet")

    monkeypatch.setattr(particles, "solve", fails)
    with caplog.at_level("INFO", "wgf"):
        assert comparison.computed(aggregation, [0.1]).name.startswith("finite volumes")
    assert "particles meet: wgf uses finite volumes" in caplog.text


def test_particles_part_from_a_kink_that_repels():
    """x' = 1.22 sign(x - 0.3) - x, by parts: the map jumps, and no level may blur that."""
    law, t = Laplace(-0.0186, 0.653), 0.5
    found = particles.solve(problem(LinearTransport(), law, Expressed("-1.22*abs(x - 0.3) + x**2/2")), [t])
    z = torch.cat([torch.linspace(-6, 5, 45, dtype=torch.float64), 0.3 + torch.tensor([-1e-3, 1e-3]).double()])
    for place, x in zip(z.tolist(), found(t, z).tolist(), strict=True):
        side = 1.0 if place > 0.3 else -1.0
        assert x == pytest.approx(1.22 * side + (place - 1.22 * side) * math.exp(-t), abs=1e-7)
    assert found.w2_error < 1e-7
