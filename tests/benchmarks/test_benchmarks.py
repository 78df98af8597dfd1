"""The codes of the benchmark against the reference maps, the reference maps, and the imports of the scripts."""

import ast
import random
import sys
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import paper_algorithm
    from collocation import COLLOCATION
    from error_against_time import COMPETITORS, Point, duration, fastest, measure, picture, table, two_digits
    from finite_volume import FINITE_VOLUMES
    from paper_algorithm import PAPER_ALGORITHM
    from problems import KELLER_SEGEL, PROBLEMS, QUARTIC
    from reference_maps import quadrature, reference_map, wasserstein_1
    from search import search, splines, volumes
    from wgf_flows import COMPILED, ENSEMBLE, PAPER, SPLINE
    from with_fipy import FIPY
    from with_py_pde import PY_PDE
finally:
    sys.path.remove(str(BENCHMARKS))

# rung of the ladder and the largest W1 allowed there: quartic, sextic, porous medium, Keller-Segel
BOUNDS = {
    SPLINE: (3, (1.2e-6, 1e-6, 1.2e-6, 1e-6)),
    COMPILED: (2, (1.2e-6, 1.2e-6, 1.2e-6, 1e-6)),
    ENSEMBLE: (2, (1.2e-6, 1.2e-6, 1.2e-6, 1e-6)),
    PAPER: (1, (3e-2, 1.2e-2, 2e-2, 8e-3)),
    FINITE_VOLUMES: (3, (1.2e-5, 1e-6, 1.3e-6, 1e-6)),
    COLLOCATION: (4, (5e-7, 4e-5)),
    PY_PDE: (2, (2e-4, 1e-2, 8e-5, 1.2e-4)),
    FIPY: (1, (2e-3, 6e-2, 2e-4, 2e-4)),
}
CASES = [
    pytest.param(competitor, problem, rung, bound, id=f"{competitor.name}-{problem.name}")
    for competitor, (rung, bounds) in BOUNDS.items()
    for problem, bound in zip(PROBLEMS, bounds, strict=False)
]


def error(problem, solution) -> float:
    return wasserstein_1(solution(quadrature()[0]), reference_map(problem)[0])


@pytest.mark.parametrize("folder", ["benchmarks", "scripts"])
def test_no_circle_of_imports(folder):
    graph = {}
    for file in (BENCHMARKS.parent / folder).glob("*.py"):
        nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
        graph[file.stem] = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        graph[file.stem] |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_a_search_finds_settings_for_an_error():
    found = {t.settings for t in search(FINITE_VOLUMES, volumes, QUARTIC, 0.0, 0) if t.error <= 1e-9}
    assert found
    assert found <= {*FINITE_VOLUMES.ladder[QUARTIC]}
    r = random.Random(0)
    for draw, competitor in ((volumes, FINITE_VOLUMES), (splines, COMPILED)):
        drawn = [draw(QUARTIC, r, near) for near in (None, competitor.ladder[QUARTIC][2])]
        assert all(error(QUARTIC, competitor.run(QUARTIC, settings)) < 1e-2 for settings in drawn)


def test_every_competitor_is_tried():
    assert {*BOUNDS, PAPER_ALGORITHM} == {*COMPETITORS}
    assert all(len(bounds) == len(competitor.ladder) for competitor, (_, bounds) in BOUNDS.items())


@pytest.mark.filterwarnings("ignore")  # from the other codes
@pytest.mark.parametrize(("competitor", "problem", "rung", "bound"), CASES)
def test_competitor(competitor, problem, rung, bound):
    if competitor.package and find_spec(competitor.package) is None:
        pytest.skip(f"{competitor.name} is not installed")
    coarse, fine = (competitor.ladder[problem][i] for i in (0, rung))
    solution = competitor.run(problem, fine)
    assert error(problem, solution) < bound
    assert bool(np.all(np.diff(solution(np.sort(quadrature()[0]))) > 0))
    if competitor is not PAPER:  # a finer rung has a smaller error
        assert error(problem, solution) < error(problem, competitor.run(problem, coarse))


@pytest.mark.parametrize(("problem", "bound"), [*zip(PROBLEMS, (4e-2, 2e-2, 2e-2, 1.2e-2), strict=True)])
def test_papers_algorithm(problem, bound):
    """The bound is the error of exact integrals at this width plus the noise of few particles, about 5e-3."""
    assert error(problem, paper_algorithm.run(problem, 8, count=20_000)) < bound


def test_papers_metric():
    knots = np.linspace(-2, 2, 5)
    z, w = quadrature(9.0, 36)  # panels that end at the knots
    reach = (z[:, None] - knots) / 5
    neurons = np.concatenate([np.maximum(reach, 0), np.maximum(-reach, 0)], axis=1)
    np.testing.assert_allclose(paper_algorithm.metric(knots), neurons.T @ (w[:, None] * neurons), atol=1e-15)


def test_particles_energy():
    """The sum over runs of particles equals the mean over single particles."""
    torch = paper_algorithm.torch
    for problem in PROBLEMS:
        knots = torch.linspace(-2, 2, 4).double()
        particles = paper_algorithm.Particles(problem, knots, 500)
        weights = torch.cat([torch.full((4,), 1.3), torch.full((4,), -0.8)]).double()
        z = particles.z.double()
        reach = z[:, None] - knots
        x = (reach.clamp(min=0) @ weights[:4] + (-reach).clamp(min=0) @ weights[4:]) / 4
        slope = ((reach > 0).double() @ weights[:4] - (reach <= 0).double() @ weights[4:]) / 4
        p = torch.exp(-z * z / 2) / (2 * torch.pi) ** 0.5
        expected = -slope.log().mean() if problem.exponent == 1 else (p / slope).mean()
        if problem.potential:
            expected = expected + problem.potential(x).mean()
        if problem.chi:
            expected = expected + problem.chi * (x[particles.one] - x[particles.two]).abs().log().mean()
        assert float(particles.energy(weights)) == pytest.approx(float(expected), rel=1e-5)


def test_keller_segel_reference():
    """The finite volumes and the finest splines share nothing but the problem."""
    assert reference_map(KELLER_SEGEL)[1] < 1e-9
    assert error(KELLER_SEGEL, SPLINE.run(KELLER_SEGEL, SPLINE.ladder[KELLER_SEGEL][-1])) < 1.5e-8


def test_table_and_picture(tmp_path):
    point = measure(COLLOCATION, QUARTIC, COLLOCATION.ladder[QUARTIC][2])
    assert point.runs >= 3
    assert point.error < 1e-4
    slow = Point(COMPILED, QUARTIC, None, 2e-5, 2 * point.seconds, 1)
    lost = Point(PAPER, QUARTIC, 7, np.nan, 1.0, 1, "it folded")
    assert fastest([point, slow, lost], 1e-4) is point
    assert fastest([point, slow, lost], 1e-8) is None
    text = table([point, slow, lost])
    assert f"{duration(point.seconds)} (0.5)" in text
    assert "it folded" in text
    picture([point, slow, lost], tmp_path / "images" / "benchmark.png")
    assert (tmp_path / "images" / "benchmark.png").stat().st_size > 10_000


def test_two_digits():
    assert [two_digits(v) for v in (0.0123, 99.4, 99.6, 250)] == ["0.012", "99", "100", "250"]
    assert [duration(s) for s in (2e-4, 0.25, 0.9999, 3.21)] == ["0.2 ms", "250 ms", "1 s", "3.2 s"]
