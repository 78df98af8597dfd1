"""Compiled engine: tapes against autograd, and the compiled loop against torch on a ladder of problems."""

import math

import numpy as np
import pytest
import torch
from missing_mass import MissingMass
from tapes import interpreted

import wgf
from wgf.engine.compiled import Compiled
from wgf.engine.energies import INPUTS, Table, energy_of
from wgf.engine.kernel import ENERGY_RISE, SOUND, fault_of
from wgf.engine.tapes.table import tabulate
from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import record, variable
from wgf.integrators.time_loop import LoopCallback
from wgf.problem import interaction, internal, kernels, potential
from wgf.problem.laws import Mixture, Uniform


class Own(wgf.Potential):
    """A potential of a user."""

    def value_at(self, x):
        return torch.tanh(x) * x + 0.1 * x.abs() ** 2.5 + torch.special.erf(x) - torch.expm1(-x * x)


class Net(wgf.Potential):
    """A small network as a potential: only a table can hold it."""

    def value_at(self, x):
        return 0.5 * x**2 + torch.tanh(x[:, None] * torch.tensor([1.0, -0.7])).sum(1) ** 2


class Kink(wgf.Potential):
    """A potential that neither a tape nor a table can hold."""

    def value_at(self, x):
        return torch.maximum(x - 0.123, torch.zeros_like(x)) + 0.5 * x**2


DENSITIES = [
    internal.Entropy(1.3),
    internal.PowerLaw(2.0, 0.7),
    internal.PowerLaw(1.5),
    potential.Quartic(1.0),
    potential.Sextic(4.0),
    potential.Quadratic(0.7, -0.2),
    potential.Expressed("x**4/4 + cos(3*x)/2 - exp(-x**2) + sqrt(x**2 + 1) + atan(x)*sinh(x/3) + 2**x - 1/(3 + x**2)"),
    Own(),
]


@pytest.mark.parametrize("term", DENSITIES, ids=str)
def test_jets_are_the_derivatives_of_autograd(term):
    draw = np.random.default_rng(0)
    numbers = [draw.normal(size=9), draw.uniform(0.5, 2, 9), draw.normal(size=9), draw.normal(size=9), draw.random(9)]
    tape = Tape(INPUTS)
    jet = record(lambda: term.density(*(variable(tape, name) for name in INPUTS[:3])), tape).jet
    found = {order: interpreted(tape, dict(enumerate(numbers)), register) for order, register in jet.items()}
    x, dx, log_p = (torch.tensor(v, requires_grad=k < 2) for k, v in enumerate(numbers[:3]))
    value = term.density(x, dx, log_p)
    options = {"create_graph": True, "materialize_grads": True}
    first = torch.autograd.grad(value.sum(), (x, dx), **options)
    rows = [torch.autograd.grad((g + 0 * x + 0 * dx).sum(), (x, dx), **options) for g in first]
    known = dict(zip([(0, 0), (1, 0), (0, 1)], (value, *first), strict=True))
    known |= {(2, 0): rows[0][0], (1, 1): rows[0][1], (0, 2): rows[1][1]}
    for order, expected in known.items():
        np.testing.assert_allclose(found.get(order, 0 * x.detach()), expected.detach(), rtol=1e-11, atol=1e-11)


def both(pde, *, t_end=0.2, rtol=1e-4, saves=2, **settings):
    """The same flow by both engines."""
    chosen = {"integrator": wgf.Rodas4(rtol, 1e-8)} | settings
    return [wgf.solve(pde, t_end=t_end, saves=saves, engine=engine, **chosen) for engine in ("compiled", "torch")]


def small(width=10, degree=3, law=None):
    return wgf.Spline(width, degree, 3.0, base=law or wgf.Gaussian())


