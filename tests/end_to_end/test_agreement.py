"""Finite volumes and wgf agree within their estimated errors, for random smooth potentials in every family."""

import pytest
from loaded_scripts import script

agreement = script("agreement")

# problems of each family; the script runs all 20
COSTLY = "keller_segel", "aggregation_diffusion"
CASES = [(name, number) for name in agreement.FAMILIES for number in range(2 if name.startswith(COSTLY) else 5)]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_finite_volumes_and_wgf_agree(name: str, number: int):
    family = agreement.FAMILIES[name]
    found = agreement.compare(family.problem(number))
    assert found.distance < family.allowed
    assert found.volumes < family.allowed
    assert found.distance < found.volumes + found.own


def test_every_equation_has_a_family():
    pdes = {type(family.pde).__name__ for family in agreement.FAMILIES.values()}
    assert pdes == {"LinearTransport", "FokkerPlanck", "PorousMedium", "KellerSegel", "AggregationDiffusion"}
    texts = [agreement.potential(number) for number in range(20)]
    assert len(set(texts)) == 20
    assert sum("x**4" in text for text in texts) == 10


def test_a_wrong_solution_does_not_agree(monkeypatch: pytest.MonkeyPatch):
    """The comparison fails when finite volumes stop a hundredth too early."""
    problem = agreement.FAMILIES["fokker_planck"].problem(0)
    solve = agreement.finite_volume.solve

    def early(problem, times):
        found = solve(problem, [0.99 * t for t in times])
        object.__setattr__(found, "times", found.times / 0.99)
        return found

    monkeypatch.setattr(agreement.finite_volume, "solve", early)
    found = agreement.compare(problem)
    assert found.share > 1e3
