"""Stated errors of ensembles against closed forms and finite volumes: they count straight tails and edges."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import wgf
from wgf.ensembles.richer import HALVINGS, richer

T = 0.3
QUARTIC = "x**4/4 - x**2/2"
NORMAL = wgf.Gaussian()


@pytest.mark.parametrize(
    ("law", "settings", "start"),
    [
        (wgf.Student(5.0), {}, stats.t(5.0)),
        (wgf.Student(3.0), {}, stats.t(3.0)),
        (wgf.Laplace(), {"base": "law"}, stats.laplace()),
    ],
)
def test_a_stated_error_counts_straight_tails(law, settings, start):
    """In a bowl X_t = e^-t X_0 + s Z with Z ~ N(0, 1) and s^2 = 1 - e^-2t: an integral over Z has its ranks."""
    flows = wgf.ensemble(
        wgf.FokkerPlanck(), {"diffusion": [1.0]}, law=law, potential="x**2/2", t_end=T, errors=True, **settings
    )
    z = np.linspace(-8.5, 8.5, 401)
    w = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    x = -np.concatenate([np.geomspace(1e5, 20.0, 4001)[:-1], np.linspace(20.0, 0.0, 4001)])
    s = math.sqrt(1 - math.exp(-2 * T))
    rank = sum(mass * start.cdf((x - s * y) / math.exp(-T)) for y, mass in zip(z, w, strict=True))
    x, rank = x[rank > 1e-17], rank[rank > 1e-17]
    true = math.sqrt(2 * np.trapezoid((flows.quantile(None, rank)[0] - x) ** 2, rank))  # the law is symmetric
    assert true <= flows.w2_error[0, -1] < 2 * true


@pytest.mark.parametrize(
    ("law", "diffusion", "settings"),
    [
        (wgf.Student(5.0), 1.0, {}),
        (wgf.LogNormal(), 1.0, {}),
        (wgf.Laplace(), 0.5, {"base": "law"}),
        (wgf.Gamma(0.7), 0.5, {"base": "law"}),
        (wgf.Exponential(), 0.5, {"base": "law"}),
        (NORMAL, 0.5, {"network": wgf.Spline(8, base=NORMAL)}),
        (NORMAL, 0.5, {"network": wgf.Spline(16, bound=2.0, base=NORMAL)}),
        (NORMAL, 0.5, {"network": wgf.Spline(24, degree=5, bound=1.5, base=NORMAL)}),
        (NORMAL, 0.5, {}),
    ],
)
def test_a_stated_error_is_that_to_finite_volumes(law, diffusion, settings):
    given = {"law": law, "potential": QUARTIC, "t_end": T}
    flows = wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [diffusion]}, errors=True, **given, **settings)
    single = wgf.solve(wgf.FokkerPlanck(diffusion), saves=1, **given)
    known = single.reference_solution
    half = np.geomspace(1e-9, 0.5, 4001)
    rank, far = torch.from_numpy(np.concatenate([half, 1 - half[-2::-1]])), np.concatenate([1 - half, half[-2::-1]])
    there = known(T, single.base.at_rank(rank, torch.from_numpy(far))).numpy()
    here = flows.map(None, flows.base.at_rank(rank, torch.from_numpy(far)).numpy())[0]
    true = math.sqrt(np.trapezoid((here - there) ** 2, rank.numpy()))
    assert true - known.w2_error <= flows.w2_error[0, -1] < 2 * (true + known.w2_error)


def test_richer_breakpoints_reach_beyond_tails_and_shrink_towards_edges():
    heavy, sharp = wgf.Student(5.0), wgf.Gamma(0.7)
    points = torch.linspace(-4.0, 4.0, 9, dtype=torch.float64)
    found = richer(points, heavy)
    assert float(found[-1]) > 20.0
    assert float(found[0]) == -float(found[-1])
    assert np.isin(points.numpy(), found.numpy()).all()
    found = richer(torch.linspace(0.0, 4.0, 5, dtype=torch.float64), sharp)
    assert float(found[1]) == 0.5 * 0.5**HALVINGS
    assert (found.diff() > 0).all()
    empty = richer(torch.linspace(0.0, 8.0, 17, dtype=torch.float64), wgf.LogNormal(0.3))
    assert float(empty[1]) == 0.125  # there is no mass nearer to 0, nothing would hold narrower cells
    flat = richer(torch.linspace(-1.0, 1.0, 3, dtype=torch.float64), wgf.Uniform(-1.0, 1.0 + 1e-3))
    assert float(flat[-1]) == 1.0 + 1e-3


def test_the_log_says_why_an_error_is_unknown(caplog):
    settings = {"law": wgf.LogNormal(), "base": "law", "potential": "x**2/2", "t_end": 1.0}
    flows = wgf.ensemble(wgf.PorousMedium(), {"diffusion": [0.2, 0.5, 1.5]}, errors=True, **settings)
    assert flows.status.tolist() == ["completed", "completed", "folded"]
    assert np.isnan(flows.w2_error[:, -1]).all()
    assert "the W2 errors of 2 flows are NaN: their richer flows end as " in caplog.text


def test_flows_that_fail_themselves_need_no_reason(caplog):
    flows = wgf.ensemble(wgf.KellerSegel(), {"chi": [0.5, 3.0]}, t_end=0.5, errors=True)
    assert flows.status.tolist() == ["completed", "blow_up"]
    assert 0 < flows.w2_error[0, -1] < 1e-3
    assert "are NaN" not in caplog.text


def test_errors_are_as_stated_in_every_unit():
    """Errors of a flow in millimetres are 1000 times those in metres."""
    errors = [
        wgf.ensemble(
            wgf.FokkerPlanck(), {"diffusion": [scale**2]}, law=wgf.Student(5.0, scale=scale), potential="x**2/2",
            t_end=T, errors=True,
        ).w2_error[0, -1]
        for scale in (1.0, 1e3)
    ]  # fmt: skip
    assert errors[1] == pytest.approx(1e3 * errors[0], rel=1e-6)
