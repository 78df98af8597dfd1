"""Imports without garbage collection, and threads of torch."""

import gc
from dataclasses import replace

import pytest
import torch

from wgf.problem.laws import Gaussian
from wgf.process import loading, threads_of_torch
from wgf.reference_solutions.wasserstein import Carried, distance


def test_garbage_is_collected_again_after_an_import():
    frozen = gc.get_freeze_count()
    with loading("torch"):
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > frozen


def test_distances_are_computed_by_one_thread():
    """On a busy machine a second thread takes ten times as long."""
    seen, base = [], Gaussian()

    def place(z: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return z + 1

    law = Carried(base, place, torch.zeros(0, dtype=torch.float64))
    with threads_of_torch(2):
        assert distance(law, replace(law, place=torch.clone)).w1 == pytest.approx(1)
        assert torch.get_num_threads() == 2
    assert set(seen) == {1}
