"""Ensembles against single flows."""

import math

import numpy as np
import pytest
import torch

import wgf
from wgf.ensembles import in_threads
from wgf.ensembles.files import read, written
from wgf.ensembles.richer import SAFETY

N = 5
DRAW = np.random.default_rng(0)
PARAMETERS = {
    "diffusion": DRAW.uniform(0.5, 1.5, N),
    "a": DRAW.uniform(0.5, 1.5, N),
    "b": DRAW.uniform(-1.0, 1.0, N),
    "shift": DRAW.uniform(-0.5, 0.5, N),
    "scale": DRAW.uniform(0.7, 1.3, N),
}
NETWORK = wgf.Spline(16, 4, base=wgf.Gaussian())


@pytest.fixture(scope="module")
def flows():
    return wgf.ensemble(
        wgf.FokkerPlanck(), PARAMETERS, potential="a*x**4/4 - b*x", t_end=0.2, saves=2, network=NETWORK, threads=2,
        integrator=wgf.Rodas4(1e-7, 1e-9), nodes=8,
    )  # fmt: skip


def test_each_flow_is_that_of_solve(flows):
    z = np.linspace(-3, 3, 11)
    for k in range(N):
        p = {name: float(v[k]) for name, v in PARAMETERS.items()}
        law = wgf.Gaussian(p["shift"], p["scale"])
        single = wgf.solve(
            wgf.FokkerPlanck(p["diffusion"]), potential=f"{p['a']}*x**4/4 - {p['b']}*x", t_end=0.2, saves=2,
            network=wgf.Spline(16, 4, base=law), integrator=wgf.Rodas4(1e-7, 1e-9),
        )  # fmt: skip
        here = single.map(0.1, p["shift"] + p["scale"] * z)
        np.testing.assert_allclose(flows.map(0.1, z)[k], here, atol=1e-8)
        assert flows.quantile(None, 0.9)[k] == pytest.approx(single.quantile(0.2, 0.9), abs=1e-8)
        x = np.linspace(-1.5, 1.5, 5)
        np.testing.assert_allclose(flows.density(0.2, x)[k], single.density(0.2, x), atol=1e-6)
        assert flows.status[k] == "completed"


def test_moments_and_distances(flows):
    start = flows.moment(1, 0.0)
    np.testing.assert_allclose(start, PARAMETERS["shift"], atol=1e-12)
    np.testing.assert_allclose(flows.std(0.0), PARAMETERS["scale"], atol=1e-12)
    gap = np.hypot(PARAMETERS["shift"] - PARAMETERS["shift"][1], PARAMETERS["scale"] - PARAMETERS["scale"][1])
    np.testing.assert_allclose(flows.w2(1, 0.0), gap, atol=1e-12)


def test_one_file_keeps_everything(flows, tmp_path):
    flows.save(tmp_path / "flows.npz")
    again = wgf.Ensemble.load(tmp_path / "flows.npz")
    np.testing.assert_array_equal(again.quantile(0.1, [0.1, 0.9]), flows.quantile(0.1, [0.1, 0.9]))
    np.testing.assert_array_equal(again.density(None, [0.3]), flows.density(None, [0.3]))
    for name, column in flows.table().items():
        np.testing.assert_array_equal(again.table()[name], column)
    assert len(again) == N
    assert repr(again) == repr(flows)


def test_parts_from_several_machines_are_joined(tmp_path):
    d = np.array([0.5, 1.0, 1.5])

    def family(diffusion, t_end=0.1, **parameters):
        given = {"diffusion": diffusion, **parameters}
        return wgf.ensemble(wgf.FokkerPlanck(), given, potential="x**4/4", t_end=t_end, saves=1, network=NETWORK)

    family(d[:2], scale=0.8).save(tmp_path / "0.npz")
    family(d[2:], scale=0.8).save(tmp_path / "1.npz")
    joined = wgf.Ensemble.joined(wgf.Ensemble.load(tmp_path / f"{k}.npz") for k in range(2))
    whole = family(d, scale=0.8)
    assert len(joined) == 3
    assert joined.coordinates == pytest.approx(whole.coordinates, abs=1e-13)
    for name, column in whole.table().items():
        assert column.dtype.kind == "U" or joined.table()[name] == pytest.approx(column, rel=1e-10, nan_ok=True)
    for other, named in [(family(d), "parameters"), (family(d, 0.2, scale=0.8), "saved times")]:
        with pytest.raises(wgf.ConfigError, match=f"part 1 differs from part 0 in its {named}"):
            wgf.Ensemble.joined([whole, other])
    with pytest.raises(wgf.ConfigError, match="of no ensembles"):
        wgf.Ensemble.joined([])


