"""The finite volumes against exact maps and oracles of other kinds: what they state must be true."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from chebyshev import fokker_planck_map
from composed_configs import composed
from laws_and_terms import tensor
from reference_problems import AFFINE, problem

from wgf.errors import ConfigError
from wgf.problem import interaction, kernels
from wgf.problem.base import Base
from wgf.problem.equations import (
    AggregationDiffusion,
    FokkerPlanck,
    KellerSegel,
    LinearTransport,
    PorousMedium,
    Problem,
)
from wgf.problem.laws import Gaussian, Mixture, Uniform
from wgf.problem.potential import Expressed, Quartic, Sextic
from wgf.problem.quadrature import Gauss
from wgf.reference_solutions import cache as cache_files
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions import exact, finite_volume
from wgf.reference_solutions.base import Unresolved
from wgf.reference_solutions.equilibrium import equilibrium
from wgf.reference_solutions.finite_volume import Volumes
from wgf.reference_solutions.finite_volume_schemes import Central, Grid, Monotone
from wgf.reference_solutions.moment_laws import second_moment
from wgf.run.runner import build, run

DATA = Path(__file__).parents[1] / "data"
QUARTIC = problem(FokkerPlanck(), Gaussian(), Quartic(1.0))


def distances(law: Base, one, two, cells: int = 400) -> tuple[float, float]:
    """W1 and W2 of two maps, functions of z [n]."""
    panels = law.panels()
    nodes = Gauss(4).nodes(law, torch.linspace(panels[0], panels[-1], cells + 1, dtype=torch.float64)[1:-1])
    gap = one(nodes.z) - two(nodes.z)
    return float(nodes.w @ gap.abs()), float(nodes.w @ gap**2) ** 0.5


def distance(law: Base, one, two, cells: int = 400) -> float:
    """W1 of two maps."""
    return distances(law, one, two, cells)[0]


class Oracle:
    """A map at one time from a function of arrays."""

    name = "oracle"

    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, t: float, z: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.function(z.numpy()))


def density_oracle(p: Problem, t: float, low: float, high: float, n: int) -> Oracle:
    def derivative(x: np.ndarray) -> np.ndarray:
        return p.potential.derivative(torch.from_numpy(x)).numpy()

    return Oracle(lambda z: fokker_planck_map(derivative, p.internal.diffusion, t, low, high, n, z))


# exact maps, edges and kinks of the law among them, and what the finite volumes may state
CLOSED = {
    "heat": 1e-7,
    "ornstein-uhlenbeck": 1e-7,
    "diffusion off a hill": 1e-7,
    "steady": 1e-7,
    "all three linear": 1e-7,
    "barenblatt": 1e-6,
    "barenblatt cubic": 1e-6,
    "all three porous": 3e-6,
    "attraction": 1e-5,
    "log repulsion": 3e-5,
}


@pytest.mark.parametrize("name", CLOSED)
def test_exact_maps(name: str):
    p, t = AFFINE[name], 0.6
    known, found = exact.find(p), finite_volume.solve(p, [0.5 * t, t])
    for time, *stated in zip((0.5 * t, t), found.errors, found.w2_errors, strict=True):
        w1, w2 = distances(p.law, lambda z, time=time: known(time, z), lambda z, time=time: found(time, z))
        assert w1 < stated[0]
        assert w2 < stated[1]
    assert found.error < CLOSED[name]
    assert (found.error, found.w2_error) == (found.errors[-1], found.w2_errors[-1])


def test_transport():
    p = problem(LinearTransport(), Gaussian(), Quartic(1.0))
    found, known = finite_volume.solve(p, [0.2]), exact.find(p)
    w1, w2 = distances(p.law, lambda z: known(0.2, z), lambda z: found(0.2, z))
    assert w1 < found.error < 1e-6
    assert w2 < found.w2_error < 5e-3  # the tails leave for infinity


@pytest.mark.parametrize(
    ("p", "t", "domain"),
    [
        (QUARTIC, 0.2, (-7.0, 7.0, 240)),
        (problem(FokkerPlanck(), Gaussian(), Sextic(4.0)), 1e-3, (-6.5, 7.0, 1000)),
        (problem(FokkerPlanck(0.3), Gaussian(), Expressed("x**4/4 + cos(3*x)")), 0.3, (-7.0, 7.0, 300)),
    ],
    ids=["quartic", "sextic", "ripples"],
)
def test_chebyshev_oracle(p: Problem, t: float, domain: tuple[float, float, int]):
    found, oracle = finite_volume.solve(p, [t]), density_oracle(p, t, *domain)
    w1, w2 = distances(p.law, lambda z: oracle(t, z), lambda z: found(t, z))
    assert w1 < found.error < 1e-7
    assert w2 < found.w2_error < 1e-5


def test_porous_medium_from_a_gaussian():
    stored = np.load(DATA / "porous_medium_reference.npz")
    z, w = np.polynomial.legendre.leggauss(200)
    z = 5.5 * z
    weights = 5.5 * w * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    for name in (key for key in stored.files if key.startswith("map_")):
        found = finite_volume.solve(problem(PorousMedium(float(name[4:])), Gaussian()), [1.0])
        values = np.polynomial.Chebyshev.fit(stored["z"], stored[name], len(stored["z"]) - 1, domain=[-5.5, 5.5])(z)
        assert weights @ np.abs(found(1.0, tensor(z)).numpy() - values) < found.error < 1e-6


@pytest.mark.parametrize(("kind", "order", "cells"), [(Central, 5.5, (64, 128)), (Monotone, 1.8, (100, 200))])
def test_order(kind: type[Central] | type[Monotone], order: float, cells: tuple[int, int]):
    oracle, errors = density_oracle(QUARTIC, 0.2, -7.0, 7.0, 240), []
    for n in cells:
        run = finite_volume._run(kind, QUARTIC, np.array([0.2]), Grid(-7.0, 6.5, 0.0, 3.0, n), 1e-10)
        one = Oracle(lambda z, run=run: run.map(0, QUARTIC.law, z))
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
    run = finite_volume._run(Monotone, p, times, Grid(-7.0, 7.0, 0.0, 5.0, 200), 1e-8)
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


@pytest.mark.parametrize("chi", [0.5, 1.5])
def test_second_moment_of_keller_segel(chi: float):
    p, t = problem(KellerSegel(chi), Gaussian()), 0.3
    found = finite_volume.solve(p, [t])
    nodes = Gauss(8).nodes(p.law, torch.linspace(-8.6, 8.6, 400, dtype=torch.float64)[1:-1])
    moment = float(nodes.w @ found(t, nodes.z) ** 2)
    assert found.error < 1e-6
    assert moment == pytest.approx(second_moment(p, t), abs=20 * found.error)


def test_times_and_tails():
    found = finite_volume.solve(QUARTIC, [0.1, 0.2])
    z = torch.linspace(-9, 9, 400, dtype=torch.float64)
    assert found(0.0, z).equal(z)
    assert found(0.15, z).isnan().all()
    assert (found(0.2, z).diff() > 0).all()
    assert found(0.2, z.float()).dtype == torch.float32
    assert found.name == "finite volumes"


def test_what_cannot_be_computed_is_an_error():
    with pytest.raises(Unresolved):
        finite_volume.solve(problem(KellerSegel(3.0), Gaussian()), [5.0])
    with pytest.raises(ArithmeticError):
        finite_volume.solve(problem(FokkerPlanck(), Gaussian(), Expressed("log(x)")), [0.1])


# the equilibrium


def test_long_runs_reach_the_equilibrium():
    end, found = equilibrium(QUARTIC), finite_volume.solve(QUARTIC, [20.0])
    assert distance(QUARTIC.law, lambda z: end(0.0, z), lambda z: found(20.0, z)) < 1e-6


# the cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(cache_files.OFF)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "wgf"


def test_cache_round_trip(cache: Path, monkeypatch: pytest.MonkeyPatch):
    first = comparison.computed(QUARTIC, [0.1, 0.2])
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(finite_volume, "solve", None)  # not called again
        second = comparison.computed(problem(FokkerPlanck(1), Gaussian(0, 1), Quartic(1)), [0.1, 0.2])
    z = torch.linspace(-4, 4, 50, dtype=torch.float64)
    assert second(0.1, z).equal(first(0.1, z))
    assert (second.error, second.name) == (first.error, first.name)
    comparison.computed(QUARTIC, [0.2])
    comparison.computed(problem(FokkerPlanck(), Gaussian(), Quartic(1.1)), [0.1, 0.2])
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"not a file of arrays", None])
def test_a_damaged_file_is_computed_again(cache: Path, content: bytes | None):
    first = comparison.computed(QUARTIC, [0.2])
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    assert comparison.computed(QUARTIC, [0.2]).error == first.error
    assert cache_files.load(path, QUARTIC) is not None


def test_cache_that_cannot_be_written_or_is_off(cache: Path, monkeypatch: pytest.MonkeyPatch):
    cache.write_text("in the way")
    assert comparison.computed(QUARTIC, [0.2]) is not None
    cache.unlink()
    monkeypatch.setenv(cache_files.OFF, "1")
    assert comparison.computed(QUARTIC, [0.2]) is not None
    assert not cache.exists()


def test_own_classes_are_not_kept(cache: Path):
    class Mine(Quartic):
        pass

    assert comparison.computed(problem(FokkerPlanck(), Gaussian(), Mine(1.0)), [0.2]) is not None
    assert not cache.exists()


def test_failure_costs_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for error in (Unresolved("too stiff"), MemoryError(), KeyboardInterrupt()):

        def fails(*_, error=error):
            raise error

        monkeypatch.setattr(finite_volume, "solve", fails)
        assert comparison.computed(QUARTIC, [0.2]) is None
    assert "no reference solution: Unresolved: too stiff" in caplog.text


def test_grid_is_whole():
    run = finite_volume._run(Monotone, QUARTIC, np.array([0.1]), Grid(-6.0, 6.0, 0.0, 1.0, 50), 1e-6)
    assert isinstance(run, Volumes)
    x, dx, _ = run.grid.x(run.grid.s)
    assert x[[0, -1]] == pytest.approx([-6, 6], abs=1e-12)
    assert np.diff(x) == pytest.approx(run.grid.x(run.grid.s[:-1] + 0.5)[1], rel=0.05)
    assert (dx > 0).all()


# runs


@pytest.mark.parametrize(("choice", "known"), [("auto", True), ("finite_volume", True), ("none", False)])
def test_run(choice: str, known: bool, tmp_path: Path):
    cfg = composed("logger=none", "figures=false", f"reference_solution={choice}")
    found = run(build(cfg), cfg, tmp_path).as_dict()
    if known:
        assert found["w1_error"] == pytest.approx(6.5e-6, rel=0.02)
        assert found["reference_error"] < 1e-7
        assert found["reference_solution"] == "finite volumes"
    else:
        assert found["w1_error"] is found["reference_error"] is found["reference_solution"] is None


@pytest.mark.parametrize("choice", ["auto", "finite_volume"])
def test_finite_volumes_where_a_closed_form_is_known(choice: str, tmp_path: Path):
    cfg = composed("logger=none", "figures=false", "potential=quadratic", "saves=2", f"reference_solution={choice}")
    found = run(build(cfg), cfg, tmp_path).as_dict()
    assert found["reference_solution"].startswith("exact" if choice == "auto" else "finite volumes")
    assert found["w1_error"] < 1e-6
    # from N(0, 1) in V = x^2/2: the law stays what it is
    assert found["w2_to_equilibrium"] < 1e-6


def test_two_clusters_have_a_reference(monkeypatch: pytest.MonkeyPatch):
    """The power law's attraction against repulsion and a little porous medium: steep edges, next to nothing between."""
    monkeypatch.setitem(finite_volume.LEVELS, True, (96, 192, 384, 768))  # the finest grid takes ten seconds
    p = problem(AggregationDiffusion(0.05, 2.0), Gaussian(), None, kernels.PowerLaw(4.0, 2.0))
    found = finite_volume.solve(p, [0.5])
    u = tensor([0.05, 0.2, 0.4])
    z = p.law.quantile(u)
    assert found.error < 5e-5
    assert found(0.5, z) == pytest.approx((-found(0.5, -z)).numpy(), abs=10 * found.error)
    assert (found(0.5, z).diff() > 0).all()


def test_exact_where_nothing_is_known():
    with pytest.raises(ConfigError, match="reference_solution=exact is impossible"):
        build(composed("reference_solution=exact"))
