"""The stored solution and the files that are whole or not there."""

from pathlib import Path

import numpy as np
import pytest
import torch

import wgf
from wgf.files import replacing
from wgf.problem.laws import Gaussian
from wgf.saved_maps import SavedMaps

LAW = Gaussian(0.5, 1.0)


def solution(exact: bool = True) -> SavedMaps:
    """T = (1 + t) z + t, the Gaussian N(0.5, 1) widening and shifting."""
    t, z = np.array([0.0, 0.25, 1.0]), np.linspace(-8.0, 9.0, 1701)
    positions = (1 + t[:, None]) * z + t[:, None]
    slopes = np.broadcast_to(1 + t[:, None], positions.shape).copy()
    rho0 = LAW.density(torch.from_numpy(z)).numpy()
    return SavedMaps(t, z, positions, slopes, rho0, positions if exact else None, np.zeros((3, 2)) if exact else None)


@pytest.mark.parametrize("exact", [True, False])
def test_round_trip_to_the_bit(tmp_path: Path, exact: bool):
    before = solution(exact)
    before.save(tmp_path / "deep" / "solution.npz")
    after = SavedMaps.load(tmp_path / "deep" / "solution.npz")
    names = ["t", "z", "T", "dT", "rho0"] + ["exact_T", "errors"] * exact
    for name in names:
        assert getattr(after, name).dtype == np.float64
        assert np.array_equal(getattr(after, name), getattr(before, name))
    assert (after.exact_T is not None) == exact
    with np.load(tmp_path / "deep" / "solution.npz", allow_pickle=False) as file:
        assert sorted(file.files) == sorted(names)


def test_load_of_something_else(tmp_path: Path):
    np.savez(tmp_path / "other.npz", t=np.zeros(2))
    with pytest.raises(KeyError):
        SavedMaps.load(tmp_path / "other.npz")


def test_density_is_that_of_the_widened_gaussian():
    s = solution()
    for k, t in enumerate(s.t):
        ahead = Gaussian(0.5 * (1 + t) + t, 1 + t)
        assert s.rho[k] == pytest.approx(ahead.density(torch.tensor(s.T[k])).numpy(), abs=1e-15)
        assert np.trapezoid(s.rho[k], s.T[k]) == pytest.approx(1.0, abs=1e-12)
    assert s.exact_rho == pytest.approx(s.rho, rel=1e-9)
    assert solution(exact=False).exact_rho is None


def test_cdf():
    s = solution()
    assert (s.cdf[0], s.cdf[-1]) == (0.0, 1.0)
    assert s.cdf == pytest.approx(LAW.cdf(torch.tensor(s.z)).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    "law",
    [
        wgf.LogNormal(2.0),
        wgf.Mixture([0.0, 1.0], [1e-4, 1.0], [0.5, 0.5]),
        wgf.Histogram([-2.0, -1.0, 1.0, 1.001, 2.0], [3.0, 1.0, 5.0, 1.0]),
        wgf.Gamma(0.5),
    ],
    ids=["long tail", "needle", "narrow bin", "infinite density"],
)
def test_ranks_are_those_of_the_base(tmp_path: Path, law: wgf.Law):
    """An equidistant grid does not resolve these laws, and no sum over one knows their masses."""
    flow = wgf.solve(wgf.LinearTransport(), law=law, potential="x^2/2", t_end=0.3, saves=1)
    flow.save(tmp_path / "solution.npz")
    s = SavedMaps.load(tmp_path / "solution.npz")
    assert np.array_equal(s.cdf, flow.base.cdf(torch.tensor(s.z)).numpy())
    assert np.diff(s.cdf).max() < 1.5e-3  # so that nothing is missed
    middles = (np.arange(7) + 0.5) / 7
    assert s.particles(7)[-1] == pytest.approx(flow.quantile(0.3, middles), rel=1e-3)


def test_particles_have_equal_mass():
    s = solution()
    particles = s.particles(999)
    assert particles.shape == (3, 999)
    assert (np.diff(particles, axis=1) > 0).all()
    middles = (torch.arange(999, dtype=torch.float64) + 0.5) / 999
    assert particles[0] == pytest.approx(LAW.quantile(middles).numpy(), abs=1e-4)
    assert particles[2] == pytest.approx(2 * particles[0] + 1, abs=1e-12)


def test_a_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "a" / "b.bin"
    with replacing(path) as file:
        file.write(b"old")
        assert not path.exists()
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_half_written_is_never_seen(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "b.bin"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