@pytest.mark.parametrize(
    ("pde", "name", "values"),
    [
        (wgf.PorousMedium(), "exponent", [1.5, 2.0, 2.7]),
        (wgf.PorousMedium(), "diffusion", [0.5, 1.2]),
        (wgf.KellerSegel(), "chi", [0.2, 0.5, 0.9]),
    ],
)
def test_settings_of_the_equation_are_parameters(pde, name, values):
    small = wgf.Spline(8, base=wgf.Gaussian())
    tight = wgf.Rodas4(1e-7, 1e-9)
    flows = wgf.ensemble(pde, {name: values}, t_end=0.1, network=small, integrator=tight, nodes=8)
    for k, value in enumerate(values):
        single = wgf.solve(type(pde)(**{name: value}), t_end=0.1, network=small, integrator=tight)
        np.testing.assert_allclose(flows.map(None, [-1.0, 2.0])[k], single.map(0.1, [-1.0, 2.0]), atol=1e-9)


def test_an_ensemble_uses_the_cores_of_its_process(monkeypatch):
    found, pool = [], in_threads.ThreadPoolExecutor
    monkeypatch.setattr(in_threads, "ThreadPoolExecutor", lambda workers: found.append(workers) or pool(workers))

    def compute(**settings):
        wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [0.5, 1.0]}, t_end=0.01, network=NETWORK, **settings)

    monkeypatch.setattr("os.sched_getaffinity", lambda process: {1, 3, 4}, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    compute()
    compute(threads=2)
    monkeypatch.delattr("os.sched_getaffinity")
    compute()
    assert found == [3, 2, 5]


def test_failures_are_per_flow():
    small = wgf.Spline(8, base=wgf.Gaussian())
    flows = wgf.ensemble(wgf.KellerSegel(), {"chi": [0.5, 3.0]}, t_end=1.0, network=small)
    assert list(flows.status) == ["completed", "blow_up"]
    assert flows.reached[1] < 0.5
    densities = flows.density(None, 0.0), flows.density(None, 99.0)
    for numbers in (flows.map(None, 0.0), flows.quantile(None, 0.0), *densities, flows.std()):
        assert not np.isnan(numbers[0])
        assert np.isnan(numbers[1])
    single = wgf.ensemble(wgf.KellerSegel(), {"chi": 0.5}, t_end=1.0, network=small)
    for line, alone in zip(flows.plot().axes[0].lines, single.plot().axes[0].lines, strict=True):
        np.testing.assert_allclose(line.get_ydata(), alone.get_ydata(), atol=1e-12)
    lost = wgf.ensemble(wgf.KellerSegel(), {"chi": [3.0, 4.0]}, t_end=1.0, network=small)
    assert lost.plot(t=0.0).axes[0].get_title(loc="left") == "0 of 2 flows at t = 0"
    for what in ("density", "std"):
        with pytest.raises(wgf.ConfigError, match=f"what='{what}' at t=1 is impossible: it is NaN for all flows"):
            lost.plot(what)


def test_ends_of_quantiles_and_maps_are_those_of_a_flow(flows):
    single = wgf.solve(wgf.FokkerPlanck(), t_end=0.1, saves=1, network=NETWORK)
    np.testing.assert_array_equal(flows.quantile(None, [0.0, 1.0])[0], single.quantile(0.1, [0.0, 1.0]))
    z = [np.nan, np.inf, -np.inf]
    np.testing.assert_array_equal(flows.map(None, z)[0], single.map(0.1, z))
    np.testing.assert_array_equal(flows.density(None, z)[0], single.density(0.1, z))


@pytest.mark.parametrize(
    ("parameters", "settings", "message"),
    [
        ({"kappa": [1.0]}, {}, "kappa: expected names among diffusion, law.mean, law.std, scale, shift"),
        ({"diffusion": [1.0, -1.0]}, {}, "diffusion=-1.0 is not allowed"),
        ({"scale": [1.0, 0.0]}, {}, "scale=0.0 is not allowed"),
        ({"diffusion": [1.0, 2.0], "shift": [1.0, 2.0, 3.0]}, {}, "all of one length"),
        ({"diffusion": [np.nan]}, {}, "finite numbers"),
        ({"diffusion": [1.0]}, {"integrator": wgf.Euler()}, "rodas4 only"),
        ({"diffusion": [1.0]}, {"potential": "q*x"}, "the name 'q'"),
    ],
)
def test_bad_input_gets_one_line(parameters, settings, message):
    with pytest.raises(wgf.ConfigError, match=message):
        wgf.ensemble(wgf.FokkerPlanck(), parameters, t_end=0.1, **settings)


def tensor(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


HELD = tensor(0.5)


class Hidden(wgf.Potential):
    """Depends on a tensor that is not its attribute."""

    def value_at(self, x):
        return HELD * x**2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pde": wgf.FokkerPlanck(HELD)}, "pde has a tensor that requires grad"),
        ({"potential": wgf.potentials.Quadratic(HELD)}, "potential has a tensor"),
        ({"potential": torch.nn.Linear(1, 1).double()}, "potential has a tensor"),
        ({"potential": Hidden()}, "depends on a tensor that requires grad and is not its attribute"),
        ({"interaction": wgf.interactions.Morse(HELD), "pde": wgf.AggregationDiffusion()}, "interaction has a tensor"),
        ({"law": wgf.Gaussian(HELD)}, "law has a tensor"),
        ({"base": wgf.Gaussian(HELD)}, "base has a tensor"),
        ({"network": wgf.Spline(8, base=wgf.Gaussian(HELD))}, "network has a tensor"),
    ],
)  # fmt: skip
def test_no_derivative_is_lost(arguments, message):
    given = {"pde": wgf.FokkerPlanck(), "parameters": {"diffusion": [1.0, 2.0]}} | arguments
    with pytest.raises(wgf.ConfigError, match=message):
        wgf.ensemble(**given, t_end=0.1)