MIXTURE = Mixture([-1.0, 1.0], [0.5, 0.8], [0.3, 0.7])
QUANTILE = wgf.Spline(12, knots="quantile", base=wgf.Gaussian())
LADDER = {
    "quartic": (wgf.FokkerPlanck(0.8), {"potential": "x**4/4 - x**2/2 + x/3", "network": small(32, 5)}),
    "user's potential": (wgf.FokkerPlanck(), {"potential": Own(), "network": small()}),
    "quantile knots": (
        wgf.FokkerPlanck(),
        {
            "potential": potential.Sextic(4.0),
            "t_end": 1e-3,
            "network": wgf.Spline(12, knots="quantile", base=wgf.Gaussian()),
        },
    ),
    "transport": (wgf.LinearTransport(), {"potential": potential.Quartic(1.0), "network": small(degree=2)}),
    "porous": (wgf.PorousMedium(2.0), {"network": small()}),
    "porous, half power": (wgf.PorousMedium(1.5, 0.4), {"network": small(law=wgf.Barenblatt(1.5, 1.0))}),
    "relu": (wgf.FokkerPlanck(), {"potential": "x**4/4", "network": wgf.TwoSidedReLU(16, base=wgf.Gaussian())}),
    "relu, mixture": (wgf.FokkerPlanck(0.3), {"potential": "x**2", "network": wgf.TwoSidedReLU(9, base=MIXTURE)}),
    "uniform law from a Gaussian": (wgf.FokkerPlanck(), {"potential": "x**4/4", "law": Uniform(-1.0, 1.0)}),
    "samples": (wgf.FokkerPlanck(), {"potential": "x**2", "law": wgf.Samples(np.linspace(-1.0, 1.0, 30) ** 3)}),
    "attraction from a Gaussian": (wgf.KellerSegel(0.5), {"law": wgf.Laplace(), "t_end": 0.1}),
    "interval": (
        wgf.FokkerPlanck(),
        {"potential": "x**3", "law": wgf.Beta(2.0, 3.0, -1.0, 1.0), "domain": wgf.Interval(-1.0, 1.5)},
    ),
    "half line": (wgf.FokkerPlanck(), {"potential": "x", "law": wgf.Exponential(), "domain": wgf.HalfLine(0.0)}),
    "keller-segel": (wgf.KellerSegel(0.5), {"network": small()}),
    "keller-segel, uniform law": (wgf.KellerSegel(0.5), {"network": small(law=Uniform(-1.0, 1.0)), "t_end": 0.02}),
}
KERNELS = [
    interaction.Newtonian(1.0),
    interaction.Newtonian(-1.0),
    interaction.Quadratic(1.3),
    interaction.Quadratic(-0.4),
    kernels.Morse(),
    kernels.PowerLaw(),
    kernels.PowerLaw(2, 1),
    kernels.PowerLaw(3.5, 1.5),
    kernels.Expressed("0.3*abs(r) + log(1 + r**2) - b*exp(-(r/1.3)**2)", b=0.7),
]
LADDER |= {
    str(w): (wgf.AggregationDiffusion(0.5), {"potential": "x**2/2", "interaction": w, "network": small(6)})
    for w in KERNELS
}
LADDER |= {
    f"{w} where mass is missing": (
        wgf.AggregationDiffusion(0.5),
        {"potential": "x**2/2 + x", "interaction": w, "network": small(6), "quadrature": MissingMass()},
    )
    for w in (interaction.Quadratic(1.3), interaction.Quadratic(-0.4))
}


