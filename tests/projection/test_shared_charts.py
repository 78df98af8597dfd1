"""Flows on the same breakpoints, base and quadrature share a chart and its energies; others do not."""

import pytest
import torch

import wgf
from wgf.engine.energies import Table, shared_energy
from wgf.kept import Kept, is_plain, kept


def chart(network, order=8):
    problem = wgf.FokkerPlanck().problem(network.base, wgf.potentials.Quartic(), wgf.interactions.Zero(), 1.0)
    return wgf.Projection(problem, network, wgf.Gauss(order), wgf.Auto()).landscape.chart


def test_equal_maps_share_a_chart():
    one = chart(wgf.Spline(12, base=wgf.Gaussian(0.1, 1.0)))
    assert chart(wgf.Spline(12, base=wgf.Gaussian(0.1, 1.0))) is one
    for network in (wgf.Spline(12, base=wgf.Gaussian(0.1, 1.1)), wgf.Spline(12, 2, base=wgf.Gaussian(0.1, 1.0))):
        assert chart(network) is not one
    assert chart(wgf.Spline(12, base=wgf.Gaussian(0.1, 1.0)), order=9) is not one
    with torch.inference_mode():
        assert chart(wgf.Spline(12, base=wgf.Gaussian(0.1, 1.0))) is not one


def test_energies_that_differ_in_numbers_share_a_program():
    def of(**constants):
        terms = (wgf.potentials.Expressed("a*x**4/4 - x**2", **constants), wgf.FokkerPlanck(0.37).internal())
        return shared_energy(terms, lambda: Table(-5.0, 5.0))

    energy, parameters = of(a=0.123456789)
    other, others = of(a=0.12345678)
    assert other is energy
    assert parameters.tolist() == [[0.123456789, 0.37]]
    assert others.tolist() == [[0.12345678, 0.37]]
    assert of(a=2.0)[0] is not energy  # whole numbers are part of the program


@pytest.mark.parametrize("numbers", [(0.7, 0.9), (1.3, 0.9)])
def test_a_program_serves_other_numbers(numbers):
    a, diffusion = numbers
    settings = {"t_end": 0.2, "network": wgf.Spline(10, base=wgf.Gaussian()), "reference_solution": "none"}
    pde, potential = wgf.FokkerPlanck(diffusion), wgf.potentials.Expressed("a*x**4/4 - x**2/2", a=a)
    flows = [wgf.solve(pde, potential=potential, engine=engine, **settings) for engine in ("compiled", "torch")]
    torch.testing.assert_close(flows[0].parameters(0.2), flows[1].parameters(0.2), rtol=1e-12, atol=1e-12)


def test_the_newest_results_are_kept():
    kept = Kept(2)
    assert [kept(key, lambda key=key: [key]) for key in "aab"] == [["a"], ["a"], ["b"]]
    first = kept("a", list)
    kept("c", lambda: ["c"])
    assert kept("a", list) is first
    assert kept("b", lambda: ["new"]) == ["new"]
    assert kept("none", lambda: None) is None
    assert kept("none", lambda: 1) is None  # None is a result, too


def test_results_of_a_function_are_kept_by_the_content_of_its_arguments():
    calls = []

    @kept(8)
    def std(law, dtype):
        calls.append((law, dtype))
        return float(law.std)

    class Own(wgf.Gaussian):
        pass

    for law in (wgf.Gaussian(0.1, 2.0), wgf.Gaussian(0.1, 2.0)):
        assert std(law, torch.float64) == 2.0
    assert len(calls) == 1
    law.std = 3.0  # what is kept does not follow an object that changes
    assert std(law, torch.float64) == 3.0
    assert std(wgf.Gaussian(0.1, 2.0), torch.float32) == std(wgf.Gaussian(0.1, 2.0), torch.float64) == 2.0
    assert len(calls) == 3
    assert std(Own(0.1, 2.0), torch.float64) == std(Own(0.1, 2.0), torch.float64) == 2.0
    assert len(calls) == 5  # an object of a foreign class may mean anything


def test_what_may_hide_a_tensor_is_not_plain():
    potential = wgf.potentials.Quartic()
    assert is_plain(potential)
    potential.more = torch.ones(2)
    assert is_plain(potential)
    for more in (torch.ones(2, requires_grad=True), lambda x: x, {"a": 1.0}):
        potential.more = more
        assert not is_plain(potential)
