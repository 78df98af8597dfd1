"""Write docs/results.md and its figures: the experiments of the paper, observed orders, quasi-optimality.

    python scripts/results.py          run everything in a temporary folder
    python scripts/results.py DIR      keep the runs in DIR and run only those that are missing there

The exit status is 1 if it takes longer than 15 minutes.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from results_figures import draw_density, draw_map, moment_figure, panels, width_figure
from results_tables import (
    PAPER,
    error,
    experiments,
    fitted_order,
    markdown,
    moments,
    orders,
    particles,
    pick,
    published,
    ratios,
    steps,
    with_order,
)

from wgf.figures.style import encoded
from wgf.sweep import study
from wgf.sweep.study import Study

DOCS = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("results_page.md")
WIDE = "network.bound=4,10 network.width=4,8,16,32,64,128 certificate=none"
NARROW = "network.bound=4,10 network.width=4,8,16,32 certificate=none"
IN_TURN = f"network=two_sided_relu network.train=alternating integrator=alternating integrator.strict=false {WIDE}"


def paper(*names: str) -> str:
    """The override that chooses experiments of the paper."""
    return "experiment=" + ",".join(f"paper/{name}" for name in names)


QUARTIC, SEXTIC = (tuple(name for name in PAPER if name.endswith(end)) for end in ("quartic", "sextic"))
KELLER_SEGEL = tuple(name for name in PAPER if name.startswith("keller"))
AFFINE = tuple(name for name in PAPER if name.endswith(("quadratic", "barenblatt")))
GRID = {  # every cell of the paper's experiments; steps in turn are twice the paper's step: one half for each part
    "default": f"{paper(*PAPER)} network=two_sided_relu network.train=weights,all network.start=auto integrator=auto "
    f"integrator.dt=null {WIDE}",
    "biases_only": f"{paper(*PAPER)} network=two_sided_relu network.train=biases integrator=euler "
    f"integrator.strict=false {WIDE}",
    "in_turn_affine": f"{paper(*AFFINE)} {IN_TURN} integrator.dt=2e-3",
    "in_turn_sextic": f"{paper(*SEXTIC)} {IN_TURN} integrator.dt=2e-6",
    "in_turn_quartic": f"{paper(*QUARTIC)} {IN_TURN} integrator.dt=4e-4",
    "in_turn_keller_segel": f"{paper(*KELLER_SEGEL)} {IN_TURN} integrator.dt=6e-4",
}
OWN = {
    "own": f"{paper(*QUARTIC, *SEXTIC)} network=two_sided_relu network.train=all integrator=euler "
    f"integrator.strict=false solver=truncated {NARROW}",
}
STUDIES = {
    **GRID,
    **OWN,
    "biases": "experiment=transport_quartic network=two_sided_relu network.train=biases integrator=dopri5 "
    "integrator.rtol=1e-6 network.width=8,16,32 t_end=0.02",
    "degrees": "experiment=fokker_planck_quartic network.degree=1,2,3,4,5 network.width=16,32,64 network.bound=4.5 "
    "integrator.rtol=1e-9",
    "time": "experiment=ornstein_uhlenbeck network.width=4 integrator=euler,heun,rk4,jko,sdirk2,sdirk3 "
    "integrator.dt=0.05,0.025,0.0125",
    "particles": "experiment=fokker_planck_quartic network.width=16 network.bound=3 quadrature=monte_carlo "
    "quadrature.particles=10000,100000,1000000 seed=0,1,2 integrator.rtol=1e-5",
    "cells": "experiment=fokker_planck_quartic network.width=16 network.bound=3 integrator.rtol=1e-5",
    "single": "experiment=paper/transport_quartic network.width=16,32,64 network.bound=4 network.train=weights "
    "dtype=float32,float64",
    "folded": "experiment=paper/transport_quartic network.width=4 network.bound=4 network.train=weights "
    "solver=truncated integrator.strict=false",
    "moments": "experiment=keller_segel_subcritical,keller_segel_supercritical network.width=8,32",
}
LONGEST = 900.0  # longest time allowed (s)
CORES = 2


def command(name: str) -> str:
    """The command of a study."""
    return f"wgf-study {STUDIES[name]}"


def run_studies(root: Path) -> dict[str, Study]:
    """Run the command of every study, without TensorBoard and figures; two jobs at once, one thread each."""
    studies, start = {}, time.perf_counter()
    for name, overrides in STUDIES.items():
        folder, before = root / name, computing()
        words = [sys.executable, "-m", "wgf.sweep.study", *overrides.split(), "logger=none", "figures=false"]
        words += [f"hydra.launcher.n_jobs={CORES}", f"hydra.sweep.dir={folder}"]
        code = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        if code not in (0, 1):  # 1: a run ended early; its row states the reason
            sys.exit(f"{command(name)} ended with status {code}")
        studies[name] = study.read(folder)
        print(f"{time.perf_counter() - start:6.0f} s, {computing() - before:5.0f} s computed: {name}", flush=True)
    return studies


def computing() -> float:
    """Processor time of all finished child processes (s)."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def page(studies: dict[str, Study], root: Path) -> str:
    """The content of docs/results.md."""

    def rate(name: str, train: str) -> str:
        def wide(row: study.Row) -> bool:
            return row["network.train"] == train and row["network.bound"] == "4" and int(row["network.width"]) >= 32

        return f"{fitted_order(studies[name], wide):.2f}"

    degree = [fitted_order(studies["degrees"], lambda row, k=k: row["network.degree"] == k) for k in "12345"]
    single = {
        (w, d): pick(studies["single"], width=w, dtype=d)["w1_error"]
        for w in (16, 32, 64)
        for d in ("float32", "float64")
    }
    numbers = {
        "computing": f"{sum(row['wall_s'] or 0 for found in studies.values() for row in found.rows):.0f}",
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), torch {version('torch')}",
        "nine_commands": "\n".join(f"    {command(name)}" for name in PAPER),
        "bound_4": experiments(studies, 4),
        "bound_10": experiments(studies, 10),
        "own_commands": "\n".join(
            f"    {command(name)}"
            for name in STUDIES
            if name not in PAPER and name.startswith(("transport_", "fokker_"))
        ),
        "steps": steps(studies, root),
        "published": published(studies, root),
        "moments": moments(studies, root),
        "ratios": ratios(studies),
        "rates": markdown(
            ["fitted from m = 32 on, B = 4", "weights", "all"],
            [
                [PAPER[name], rate(name, "weights"), rate(name, "all")]
                for name in ("transport_sextic", "transport_quartic", "fokker_planck_sextic", "fokker_planck_quartic")
            ],
        ),
        "biases": orders(studies["biases"], with_order("width"), "network.width", ("8", "16", "32"), ""),
        "early": f"{fitted_order(studies['biases']):.2f}",
        "late": f"{fitted_order(studies['transport_quartic_biases'], lambda row: row['network.bound'] == '4'):.2f}",
        "degrees": orders(studies["degrees"], with_order("width"), "network.width", ("16", "32", "64"), ""),
        "degree_orders": ", ".join(f"{each:.2f}" for each in degree),
        "time": orders(studies["time"], with_order("dt"), "integrator.dt", ("0.05", "0.025", "0.0125"), ""),
        "particles": particles(studies),
        "apart": f"{max(abs(single[w, 'float32'] - single[w, 'float64']) for w in (16, 32, 64)):.0e}",
        "exact": error(studies["cells"].rows[0]),
    }
    commands = {f"{name}_command": command(name) for name in STUDIES}
    return TEMPLATE.read_text(encoding="utf-8").format(**numbers, **commands)


def main() -> int:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        root = Path(sys.argv[1] if len(sys.argv) > 1 else place)
        studies = run_studies(root)
        figures = {
            "width": width_figure(studies),
            "density": panels(root, studies, draw_density, "position $x$", r"density $\rho$"),
            "map": panels(root, studies, draw_map, "start $z$", "position $T(t, z)$"),
            "moments": moment_figure(root, studies),
        }
        for name, figure in figures.items():
            (DOCS / "images" / f"results_{name}.png").write_bytes(encoded(figure, "png"))
        seconds = time.perf_counter() - start
        (DOCS / "results.md").write_text(page(studies, root), encoding="utf-8")
    print(f"{seconds:6.1f} s  in all, {LONGEST:.0f} s allowed")
    return int(seconds > LONGEST)


if __name__ == "__main__":
    sys.exit(main())
