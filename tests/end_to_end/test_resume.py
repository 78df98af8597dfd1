"""Runs that are stopped, in whatever way, and go on: the same bits as a run in one go, and a clear word where not."""

import itertools
import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_folders
import torch
from acting_callback import At
from command_line import called, stopped
from composed_configs import composed
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from refusals import refusal
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from written_files import write

from wgf import __version__
from wgf.files import claimed
from wgf.run import recorder
from wgf.run.callbacks.checkpoint import latest, sealed, unsealed
from wgf.run.load import load
from wgf.run.runner import build, main, run
from wgf.settings.check import check
from wgf.settings.resume import continued, differences, quoted

QUICK = ["network.width=4", "saves=3", "logger=none", "figures=false", "reference_solution=none"]


class Killed(BaseException):
    """What no part of the program catches."""


def kill(*_: Any) -> None:
    """End everything, as a signal that cannot be caught does."""
    raise Killed


def begun(folder: Path, *words: str, resuming: bool = False) -> tuple[DictConfig, dict[str, Any]]:
    """Run quickly; the config and the result."""
    cfg = composed(*QUICK, *words)
    check(cfg)
    return cfg, run(build(cfg), cfg, folder, resuming).as_dict()


def on(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Go on with a run; the result."""
    return run(build(cfg), cfg, folder, resuming=True).as_dict()


def left(folder: Path) -> dict[str, Any]:
    """What must be the same to the last bit."""
    result = run_folders.result(folder)
    del result["wall_s"]
    with np.load(folder / "solution.npz") as file:
        arrays = {name: file[name].tobytes() for name in file.files}
    return {"result": result, "history": (folder / "history.csv").read_text().splitlines()} | arrays


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint now and then, by a clock that counts how often it is looked at."""
    monkeypatch.setattr(recorder, "monotonic", itertools.count().__next__)
    monkeypatch.setattr(recorder, "EVERY", 2)
    monkeypatch.setattr(recorder, "SHARE", 0)


METHODS = {
    "euler weights": "integrator=euler integrator.dt=1e-3 network=two_sided_relu t_end=0.03",
    "euler biases": "integrator=euler integrator.dt=1e-4 network=two_sided_relu network.train=biases t_end=2e-3",
    "euler particles": "integrator=euler integrator.dt=1e-4 network=two_sided_relu network.train=all t_end=2e-3 "
    "quadrature=monte_carlo quadrature.particles=500",
    "heun mlp": "integrator=heun integrator.dt=1e-4 network=mlp network.width=2 t_end=1e-3",
    "adaptive breakpoints": "network.width=60 network.knots=adaptive pde.diffusion=0.3 law.std=0.2 t_end=0.3",
    "confirmed": "network.width=auto network.tol=1e-3 pde.diffusion=0.3 law.std=0.2 t_end=0.3",
    "rk4 float32": "integrator=rk4 integrator.dt=1e-3 t_end=0.02 dtype=float32",
    "dopri5 all": "integrator=dopri5 integrator.rtol=1e-10 network=two_sided_relu network.train=all t_end=6e-3",
    "dopri5 exact": "integrator=dopri5 integrator.rtol=1e-10 pde=linear_transport t_end=0.1 reference_solution=exact",
    "jko": "integrator=jko integrator.dt=1e-2 t_end=0.1",
    "jko mlp": "integrator=jko integrator.dt=1e-3 network=mlp network.width=2 t_end=9e-3",
    "sdirk2": "integrator=sdirk2 integrator.dt=1e-2 network=two_sided_relu t_end=0.1",
    "sdirk3": "integrator=sdirk3 integrator.dt=2e-2 pde=porous_medium network.degree=5 t_end=0.4",
    "rodas4": "integrator=rodas4 t_end=0.2",
    "rodas4 attraction": "integrator=rodas4 pde=keller_segel potential=none pde.chi=1.5 t_end=0.3 integrator.rtol=1e-7",
    "rodas4 driven": "integrator=rodas4 potential=expression potential.expr='x**4/4-sin(3*t)*x' t_end=0.3",
    "gauss_newton": "integrator=gauss_newton network=two_sided_relu network.train=biases network.width=3 t_end=0.01",
    "limex": "network=two_sided_relu network.train=all network.width=3 t_end=0.03",
    "limex blow-up": "network=two_sided_relu network.train=all network.start=uniform pde=keller_segel potential=none "
    "pde.chi=4 t_end=1 integrator.rtol=1e-4",
    "limex fold": "network=two_sided_relu network.train=all network.width=2 network.start=uniform pde=linear_transport",
    "a fold": "integrator=euler integrator.dt=1e-3 network=two_sided_relu pde=linear_transport t_end=0.1",
    "a blow-up": "integrator=rodas4 pde=keller_segel potential=none pde.chi=4 t_end=1 integrator.rtol=1e-4",
}


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_run_goes_on_to_the_same_bits(name: str, tmp_path: Path, ticking: None):
    cfg, whole = begun(tmp_path / "whole", *METHODS[name].split())
    assert whole["steps"] > 8
    for steps in (whole["steps"] // 2, whole["steps"] // 3):  # killed twice
        experiment = build(cfg)
        experiment.logger = At(steps, kill)
        with pytest.raises(Killed):
            run(experiment, cfg, tmp_path / "killed", resuming=steps < whole["steps"] // 2)
    assert not (tmp_path / "killed" / "result.json").exists()
    on(cfg, tmp_path / "killed")
    assert left(tmp_path / "killed") == left(tmp_path / "whole")
    provenance = json.loads((tmp_path / "killed" / "provenance.json").read_text())
    assert [0 < part["step"] < whole["steps"] for part in provenance["resumed"]] == [True, True]


def test_killed_when_all_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The end of the loop is in the checkpoint, so that it ends the same way: here with one more rejected step."""
    cfg, _ = begun(tmp_path / "whole", *METHODS["a fold"].split())
    with monkeypatch.context() as patch:
        patch.setattr("wgf.run.runner.measure", kill)
        with pytest.raises(Killed):
            run(build(cfg), cfg, tmp_path / "killed")
    assert on(cfg, tmp_path / "killed")["status"] == "folded"
    assert left(tmp_path / "killed") == left(tmp_path / "whole")


def test_stopped_by_max_steps_and_gone_on_with(tmp_path: Path):
    words, folder = ["integrator=euler", "integrator.dt=1e-3", "t_end=0.03"], tmp_path / "part"
    begun(tmp_path / "whole", *words)
    _, found = begun(folder, *words, "integrator.max_steps=13")
    assert (found["status"], found["steps"]) == ("max_steps", 13)
    (line,) = refusal(continued, folder, [])
    assert re.search(r"reached integrator.max_steps=13 at t = 0.013: give .* above 13", line)
    cfg = continued(folder, [f"resume={folder}", "integrator.max_steps=1000000", "figures=false"])
    assert main(OmegaConf.merge(cfg, {"resume": str(folder)}), folder) == 0
    assert left(folder) == left(tmp_path / "whole")
    assert OmegaConf.load(folder / "config.yaml").resume is None
    (line,) = refusal(continued, folder, [])
    assert "part has ended, completed at t = 0.03: it cannot continue" in line


def test_a_run_killed_before_its_first_checkpoint_begins_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cfg, whole = begun(tmp_path / "whole", "t_end=0.01")
    text = (tmp_path / "whole" / "config.yaml").read_text()
    write(tmp_path / "killed", {"config.yaml": text, ".config.yaml.123.part": "half"})
    on(cfg, tmp_path / "killed")
    assert left(tmp_path / "killed") == left(tmp_path / "whole")
    assert whole["status"] == "completed"
    assert not list((tmp_path / "killed").glob(".*"))


def half_way(folder: Path) -> DictConfig:
    """Leave a run in the middle; the config to go on by."""
    cfg, _ = begun(folder, "integrator=euler", "t_end=0.03", "integrator.max_steps=10")
    return OmegaConf.merge(cfg, {"integrator": {"max_steps": 1000}})


def test_a_damaged_checkpoint_costs_no_more_than_time(tmp_path: Path, caplog: pytest.LogCaptureFixture, ticking: None):
    cfg = half_way(tmp_path)
    caplog.set_level("INFO", "wgf")
    older, newest = sorted((tmp_path / "checkpoints").iterdir())
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    on(cfg, tmp_path)
    assert f"skipping {newest}, it is damaged: its checksum is wrong" in caplog.text
    assert f"resuming from step {int(older.stem[5:])}," in caplog.text
    run(build(cfg), cfg, tmp_path / "whole")
    assert left(tmp_path) == left(tmp_path / "whole")


def rewrite(folder: Path, **entries: Any) -> None:
    for path in (folder / "checkpoints").iterdir():
        path.write_bytes(sealed(unsealed(path.read_bytes()) | entries))


def test_another_version_says_what_differs(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cfg = half_way(tmp_path)
    circumstances = latest(tmp_path)["circumstances"]  # type: ignore[index]
    rewrite(tmp_path, circumstances=circumstances | {"wgf": "0.0.1"})
    assert f"was begun by wgf 0.0.1, this is wgf {__version__}" in "\n".join(refusal(on, cfg, tmp_path))
    rewrite(tmp_path, circumstances=circumstances | {"torch": "2.0.0", "threads": 99})
    assert on(cfg, tmp_path)["status"] == "completed"
    assert (
        f"last digits may differ from those of an uninterrupted run: torch 2.0.0 -> {torch.__version__}, threads 99"
        in caplog.text
    )


def test_changed_data_are_noticed(tmp_path: Path):
    data, folder = tmp_path / "data.csv", tmp_path / "run"
    data.write_text("0\n1\n2\n4\n")
    cfg, _ = begun(folder, "law=samples", f"law.path={data}", "integrator.max_steps=5", "t_end=1")
    assert list(latest(folder)["data"]) == list(run_folders.provenance(folder)["data"]) == ["law.path"]
    data.write_text("0\n1\n2\n5\n")
    line = f"law.path={data} has changed since the run in {folder} began: restore that file, or start a new run"
    assert refusal(on, cfg, folder) == refusal(load, folder) == [line]
    data.write_text("0\n1\n2\n4\n")
    assert on(cfg, folder)["status"] == "max_steps"
    assert load(folder).problem.law.mean == pytest.approx(1.75)


def test_what_is_refused_changes_nothing(tmp_path: Path):
    cfg = half_way(tmp_path)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = files()
    with claimed(tmp_path):
        assert refusal(on, cfg, tmp_path) == [f"{tmp_path} is in use: another process runs in it"]
    other = OmegaConf.merge(cfg, {"t_end": 0.04, "potential": {"center": 2.0}})
    lines = ["t_end was 0.03 and is 0.04", "potential.center was 1.0 and is 2.0"]
    assert [line.partition("checkpoints: ")[2] for line in refusal(on, other, tmp_path)] == lines
    assert files() == before
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"")
    before = files()
    assert "none of its 2 checkpoints can be read (its end is missing)" in refusal(on, cfg, tmp_path)[0]
    assert files() == before


NO_RUNS = {"": "no config.yaml", "- a list\n": "is not the config of a run", "a: [\n": "config.yaml cannot be read"}


@pytest.mark.parametrize("text", NO_RUNS)
def test_what_is_no_run(tmp_path: Path, text: str):
    if text:
        (tmp_path / "config.yaml").write_text(text)
    assert NO_RUNS[text] in refusal(continued, tmp_path, [])[0]
    assert "does not exist: give the folder of a run" in refusal(continued, tmp_path / "nowhere", [])[0]


def test_only_what_decides_on_no_digit_may_change(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("t_end: 1.0\nfigures: true\nintegrator:\n  max_steps: 5\n")
    words = ["resume=x", "figures=false", "integrator.max_steps=9", "verify=true", "expect=blow_up"]
    cfg = continued(tmp_path, words)
    assert (cfg.figures, cfg.integrator.max_steps, cfg.verify, cfg.expect) == (False, 9, True, "blow_up")
    lines = refusal(continued, tmp_path, [*words, "t_end=2", "network=mlp", "+seed=3"])
    assert [line.partition("=")[0] for line in lines] == ["t_end", "network", "seed"]
    assert "only integrator.max_steps, figures, certificate, verify, expect may change" in lines[0]


def test_a_result_that_cannot_be_read_is_none(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("t_end: 1.0\n")
    for text in ("", "{", "[]", '{"status": "completed"}'):
        (tmp_path / "result.json").write_text(text)
        assert continued(tmp_path, []).t_end == 1.0


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda s: s[0] not in "'\""))
def test_any_path_can_be_given(path: str):
    if "${" in path or "\\" in path or path == "null" or not path.isprintable():
        return
    assert OverridesParser.create().parse_override(quoted(f"resume={path}")).value() == path


def test_differences_of_configs():
    lines = ["a was 1 and is absent", "b.c was [1, 2] and is [1, 3]", "d was absent and is x"]
    assert differences("a: 1\nb:\n  c: [1, 2]\n", "b:\n  c: [1, 3]\nd: x\nfigures: true\n") == lines


def test_the_command_stopped_by_sigterm_goes_on(tmp_path: Path):
    """Everything switched on: one folder, one history, one curve in TensorBoard."""
    words = ["integrator=euler", "integrator.dt=2e-4", "network.width=4", "t_end=0.2", "saves=4"]
    words += ["reference_solution=none", "hydra.run.dir='a run'"]
    status, *said = stopped(signal.SIGTERM, tmp_path, "a run", 20, *words)
    said = "".join(said)
    assert status == 143, said
    assert "interrupted: stopped from outside" in said
    assert "Traceback" not in said
    interrupted = left(tmp_path / "a run")
    assert interrupted["result"]["message"].endswith("(SIGTERM)")
    assert 0 < interrupted["result"]["t_end"] < 0.2
    status, _, err = called(tmp_path, "resume=a run", "t_end=3", "network.train=all", "hydra.run.dir=b")
    assert status == 2
    assert "t_end=... with resume is impossible" in err
    assert left(tmp_path / "a run") == interrupted
    assert len(list(tmp_path.iterdir())) == 1
    status, _, err = called(tmp_path, "resume=a run")
    assert status == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["a run"]
    # the same in one go
    cfg = OmegaConf.load(tmp_path / "a run" / "config.yaml")
    cfg.logger, cfg.figures = {"_target_": "wgf.run.callbacks.base.Callback"}, False
    cfg.integrator.dt = float(cfg.integrator.dt)
    torch.set_num_threads(1)
    run(build(cfg), cfg, tmp_path / "whole")
    assert left(tmp_path / "a run") == left(tmp_path / "whole")
    assert "to continue the run, use resume=" in said
    events = EventAccumulator(str(tmp_path / "a run"), size_guidance={"scalars": 0})
    events.Reload()
    steps = [int(line.partition(",")[0]) for line in left(tmp_path / "whole")["history"][1:]]
    assert [event.step for event in events.Scalars("free_energy/total")] == steps
    overrides = OmegaConf.load(tmp_path / "a run" / ".hydra" / "overrides.yaml")
    assert "t_end=0.2" in list(overrides)  # how it was begun
    status, _, err = called(tmp_path, f"resume={tmp_path / 'a run'}")
    assert status == 2
    assert err.endswith("has ended, completed at t = 0.2: it cannot continue\n")


def test_the_command_killed_goes_on(tmp_path: Path):
    words = [*QUICK, "integrator=euler", "integrator.dt=4e-5", "t_end=0.06", "hydra.run.dir='a run'"]
    status, _, err = stopped(signal.SIGKILL, tmp_path, "a run", 20, *words)
    assert status == -signal.SIGKILL, err
    assert not (tmp_path / "a run" / "result.json").exists()
    status, _, err = called(tmp_path, *words)
    assert status == 2
    assert "holds a run that was stopped: continue it with resume=a run" in err
    status, _, err = called(tmp_path, "resume=a run")
    assert status == 0, err
    cfg = OmegaConf.load(tmp_path / "a run" / "config.yaml")
    run(build(cfg), cfg, tmp_path / "whole")
    assert left(tmp_path / "a run") == left(tmp_path / "whole")
