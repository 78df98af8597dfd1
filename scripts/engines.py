"""Run the same sweep of sixty jobs on every engine; compare the times, and the results to the last bit.

    pip install -e ".[slurm,ray,optuna]"
    python scripts/engines.py serial parallel slurm_local ray_local ray_cluster     # times and equality
    python scripts/engines.py optuna hparams                                     # a search, and a page of TensorBoard
    python scripts/engines.py slurm                                              # on a SLURM cluster

The exit status is 1 if a result differs from that of the first engine, if a job or a check fails, or if `parallel` is
less than 1.7 times as fast as `serial`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml

SWEEP = ["network.width=range(8,68,4)", "network.degree=1,3"]  # and two step sizes: 15 x 2 x 2
JOB = ["pde=linear_transport", "integrator=rk4", "t_end=0.05", "saves=2", "figures=false", "logger=none"]
ENGINES = {
    "serial": ["hydra/launcher=basic"],
    "ensemble": ["hydra/launcher=ensemble"],
    "parallel": ["hydra/launcher=parallel"],
    "slurm_local": ["hydra/launcher=slurm_local", f"hydra.sweeper.max_batch_size={os.cpu_count()}"],
    "slurm": ["hydra/launcher=slurm"],
    "ray_local": ["hydra/launcher=ray_local"],
    "ray_cluster": ["hydra/launcher=ray_cluster"],
}
FASTER = 1.7  # least ratio of the times of `serial` and `parallel`, on two cores
TIMES = {"wall_s"}  # columns that differ from run to run
SEARCH = ["hydra/sweeper=search", "network.width=range(4,33)", "integrator.dt=tag(log,interval(1e-4,1))"]
TRIAL = ["integrator=euler", "network.degree=1", "t_end=2", "saves=2", "figures=false", "logger=none"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="+", choices=[*ENGINES, "optuna", "hparams"])
    parser.add_argument("--out", type=Path, default=Path("multirun/engines"), help="folder of the sweeps")
    parser.add_argument("--steps", type=int, default=5000, help="steps of a job with the shorter step size")
    parser.add_argument(
        "--screenshot", type=Path, help="write a picture of the HPARAMS tab to this file (needs chromium)"
    )
    args = parser.parse_args()
    good = True
    first: tuple[str, list[dict[str, str]], float] | None = None
    took: dict[str, float] = {}
    for engine in (check for check in args.checks if check in ENGINES):
        folder = args.out / engine
        shutil.rmtree(folder, ignore_errors=True)
        with cluster() if engine == "ray_cluster" else nullcontext():
            began = time.perf_counter()
            launch(folder, *SWEEP, f"integrator.dt={0.05 / args.steps},{0.1 / args.steps}", *JOB, *ENGINES[engine])
            seconds = took[engine] = time.perf_counter() - began
        rows = results(folder)
        first = first or (engine, rows, seconds)
        same = rows == first[1]
        complete = len(rows) == 60 and all(row["status"] == "completed" for row in rows)
        good &= same and complete
        print(
            f"{engine:15} {len(rows)} jobs {'completed' if complete else 'NOT ALL COMPLETED'}, {seconds:.1f} s, "
            f"{first[2] / seconds:.2f} x {first[0]}, results {'equal' if same else 'DIFFER'}",
            flush=True,
        )
    if {"serial", "parallel"} <= took.keys() and took["serial"] < FASTER * took["parallel"]:
        print(
            f"parallel is {took['serial'] / took['parallel']:.2f} times as fast as serial: expected at least {FASTER}"
        )
        good = False
    if "optuna" in args.checks:
        good &= search(args.out / "optuna")
    if "hparams" in args.checks:
        good &= hparams(args.out / "hparams", args.screenshot)
    return 0 if good else 1


def launch(folder: Path, *words: str) -> None:
    """Run `wgf -m`; its output goes to the terminal."""
    subprocess.run([sys.executable, "-m", "wgf.cli", "-m", *words, f"hydra.sweep.dir={folder}"], check=False)


def results(folder: Path) -> list[dict[str, str]]:
    """The rows of results.csv as text, without the times; equal texts are equal bits."""
    with open(folder / "results.csv", newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in TIMES} for row in csv.DictReader(file)]


@contextmanager
def cluster() -> Iterator[None]:
    """Keep a Ray cluster running."""
    ray = Path(sys.executable).with_name("ray")
    os.environ["RAY_AUTH_MODE"] = "disabled"  # the cluster listens on this machine only
    head = [str(ray), "start", "--head", "--block", f"--port={free_port()}", "--node-ip-address=127.0.0.1"]
    more = ["--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen([*head, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while subprocess.run([str(ray), "status"], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("ray start --head did not start a cluster")
            time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def search(folder: Path) -> bool:
    """Run thirty trials over width and step size, of which long steps fail; compare the best with Optuna's report."""
    shutil.rmtree(folder, ignore_errors=True)
    launch(folder, *SEARCH, *TRIAL)
    rows = results(folder)
    values = [
        math.prod(float(row[name]) for name in ("w1_error", "evaluations", "parameters"))
        if row["status"] == "completed"
        else math.inf
        for row in rows
    ]
    best = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    failed = sum(value == math.inf for value in values)
    good = len(rows) == 30 and 0 < failed < 30 and math.isclose(min(values), best["best_value"], rel_tol=1e-12)
    print(
        f"optuna          {len(rows)} trials, {failed} failed, best {best['best_value']:.4g} at {best['best_params']}"
    )
    return good


