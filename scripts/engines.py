"""The same sweep of sixty jobs through every engine: how long it takes, and whether the figures are the same bits.

    pip install -e ".[slurm,ray,optuna]"
    python scripts/engines.py serial parallel slurm_local ray_local ray_cluster     # times and equality
    python scripts/engines.py optuna hparams                                     # a search, and a page of TensorBoard
    python scripts/engines.py slurm                                              # where there is a cluster

Every engine is started for real. Exit status 1 when figures differ from those of the first engine, a check fails, or
`parallel` is less than 1.7 times as fast as `serial`.
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
from contextlib import contextmanager
from pathlib import Path

import yaml

SWEEP = ["network.width=range(8,68,4)", "network.degree=1,3"]  # and two step sizes: 15 x 2 x 2
JOB = ["pde=linear_transport", "integrator=rk4", "t_end=0.05", "saves=2", "figures=false", "logger=none"]
ENGINES = {
    "serial": ["hydra/launcher=basic"],
    "parallel": ["hydra/launcher=parallel"],
    "slurm_local": ["hydra/launcher=slurm_local", f"hydra.sweeper.max_batch_size={os.cpu_count()}"],
    "slurm": ["hydra/launcher=slurm"],
    "ray_local": ["hydra/launcher=ray_local"],
    "ray_cluster": ["hydra/launcher=ray_cluster"],
}
FASTER = 1.7  # times: what processes on two cores must gain over one
TIMES = {"wall_s"}  # columns that no two runs share
SEARCH = ["hydra/sweeper=search", "network.width=range(4,33)", "integrator.dt=tag(log,interval(1e-4,1))"]
TRIAL = ["integrator=euler", "network.degree=1", "t_end=2", "saves=2", "figures=false", "logger=none"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="+", choices=[*ENGINES, "optuna", "hparams"])
    parser.add_argument("--out", type=Path, default=Path("multirun/engines"), help="where the sweeps go")
    parser.add_argument("--steps", type=int, default=5000, help="of a job with short steps: how long it takes")
    parser.add_argument("--screenshot", type=Path, help="of the HPARAMS tab, by chromium")
    args = parser.parse_args()
    good = True
    first: tuple[str, list[dict[str, str]], float] | None = None
    took: dict[str, float] = {}
    for engine in (check for check in args.checks if check in ENGINES):
        folder = args.out / engine
        shutil.rmtree(folder, ignore_errors=True)
        with cluster() if engine == "ray_cluster" else nothing():
            began = time.perf_counter()
            launch(folder, *SWEEP, f"integrator.dt={0.05 / args.steps},{0.1 / args.steps}", *JOB, *ENGINES[engine])
            seconds = took[engine] = time.perf_counter() - began
        found = figures(folder)
        first = first or (engine, found, seconds)
        same = found == first[1]
        complete = len(found) == 60 and all(row["status"] == "completed" for row in found)
        good &= same and complete
        print(
            f"{engine:15} {len(found)} jobs {'completed' if complete else 'NOT ALL COMPLETED'}, {seconds:.1f} s, "
            f"{first[2] / seconds:.2f} x {first[0]}, figures {'equal' if same else 'DIFFER'}",
            flush=True,
        )
    if {"serial", "parallel"} <= took.keys() and took["serial"] < FASTER * took["parallel"]:
        print(f"parallel is {took['serial'] / took['parallel']:.2f} times as fast as serial: less than {FASTER}")
        good = False
    if "optuna" in args.checks:
        good &= search(args.out / "optuna")
    if "hparams" in args.checks:
        good &= hparams(args.out / "hparams", args.screenshot)
    return 0 if good else 1


def launch(folder: Path, *words: str) -> None:
    """wgf -m, with its lines on the terminal."""
    subprocess.run([sys.executable, "-m", "wgf.cli", "-m", *words, f"hydra.sweep.dir={folder}"], check=False)


def figures(folder: Path) -> list[dict[str, str]]:
    """Every row of results.csv, as text: equal texts are equal bits."""
    with open(folder / "results.csv", newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in TIMES} for row in csv.DictReader(file)]


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def cluster() -> Iterator[None]:
    """A Ray cluster which runs before and after the sweep."""
    ray = Path(sys.executable).with_name("ray")
    os.environ["RAY_AUTH_MODE"] = "disabled"  # it listens on this machine only
    head = [str(ray), "start", "--head", "--block", f"--port={free_port()}", "--node-ip-address=127.0.0.1"]
    more = ["--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen([*head, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        patience = time.monotonic() + 120
        while subprocess.run([str(ray), "status"], capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > patience:
                raise RuntimeError("ray start --head did not start a cluster")
            time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def search(folder: Path) -> bool:
    """Thirty trials over width and step size, of which the long steps fail; the best is what Optuna reports."""
    shutil.rmtree(folder, ignore_errors=True)
    launch(folder, *SEARCH, *TRIAL)
    rows = figures(folder)
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
    """What TensorBoard itself makes of a sweep: a row per job, a column per axis and metric."""
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
        experiment, groups = {}, []
        patience = time.monotonic() + 180
        while len(groups) < 60 and time.monotonic() < patience:  # it reads the runs one after the other
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


def ask(address: str, content: dict) -> dict:
    request = urllib.request.Request(
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def photograph(address: str, file: Path) -> None:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = "--disable-component-update --disable-sync --disable-software-rasterizer --window-size=1400,900"
    profile = f"--user-data-dir={file.parent / 'chromium-profile'}"
    browser = ["chromium", *flags.split(), *more.split(), profile, "--virtual-time-budget=20000"]
    subprocess.run([*browser, f"--screenshot={file}", address], check=True, capture_output=True, timeout=180)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
