"""The first compile of machine code, which happens once per machine.

    OMP_NUM_THREADS=1 python benchmarks/first_compile.py

prints processor times of a first flow, of its gradient and of a first ensemble, each in a process of its own that finds
no code on the disk. They include what a process loads of numba.
"""

import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from typing import Any

import torch

import wgf

T_END = 0.2
EQUATIONS: dict[str, tuple[Callable[[Any], wgf.PDE], dict[str, Any]]] = {
    "quartic potential": (wgf.FokkerPlanck, {"potential": "x**4/4 - x**2/2"}),
    "pairs (Keller-Segel)": (lambda d: wgf.KellerSegel(0.5, d), {}),
}


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def one_flow(name: str) -> None:
    """Print the times of the first flow and of the first gradient."""
    equation, settings = EQUATIONS[name]
    d = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    solve: Any = wgf.solve  # loads wgf
    forth, flow = seconds(lambda: solve(equation(d), t_end=T_END, saves=1, engine="compiled", **settings))
    back, _ = seconds(lambda: flow.differentiable().quantile(0.9).backward())
    print(f"{name}: {forth:.1f} s, the way back {back:.1f} s", flush=True)


def ensemble() -> None:
    """Print the time of the first ensemble."""
    _, settings = EQUATIONS["quartic potential"]
    solve: Any = wgf.ensemble
    several, _ = seconds(lambda: solve(wgf.FokkerPlanck(), {"diffusion": [0.7, 0.8]}, t_end=T_END, **settings))
    print(f"ensemble: {several:.1f} s", flush=True)


if __name__ == "__main__":
    for call, args in [(one_flow, (name,)) for name in EQUATIONS] + [(ensemble, ())]:
        with TemporaryDirectory() as folder:
            os.environ["NUMBA_CACHE_DIR"] = folder
            process = get_context("spawn").Process(target=call, args=args)
            process.start()
            process.join()
