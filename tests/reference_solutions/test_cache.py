"""Kept reference solutions: read back, computed again where a file is damaged or another problem is meant."""

from pathlib import Path

import pytest
import torch
from reference_problems import problem

from wgf.problem.equations import FokkerPlanck
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Quartic
from wgf.reference_solutions import cache as cache_files
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions.finite_volumes import refinement as finite_volume

QUARTIC = problem(FokkerPlanck(), Gaussian(), Quartic(1.0))


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
