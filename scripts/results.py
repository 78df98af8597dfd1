"""Write docs/results.md and its figures: the experiments of the paper, observed orders, quasi-optimality.

    python scripts/results.py          run everything in a temporary folder
    python scripts/results.py DIR      keep the runs in DIR and run only those that are missing there

The exit status is 1 if it takes longer than 15 minutes.
"""

from __future__ import annotations

import math
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from results_figures import draw_density, draw_map, moment_figure, panels, width_figure
from results_tables import (
    AFFINE,
    NOTEBOOK,
    PAPER,
    WIDTHS,
    Cells,
    cells,
    error,
    experiments,
    fitted_order,
    markdown,
    moments,
    orders,
    own_steps,
    particles,
    pick,
    published,
    ratios,
    shares,
    stopped,
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
SHORTER = {  # cells that fold with the step of the paper, because it lets two knots meet
    f"shorter_{train}": f"{paper('fokker_planck_sextic')} network=two_sided_relu network.train={train} "
    f"integrator={method} integrator.strict=false network.bound=4 network.width={width} certificate=none "
    f"integrator.dt={dt}"
    for train, method, width, dt in (("biases", "euler", 4, "2e-7"), ("alternating", "alternating", 16, "1e-6"))
}
OWN = {
    "own": f"{paper(*QUARTIC, *SEXTIC)} network=two_sided_relu network.train=all integrator=euler "
    f"integrator.strict=false solver=truncated {NARROW}",
}
STUDIES = {
    **GRID,
    **SHORTER,
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


def grid(studies: dict[str, Study]) -> Cells:
    """Runs of every cell of the paper's experiments; those with shorter steps carry a mark."""
    shorter = cells(*(studies[name] for name in SHORTER))
    return cells(*(studies[name] for name in GRID)) | {key: row | {"mark": " (s)"} for key, row in shorter.items()}


def computing() -> float:
    """Processor time of all finished child processes (s)."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def page(studies: dict[str, Study], computed: float) -> str:
    """The content of docs/results.md."""
    found, own = grid(studies), cells(studies["own"])

    def rate(name: str, train: str, widths: Iterable[int] = (32, 64, 128)) -> str:
        return f"{fitted_order(found[name, train, 4, w] for w in widths):.2f}"

    degree = [fitted_order(row for row in studies["degrees"].rows if row["network.degree"] == k) for k in "12345"]
    single = {
        (w, d): pick(studies["single"], width=w, dtype=d)["w1_error"]
        for w in (16, 32, 64)
        for d in ("float32", "float64")
    }
    ours, theirs = (found["fokker_planck_quartic", "weights", 4, w]["w1_error"] for w in (4, 8, 16)), NOTEBOOK[5][5]
    closer = [e / error for e, error in zip(theirs, ours, strict=False)]
    numbers = {
        "computing": f"{computed / 60:.0f} minutes of processor time",
        "machine": f"{CORES} cores ({platform.machine()}), torch {version('torch')}",
        "grid_commands": "\n".join(f"    {command(name)}" for name in (*GRID, *SHORTER)),
        "bound_4": experiments(found, 4),
        "bound_10": experiments(found, 10),
        "stopped": stopped(found),
        "shares": shares(found),
        "own_steps": own_steps(own),
        "published": published(found, own),
        "moments": moments(found, studies["moments"]),
        "ratios": ratios(found),
        "rates": markdown(
            ["fitted from m = 32 on, B = 4", "weights", "all"],
            [[PAPER[name], rate(name, "weights"), rate(name, "all")] for name in PAPER if name not in AFFINE],
        ),
        "biases": orders(studies["biases"], with_order("width"), "network.width", ("8", "16", "32"), ""),
        "early": f"{fitted_order(studies['biases'].rows):.2f}",
        "late": rate("transport_quartic", "biases", WIDTHS),
        "degrees": orders(studies["degrees"], with_order("width"), "network.width", ("16", "32", "64"), ""),
        "degree_orders": ", ".join(f"{each:.2f}" for each in degree),
        "time": orders(studies["time"], with_order("dt"), "integrator.dt", ("0.05", "0.025", "0.0125"), ""),
        "particles": particles(studies),
        "apart": f"{max(abs(single[w, 'float32'] - single[w, 'float64']) for w in (16, 32, 64)):.0e}",
        "exact": error(studies["cells"].rows[0]),
        "folded": f"{math.log(studies['folded'].rows[0]['w1_error']):.3f}",
        "closer": f"{min(closer):.2f} to {max(closer):.2f}",
    }
    commands = {f"{name}_command": command(name) for name in STUDIES}
    return TEMPLATE.read_text(encoding="utf-8").format(**numbers, **commands)


def main() -> int:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        studies = run_studies(Path(sys.argv[1] if len(sys.argv) > 1 else place))
        found = grid(studies)
        figures = {
            "width": width_figure(found, studies["degrees"]),
            "density": panels(found, draw_density, "position $x$", r"density $\rho$"),
            "map": panels(found, draw_map, "start $z$", "position $T(t, z)$"),
            "moments": moment_figure(found),
        }
        for name, figure in figures.items():
            (DOCS / "images" / f"results_{name}.png").write_bytes(encoded(figure, "png"))
        (DOCS / "results.md").write_text(page(studies, computing()), encoding="utf-8")
    seconds = time.perf_counter() - start
    print(f"{seconds:.0f} s in all, {computing():.0f} s computed; {LONGEST:.0f} s allowed")
    return int(seconds > LONGEST)


if __name__ == "__main__":
    sys.exit(main())