def test_times_that_were_not_saved_are_refused(flows):
    with pytest.raises(wgf.ConfigError, match="a saved time"):
        flows.map(0.15, 0.0)


def test_tolerances_are_relative_to_each_initial_law():
    scale = np.array([1.0, 1e-3])  # one flow in two units of length
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"diffusion": scale**2, "scale": scale}, potential="2*x**2", t_end=1.0,
        integrator=wgf.Rodas4(rtol=1e-12, atol=1e-6),
    )  # fmt: skip
    assert flows.steps[0] == flows.steps[1] > 5
    assert flows.std() / scale == pytest.approx(np.full(2, flows.std()[0]), rel=1e-9)


@pytest.mark.parametrize(
    "law", [wgf.Gaussian(0.3, 2.0), wgf.Mixture([-1.0, 1.0], [0.5, 0.8], [0.3, 0.7]), wgf.Uniform(), wgf.Beta(2.0, 3.0)]
)
def test_a_law_is_the_same_after_its_text(law):
    again = read(written(law))
    u = torch.tensor([0.01, 0.4, 0.97], dtype=torch.float64)
    assert torch.equal(again.at_rank(u, 1 - u), law.at_rank(u, 1 - u))
    assert again.panels() == law.panels()


def test_the_text_of_a_law_runs_no_code():
    with pytest.raises(wgf.ConfigError, match="expected a law of wgf"):
        read('{"class": "os.system", "settings": {}}')
    with pytest.raises(wgf.ConfigError, match="cannot be saved"):
        written(wgf.Density(lambda x: torch.exp(-(x**2))))


def test_estimated_errors_are_those_of_a_closed_form():
    """A Gaussian law in a bowl stays Gaussian: its map is T = z std."""
    small, d = wgf.Spline(8, base=wgf.Gaussian()), np.array([0.5, 1.0, 2.0])
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"diffusion": d, "k": [1.0, 2.0, 0.5]}, potential="k*x**2/2", t_end=0.5, saves=2,
        network=small, errors=True,
    )  # fmt: skip
    fade = np.exp(-2 * flows.parameters["k"] * 0.5)
    std, z = np.sqrt(fade + d / flows.parameters["k"] * (1 - fade)), flows.z.numpy()
    known = np.sqrt((flows.map(None, z) - std[:, None] * z) ** 2 @ flows.w)
    np.testing.assert_allclose(flows.w2_error[:, -1], SAFETY * known, rtol=0.05)
    np.testing.assert_array_less(flows.w2_error[:, 0], 1e-14)
    assert flows.table()["w2_error"].shape == (3,)


def test_figures(flows):
    fan = flows.plot(t=0.1)
    assert fan.axes[0].get_title(loc="left") == "5 of 5 flows at t = 0.1"
    x, rho = fan.axes[0].lines[0].get_data()
    assert np.trapezoid(rho, x) == pytest.approx(1.0, abs=0.2)
    line = flows.plot("std", over="a").axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), np.sort(PARAMETERS["a"]))
    colours = flows.plot("mean", over=("a", "diffusion")).axes[0].collections[0]
    np.testing.assert_allclose(colours.get_array(), flows.moment(1))
    with pytest.raises(wgf.ConfigError, match="expected density or one of"):
        flows.plot("colour", over="a")
    start = flows.plot("std", over="a", t=0.0).axes[0]
    np.testing.assert_array_equal(np.sort(start.lines[0].get_ydata()), np.sort(flows.std(0.0)))
    assert start.get_title(loc="left") == "5 of 5 flows at t = 0"
    with pytest.raises(wgf.ConfigError, match="expected one or two of"):
        flows.plot("std", over="q")
    with pytest.raises(wgf.ConfigError, match="not allowed for the density"):
        flows.plot(over=("diffusion", "q"))