@pytest.mark.parametrize("name", LADDER)
def test_the_compiled_loop_takes_the_steps_of_torch(name):
    pde, settings = LADDER[name]
    compiled, torch_ = both(pde, **settings)
    assert isinstance(compiled.integrator, Compiled)
    assert not isinstance(torch_.integrator, Compiled)
    assert (compiled.status, compiled.detail) == (torch_.status, torch_.detail)
    for ours, theirs in zip(compiled.saved.theta, torch_.saved.theta, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(compiled.saved.terms, torch_.saved.terms, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    a, b = vars(compiled.clock), vars(torch_.clock)
    assert a.keys() == b.keys()
    assert [a[k] for k in ("t", "steps", "rejected", "evaluations", "target")] == [
        b[k] for k in ("t", "steps", "rejected", "evaluations", "target")
    ]
    assert a["dissipated"] == pytest.approx(b["dissipated"], rel=1e-9)
    torch.testing.assert_close(
        compiled.parameters(0.7 * a["t"]), torch_.parameters(0.7 * a["t"]), rtol=1e-11, atol=1e-11
    )


def test_a_network_as_potential_runs_from_a_table():
    compiled, torch_ = both(wgf.FokkerPlanck(), potential=Net(), network=small())
    torch.testing.assert_close(compiled.parameters(0.2), torch_.parameters(0.2), rtol=1e-9, atol=1e-9)


def test_a_table_grows_with_the_flow():
    class Hill(wgf.Potential):
        def value_at(self, x):
            return -5.0 * torch.stack([x, x]).mean(0) ** 2

    compiled, torch_ = both(wgf.FokkerPlanck(), potential=Hill(), network=small(), t_end=0.3)
    assert float(torch_.map(0.3, 8.0)) > 100
    torch.testing.assert_close(compiled.parameters(0.3), torch_.parameters(0.3), rtol=1e-8, atol=1e-8)


def test_a_table_has_the_derivatives_of_the_potential():
    energy = energy_of([Net()], lambda: Table(-5.0, 5.0))
    import numba

    from wgf.engine.machine_code import OPTIONS
    from wgf.engine.program import tabulated as compiled

    @numba.njit(**OPTIONS)
    def tabulated(table, x, order):
        return compiled(table, x, order)

    table, x = energy.local.tables[0], torch.linspace(-4.9, 4.9, 7, dtype=torch.float64)
    known = Net().value_at(x), Net().derivative(x), Net().second_derivative(x)
    for order, (expected, error) in enumerate(zip(known, (1e-11, 1e-9, 1e-7), strict=True)):
        np.testing.assert_allclose([tabulated(table, float(v), order) for v in x], expected, atol=error)
    assert math.isnan(tabulated(table, 5.1, 0))


def test_a_kink_has_no_table():
    with pytest.raises(Untraceable, match="without an accurate table"):
        tabulate(Kink(), -5.0, 5.1)


@pytest.mark.filterwarnings("ignore::wgf.Incomplete")
@pytest.mark.parametrize(
    ("pde", "settings"),
    [
        (wgf.KellerSegel(1.5), {"t_end": 3.0, "network": small()}),
        (wgf.KellerSegel(4.0), {"t_end": 1.0, "law": wgf.Laplace()}),
        (wgf.FokkerPlanck(), {"potential": "x**2", "integrator": wgf.Rodas4(1e-6, 1e-8, max_steps=3)}),
        (wgf.FokkerPlanck(), {"potential": "x**4", "integrator": wgf.Rodas4(1e-8, 1e-8, 0.1, 0.09), "t_end": 1.0}),
        (wgf.LinearTransport(), {"potential": "-x**4/4 + 0.1*x**6", "t_end": 1.0, "network": small(6)}),
    ],
    ids=["blow_up", "blow-up from a Gaussian", "max_steps", "step_too_small", "transport from a hill"],
)
def test_ends_are_those_of_torch(pde, settings):
    compiled, torch_ = both(pde, **settings)
    assert compiled.message.split("dt =")[0] == torch_.message.split("dt =")[0]
    assert compiled.clock.rejected == pytest.approx(torch_.clock.rejected, abs=5)  # rounding decides near dt_min
    assert compiled.clock.t == pytest.approx(torch_.clock.t, rel=1e-9)


class Counted(LoopCallback):
    def __init__(self):
        self.steps, self.stops = [], []

    def step(self, clock, state, energy):
        assert float(state.evaluation.terms.sum()) == pytest.approx(energy, rel=1e-12)
        self.steps.append(clock.t)

    def stop(self, clock, state):
        self.stops.append((clock.t, clock.steps))


def test_callbacks_receive_every_step_and_stop():
    flow = wgf.solve(wgf.FokkerPlanck(), potential="x**4/4", t_end=0.2, saves=2, engine="compiled")
    seen = Counted()
    end = flow.integrator.run(flow.projection, flow.saved.theta[0], [0.1, 0.2], seen, None)
    assert len(seen.steps) == end.clock.steps == flow.clock.steps
    assert [t for t, _ in seen.stops] == [0.0, 0.1, 0.2]
    assert end.state.theta.equal(flow.saved.theta[-1]) or torch.allclose(
        end.state.theta, flow.saved.theta[-1], atol=1e-13
    )


class Stopped(LoopCallback):
    def __init__(self, after):
        self.after = after

    def step(self, clock, state, energy):
        if clock.steps == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("most", [10_000, 30])
def test_a_path_holds_every_step(monkeypatch, most):
    monkeypatch.setattr("wgf.engine.compiled.PATH", most)

    class Steps(LoopCallback):
        def __init__(self):
            self.rows = []

        def step(self, clock, state, energy):
            self.rows.append([*plan.coordinates(state.theta), clock.dt])

    class Path(Steps):
        def take_path(self, rows):
            self.rows += np.delete(rows, slice(plan.mesh.size, -1), axis=1).tolist()

    flow = wgf.solve(wgf.FokkerPlanck(), potential="x**4/4", t_end=0.2, saves=2, engine="compiled", network=small())
    plan, found = flow.integrator.plan(flow.projection), []
    for callback in (Steps(), Path()):
        flow.integrator.run(flow.projection, flow.projection.initial, [0.1, 0.2], callback, None)
        found.append(callback.rows)
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


def test_an_interrupted_loop_resumes_with_the_same_bits():
    flow = wgf.solve(wgf.FokkerPlanck(), potential="x**4/4", t_end=0.2, saves=2, engine="compiled")
    theta, stops, loop = flow.saved.theta[0], [0.1, 0.2], flow.integrator
    whole = loop.run(flow.projection, theta, stops, Stopped(-1), None)
    part = loop.run(flow.projection, theta, stops, Stopped(3), None)
    assert (part.status, part.clock.steps) == (wgf.Status.interrupted, 3)
    rest = loop.run(flow.projection, part.state.theta, stops, Stopped(-1), part.clock)
    assert rest.status is wgf.Status.completed
    assert rest.state.theta.equal(whole.state.theta)
    assert rest.clock == whole.clock


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"integrator": wgf.Dopri5()}, "rodas4 only, not dopri5"),
        ({"dtype": "float32"}, "dtype=float64"),
        ({"potential": Kink()}, "cannot hold a potential without an accurate table"),
        ({"potential": "abs(x)"}, "cannot hold the kinks of V = abs"),
        ({"network": wgf.MLP(base=wgf.Gaussian(), generator=torch.Generator())}, "rodas4 only, not gaussnewton"),
    ],
)
def test_what_compiled_code_cannot_serve_is_refused_in_one_line(settings, message):
    with pytest.raises(wgf.ConfigError, match=message) as refused:
        wgf.solve(wgf.FokkerPlanck(), t_end=0.1, engine="compiled", **settings)
    assert "\n" not in str(refused.value)
    assert "engine=torch" in str(refused.value)