def hparams(folder: Path, screenshot: Path | None) -> bool:
    """Ask TensorBoard for its HPARAMS table of a sweep: a row for each job, a column for each axis and metric."""
    shutil.rmtree(folder, ignore_errors=True)
    launch(folder, *SWEEP, "integrator.dt=1e-4,2e-4", *JOB, "logger=tensorboard")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    page = f"http://127.0.0.1:{port}"
    try:
        experiment: dict[str, Any] = {}
        groups: list[dict[str, Any]] = []
        deadline = time.monotonic() + 180
        while len(groups) < 60 and time.monotonic() < deadline:  # TensorBoard reads the runs one after the other
            time.sleep(2)
            try:
                experiment = ask(f"{page}/data/plugin/hparams/experiment", {"experimentName": ""})
                wanted = {
                    "experimentName": "",
                    "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
                    "colParams": [{"metric": metric["name"]} for metric in experiment["metricInfos"]],
                    "startIndex": 0,
                    "sliceSize": 1000,
                }
                groups = ask(f"{page}/data/plugin/hparams/session_groups", wanted)["sessionGroups"]
            except (OSError, KeyError):
                continue
        axes = [column["name"] for column in experiment.get("hparamInfos", [])]
        metrics = [metric["name"]["tag"] for metric in experiment.get("metricInfos", [])]
        full = sum(
            set(axes) <= set(group["hparams"])
            and {value["name"]["tag"] for value in group["metricValues"]} == set(metrics)
            for group in groups
        )
        print(f"hparams         {len(groups)} rows, {full} with all of {axes} and {metrics}")
        if screenshot is not None:
            photograph(f"{page}/#hparams", screenshot)
        return len(groups) == full == 60
    finally:
        server.terminate()
        server.wait(30)


def ask(address: str, content: dict[str, Any]) -> dict[str, Any]:
    """The answer, JSON, to a POST request with JSON."""
    request = urllib.request.Request(
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def photograph(address: str, file: Path) -> None:
    """Write a PNG of a page."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --disable-software-rasterizer --window-size=1400,900"
    profile = f"--user-data-dir={file.parent / 'chromium-profile'}"
    browser = ["chromium", *flags.split(), *more.split(), profile, "--virtual-time-budget=20000"]
    subprocess.run([*browser, f"--screenshot={file}", address], check=True, capture_output=True, timeout=180)


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
