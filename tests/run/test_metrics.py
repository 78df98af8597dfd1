"""Numbers of a finished run that are optional: one that fails costs no other."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from short_runs import quick_run


def test_an_optional_number_that_fails_costs_no_result(tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch):
    for name in ("Metrics.to_equilibrium", "best_w2"):
        monkeypatch.setattr(f"wgf.run.metrics.{name}", Mock(side_effect=IndexError("index 0 is out of bounds")))
    found = quick_run(tmp_path, "t_end=0.01")
    assert (found["status"], found["w2_best"], found["w2_to_equilibrium"]) == ("completed", None, None)
    assert (tmp_path / "solution.npz").exists()
    assert "no w2_to_equilibrium: IndexError: index 0 is out of bounds" in caplog.text
