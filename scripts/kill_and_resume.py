"""Kill runs at random moments, resume them, and compare them to the last bit with uninterrupted runs.

    python scripts/kill_and_resume.py [KILLS] [SEED]

Every run is the command `wgf` in a process forked from this one, so that nothing is imported twice. SIGKILL ends it at
a random moment after its first checkpoint: in the loop, while another checkpoint is written, or while the results are
written. Checkpoints are as frequent as possible. The script compares result.json (without the wall time), solution.npz
and history.csv. The exit status is 1 if a bit differs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wgf.run.recorder
import wgf.run.runner
from wgf import cli

CASES = [
    "integrator=euler integrator.dt=2e-4 network=two_sided_relu network.train=weights t_end=0.2",
    "integrator=euler integrator.dt=1e-4 network=two_sided_relu network.train=biases network.width=8 t_end=0.008",
    "integrator=euler integrator.dt=2e-5 network=two_sided_relu network.train=all network.width=4 t_end=0.002 "
    "quadrature=monte_carlo quadrature.particles=2000",
    "integrator=heun integrator.dt=1e-4 network=mlp network.width=8 t_end=0.004",
    "integrator=rk4 integrator.dt=2e-4 network.width=16 t_end=0.08 dtype=float32",
    "integrator=dopri5 integrator.rtol=1e-12 integrator.atol=1e-14 network=two_sided_relu pde=linear_transport "
    "t_end=0.2",
    "integrator=dopri5 network=two_sided_relu network.train=all network.width=4 t_end=0.003",
    "integrator=dopri5 network.width=6 solver=minres t_end=0.002",
    "integrator=jko integrator.dt=5e-4 t_end=0.2",
    "integrator=jko integrator.dt=1e-3 network=two_sided_relu network.train=all network.width=6 t_end=0.1",
    "integrator=sdirk2 integrator.dt=4e-4 network=two_sided_relu t_end=0.2",
    "integrator=sdirk3 integrator.dt=1e-3 network.degree=5 pde=porous_medium potential=none t_end=0.4",
    "integrator=rodas4 integrator.rtol=1e-11 integrator.atol=1e-13 t_end=0.2",
    "integrator=rodas4 integrator.rtol=1e-9 pde=keller_segel potential=none pde.chi=1.5 network.width=16 t_end=0.3",
    "integrator=rodas4 pde=keller_segel potential=none pde.chi=4 network.width=8 t_end=1 integrator.rtol=1e-9",
    "integrator=limex network=two_sided_relu network.train=all network.width=6 t_end=0.2",
    "integrator=gauss_newton network=two_sided_relu network.train=biases network.width=6 t_end=0.02",
    "integrator=gauss_newton network=mlp network.width=6 t_end=0.05",
    "integrator=euler integrator.dt=1e-4 network=two_sided_relu network.width=4 pde=linear_transport t_end=0.1",
]


def words(case: str) -> list[str]:
    """The overrides of a case."""
    return [*case.split(), "figures=false", "logger=none", "reference_solution=none", "saves=7"]


def start(folder: Path, *arguments: str) -> int:
    """Start the command in a process without output; returns its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        os.chdir(folder)
        silence = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        wgf.run.recorder.EVERY, wgf.run.recorder.SHARE = 0.0, 1
        sys.argv = ["wgf", *arguments]
        with contextlib.redirect_stdout(io.StringIO()):
            cli.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def finish(pid: int) -> int:
    """Wait for the end of a process; returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def outputs(folder: Path) -> dict[str, Any]:
    """The files of a run that must be equal to the last bit."""
    result = json.loads((folder / "result.json").read_text())
    result.pop("wall_s")
    with np.load(folder / "solution.npz") as file:
        arrays = {name: file[name].tobytes() for name in file.files}
    return {"result": result, "history": (folder / "history.csv").read_bytes()} | arrays


def first_checkpoint(folder: Path) -> float:
    """Wait for the first checkpoint of a run; returns its time (s)."""
    while not any((folder / "checkpoints").glob("step-*.pt")):
        time.sleep(1e-3)
    return time.monotonic()


def trial(place: Path, case: str, span: float) -> tuple[str, bool] | None:
    """Kill a run and resume it.

    Returns:
        The last checkpoint before the kill, and whether the files are equal; None if the run ended before the kill.
    """
    folder = place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    pid = start(place, *words(case), "hydra.run.dir=run")
    first_checkpoint(folder)
    time.sleep(random.uniform(0, span))
    os.kill(pid, signal.SIGKILL)
    if finish(pid) != -signal.SIGKILL:
        return None
    when = max((folder / "checkpoints").glob("step-*.pt")).stem
    status = finish(start(place, "resume=run"))
    if status == 2 and (folder / "result.json").exists():  # the kill came after the last file was written
        return None
    return when, status in (0, 1) and outputs(folder) == outputs(place / "whole")


def main() -> int:
    kills, seed = map(int, [*sys.argv[1:], *["100", "0"][len(sys.argv) - 1 :]])
    random.seed(seed)
    # import now what torch imports at its first use
    torch.func.vmap(torch.func.grad(torch.dot), in_dims=(None, 0))(torch.ones(2), torch.ones(3, 2))
    places, spans = [], []
    home = Path(tempfile.mkdtemp(prefix="kill_and_resume"))
    for k, case in enumerate(CASES):
        places.append(home / str(k))
        places[-1].mkdir()
        pid = start(places[-1], *words(case), "hydra.run.dir=whole")
        begin = first_checkpoint(places[-1] / "whole")
        status = finish(pid)
        spans.append(time.monotonic() - begin)
        end = json.loads((places[-1] / "whole" / "result.json").read_text())
        print(f"{k:2} {spans[-1]:5.2f} s {end['steps']:5} steps {end['status']:10} exit {status}  {case}", flush=True)
    done = same = 0
    while done < kills:
        k = done % len(CASES)
        outcome = trial(places[k], CASES[k], spans[k])
        if outcome is None:  # it was faster than the uninterrupted run
            spans[k] *= 0.8
            continue
        done, same = done + 1, same + outcome[1]
        print(f"kill {done:3} case {k:2} {outcome[0]} {'same' if outcome[1] else 'DIFFERENT'}", flush=True)
        if not outcome[1]:
            shutil.copytree(places[k], home / f"different{done}")
    print(f"{same} of {done} identical to the last bit")
    if same == done:
        shutil.rmtree(home)
    return int(same < done)


if __name__ == "__main__":
    sys.exit(main())