def test_auto_falls_back_to_torch_with_a_line_in_the_log(monkeypatch, caplog):
    monkeypatch.setattr("wgf.engine.compiled.LARGE", 0)
    with caplog.at_level("INFO", "wgf"):
        flow = wgf.solve(wgf.FokkerPlanck(), potential=Kink(), t_end=0.01, network=small(6))
    assert not isinstance(flow.integrator, Compiled)
    assert "engine=torch: compiled code cannot hold" in caplog.text


def test_auto_compiles_large_problems_only(monkeypatch):
    assert not isinstance(wgf.solve(wgf.FokkerPlanck(), t_end=0.01).integrator, Compiled)
    monkeypatch.setattr("wgf.engine.compiled.LARGE", 100)
    assert isinstance(wgf.solve(wgf.FokkerPlanck(), t_end=0.01).integrator, Compiled)


def test_repeated_compiles_what_it_can():
    assert isinstance(wgf.solve(wgf.FokkerPlanck(), t_end=0.01, engine="repeated").integrator, Compiled)
    others = wgf.solve(wgf.FokkerPlanck(), t_end=0.01, integrator=wgf.Dopri5(), engine="repeated")
    assert type(others.integrator) is wgf.Dopri5


@pytest.mark.parametrize("length", [1e-9, 1.0])
def test_an_interaction_that_hides_its_energy_is_not_compiled(length):
    class Hidden(interaction.Log):
        def value(self, at):
            return 2 * super().value(at)

    pde, law = wgf.AggregationDiffusion(diffusion=length**3), wgf.Gaussian(0.0, length)
    with pytest.raises(wgf.ConfigError, match="overrides `value` without `parts`"):
        wgf.solve(
            pde, law=law, interaction=Hidden(0.3 * length**2), t_end=0.1, engine="compiled", network=small(6, law=law)
        )


