"""The tables of docs/certificates.md: what counts as a false bound, and what the tables count."""

from loaded_scripts import script

certificates = script("certificates")
judge, summary, draw = (getattr(certificates, name) for name in ("judge", "summary", "draw"))


def row(**numbers):
    parts = {"k": 0, "kind": "transport", "network": "spline", "status": "completed", "std": 1.0, "cpu": (0.1, 0.3)}
    return judge.Judged(**parts | numbers)


def test_a_bound_below_the_error_is_false():
    assert row(error=1e-3, doubt=1e-6, own=2e-3, least=0.998e-3).is_false
    assert row(error=1e-3, doubt=1e-6, own=0.998e-3, least=2e-3).is_false
    assert not row(error=1e-3, doubt=1e-6, own=2e-3, least=1.001e-3).is_false
    assert not row(error=1e-3, doubt=3e-6, own=2e-3, least=0.998e-3).is_false
    assert not row(error=None, doubt=None, own=1e-9, least=1e-9).is_false


def test_every_problem_without_a_number_has_a_reason():
    unknown = "3.2 would exceed the standard deviation 1 of the law: increase network.width"
    rows = [
        row(status="folded"),
        row(unknown=unknown),
        row(unknown="p jumps at an edge, and so on", error=1e-3, doubt=1e-9),
        row(own=1e-3, least=1e-3),
        row(own=3e-3, least=2e-3, error=1e-3, doubt=1e-9),
    ]
    reasons = [summary.why(each) for each in rows]
    assert [reason is None for reason in reasons] == [False, False, False, False, True]
    assert "no bound: the bound would exceed the standard deviation of the law" in reasons
    *_, last = summary.closeness(rows)
    cells = [cell.strip() for cell in last.split("|")[1:-1]]
    assert cells[:8] == ["all", "5", "4", "2", "2", "0", "3", "2"]
    words = summary.costly([*rows, row(cpu=(0.01, 0.061)), row(cpu=(0.2, 1.1))])
    assert words.startswith("Both bounds add more than 4 times its CPU time to 2 of 6 runs")
    assert words.endswith("and to 1 of the 5 that take 0.1 s or more.")


def test_a_problem_depends_on_its_seed_and_number_alone():
    one, again, other, third = (draw.drawn(*numbers) for numbers in ((0, 7), (0, 7), (1, 7), (0, 8)))
    assert one == again != other != third


def test_a_mixture_in_a_parabola_spreads_as_an_ornstein_uhlenbeck_process():
    """Two equal components are one Gaussian law, whose flow has a formula."""
    import torch

    import wgf

    mixture, law = wgf.Mixture([0.5, 0.5], [0.8, 0.8]), wgf.Gaussian(0.5, 0.8)
    well, base = wgf.potentials.Quadratic(1.3, -0.4), {"reference_solution": "exact", "t_end": 0.7, "saves": 1}
    exact = wgf.solve(wgf.FokkerPlanck(0.6), law=law, potential=well, **base).reference_solution
    problem = wgf.solve(wgf.FokkerPlanck(0.6), law=mixture, potential=well, t_end=0.7, saves=1).problem
    z = torch.linspace(-1.5, 2.0, 7, dtype=torch.float64)
    torch.testing.assert_close(judge.mixed(problem).place(z), exact(0.7, z), rtol=1e-9, atol=1e-9)
    crowd = wgf.solve(wgf.KellerSegel(0.1, 0.6), law=mixture, potential=well, t_end=0.7, saves=1).problem
    assert judge.mixed(crowd) is None