@pytest.mark.parametrize(
    ("pde", "potential", "rtol", "settings"),
    [
        (wgf.FokkerPlanck(), "a*x**4/4 - cos(b*x)", 1e-3, {"saves": 3}),  # more flows than lanes
        (wgf.PorousMedium(), "a*x**2/2 + b*x", 1e-1, {"saves": 1}),  # results that depend on the nodes only; rejections
    ],
)
def test_lanes_do_the_steps_of_single_flows(monkeypatch, pde, potential, rtol, settings):
    r, n = np.random.default_rng(1), 37
    parameters = {
        "diffusion": r.uniform(0.1, 2.0, n), "a": r.uniform(0.0, 3.0, n), "b": r.uniform(-3.0, 3.0, n),
        "scale": r.uniform(0.3, 2.0, n), **({"exponent": r.uniform(1.2, 3.0, n)} if "Porous" in repr(pde) else {}),
    }  # fmt: skip

    def compute():
        method = wgf.Rodas4(rtol, 0.0, 0.2)
        return wgf.ensemble(
            pde, parameters, potential=potential, t_end=0.5, network=NETWORK, integrator=method, **settings
        )

    flows = compute()
    monkeypatch.setattr(in_threads, "at_once", lambda order: 0)
    single = compute()
    for name in ("status", "steps", "rejected", "t"):
        np.testing.assert_array_equal(getattr(flows, name), getattr(single, name))
    assert (flows.rejected > 0).any()
    np.testing.assert_allclose(flows.coordinates, single.coordinates, atol=1e-12)
    np.testing.assert_allclose(flows.reached, single.reached, rtol=1e-12)


def test_lanes_know_the_ends_of_single_flows(monkeypatch):
    """A step that is too long for a concave potential, a step below the smallest, and the largest number of steps."""

    def compute(*settings):
        return wgf.ensemble(
            wgf.FokkerPlanck(), {"a": [-1.0, 1.0, -10.0, 0.5, 9.0]}, potential="a*x**2/2", t_end=0.5, network=NETWORK,
            integrator=wgf.Rodas4(*settings),
        )  # fmt: skip

    for settings in ((1e-3, 0.0, 0.5), (1e-4, 0.0, 1e-2, 5e-3), (1e-6, 0.0, 1e-3, 1e-12, 12)):
        flows = compute(*settings)
        with monkeypatch.context() as patched:
            patched.setattr(in_threads, "at_once", lambda order: 0)
            single = compute(*settings)
        for name in ("status", "steps", "rejected"):
            np.testing.assert_array_equal(getattr(flows, name), getattr(single, name))
        np.testing.assert_allclose(flows.coordinates, single.coordinates, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("pde", "varied", "sizes"),
    [
        (wgf.FokkerPlanck(0.3), {"a": [0.5, 1.5]}, [0.3, 0.3]),
        (wgf.FokkerPlanck(), {"diffusion": [0.5, 1.5]}, [0.5, 1.5]),
        (wgf.PorousMedium(), {"diffusion": [0.5, 1.5]}, [0.0, 0.0]),
    ],
)
def test_entropies_have_a_least_size(monkeypatch, pde, varied, sizes):
    jobs = []
    compute = in_threads.compute
    monkeypatch.setattr(in_threads, "compute", lambda job, threads: jobs.append(job) or compute(job, threads))
    wgf.ensemble(pde, varied, potential="a*x**2" if "a" in varied else "x**2", t_end=0.01, network=NETWORK)
    assert jobs[0].least_size.tolist() == sizes


@pytest.mark.parametrize(
    "law",
    [wgf.Gamma(shape=0.7), wgf.Beta(0.6, 0.8, low=0.0, high=1.0), wgf.Semicircle(2.0), wgf.LogNormal(sigma=1.0)],
    ids=type,
)
def test_numbers_count_edges_and_tails_of_the_base(law):
    """Transport in a parabola, where the map is exact."""
    k, t = np.array([1.0, 2.0]), 0.1
    flows = wgf.ensemble(
        wgf.LinearTransport(), {"stiffness": k}, potential=wgf.potentials.Quadratic(), law=law, t_end=t, threads=1
    )
    shrunk = np.exp(-k * t)
    square = law.std**2 + law.mean**2
    np.testing.assert_allclose(flows.mean(), law.mean * shrunk, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(flows.std(), law.std * shrunk, rtol=1e-8)
    np.testing.assert_allclose(flows.moment(2), square * shrunk**2, rtol=1e-8)
    np.testing.assert_allclose(flows.w2(0), math.sqrt(square) * (shrunk[0] - shrunk), rtol=1e-7, atol=1e-12)