@pytest.mark.parametrize("size", [1e-18, 1.0, 1e18])
def test_the_energy_may_rise_by_rounding_in_any_unit(size):
    def fault(rise):
        return fault_of.py_func(1.0, 0.0, rise * size, size, 1e-13, 1.0, (True, True))

    assert (fault(1e-12), fault(1e-14)) == (ENERGY_RISE, SOUND)


def starts(**settings):
    """Whether torch evaluates the start of a compiled flow."""
    flow = wgf.solve(wgf.FokkerPlanck(0.9), t_end=0.01, engine="compiled", network=small(7), saves=1, **settings)
    return "at_start" in vars(flow.projection)


def test_torch_looks_at_the_start_of_the_first_flow_of_a_kind():
    assert [starts(potential=wgf.potentials.Expressed("a*x**4 + x**2", a=a)) for a in (0.3, 0.3, 0.7)] == [
        True,
        False,
        False,
    ]
    assert starts(potential="x**4 + sin(x)")  # another energy
    assert starts(potential=wgf.potentials.Expressed("a*x**4 + x**2", a=0.3), quadrature=wgf.Gauss(9))  # another chart

    class Own(wgf.potentials.Quartic):
        pass

    assert [starts(potential=Own()), starts(potential=Own())] == [True, True]  # its numbers may mean anything


def test_a_bad_start_of_a_known_kind_is_refused():
    for a in (0.3, 0.7):
        known = not starts(potential=wgf.potentials.Expressed("x**4/a + x**3", a=a))
    assert known
    with pytest.raises(wgf.ConfigError, match="cannot start: at t=0 the dissipation is"):
        starts(potential=wgf.potentials.Expressed("x**4/a + x**3", a=1.1e-160))


def test_compiled_code_is_kept_until_a_source_of_it_changes():
    from pathlib import Path

    from wgf.engine import machine_code

    folder = Path(machine_code.__file__).parent
    compiled = {f.stem for f in folder.glob("*.py") if "\n@compiled" in f.read_text()}
    assert set(machine_code.OWN) == compiled | {"machine_code", "tapes/tape"}
    assert all((folder / f"{name}.py").exists() for name in machine_code.SOURCES)


def test_the_logarithm_is_that_of_numpy():
    import numba

    from wgf.engine.llvm.vectors import WIDTH, load, logarithm, store
    from wgf.engine.machine_code import OPTIONS

    @numba.njit(**OPTIONS)
    def logarithms(x, y):
        for i in range(0, len(x), WIDTH):
            store(y, i, logarithm(load(x, i)))

    draw = np.random.default_rng(0)
    near = 1 + draw.uniform(-0.5, 0.5, 1000) * 10.0 ** -draw.integers(0, 12, 1000)
    x = np.concatenate(
        [np.exp(draw.uniform(-700, 700, 1000)), near, [1.0, 0.5, math.sqrt(0.5), 0.0, math.inf], np.ones(3)]
    )
    found, bad = np.empty_like(x), np.repeat([-1.0, -math.inf, math.nan, math.nan], 2)
    logarithms(x, found)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found, np.log(x), rtol=5e-16, atol=0)
    logarithms(bad.copy(), bad)
    assert np.isnan(bad).all()
