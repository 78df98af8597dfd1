"""Gradients: of single flows by the compiled engine and by torch, and of ensembles.

    OMP_NUM_THREADS=1 python benchmarks/gradients.py

prints processor times of one thread for whole calls of `wgf.solve`, medians of interleaved repetitions after a first
one, and ratios to the flow. The gradient is that of a quantile in two numbers. For an ensemble the times are those of
one of its flows, all of which have numbers of their own, and the processor time is that of the process.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import wgf

REPEATS, BY_TORCH = 101, 5  # repetitions in machine code, and by torch
T_END = 0.2
ENSEMBLES: dict[str, tuple[int, wgf.PDE, str, dict[str, Any]]] = {  # flows, equation, names of the numbers
    "quartic": (1024, wgf.FokkerPlanck(), "diffusion a", {"potential": "a*x**4/4 - x**2/2"}),
    "six numbers": (
        1024,
        wgf.FokkerPlanck(),
        "diffusion a b c shift scale",
        {"potential": "a*x**4/4 - b*x**2/2 + c*x"},
    ),
    "porous_medium": (1024, wgf.PorousMedium(2.0), "diffusion a", {"potential": "a*x**2/2"}),
    "keller_segel": (64, wgf.KellerSegel(), "diffusion chi", {}),
}
Number = float | torch.Tensor


def quartic(d: Number, a: Number) -> tuple[wgf.PDE, dict[str, Any]]:
    return wgf.FokkerPlanck(d), {"potential": wgf.potentials.Expressed("a*x**4/4 - x**2/2", a=a)}  # type: ignore[arg-type]


def porous_medium(d: Number, a: Number) -> tuple[wgf.PDE, dict[str, Any]]:
    return wgf.PorousMedium(2.0, d), {"potential": wgf.potentials.Expressed("a*x**2/2", a=a)}  # type: ignore[arg-type]


def keller_segel(d: Number, a: Number) -> tuple[wgf.PDE, dict[str, Any]]:
    return wgf.KellerSegel(a, d), {}  # type: ignore[arg-type]


Problem = Callable[[Number, Number], tuple[wgf.PDE, dict[str, Any]]]


def solved(problem: Problem, engine: str, numbers: tuple[Number, Number]) -> wgf.Flow:
    pde, settings = problem(*numbers)
    return wgf.solve(pde, t_end=T_END, saves=1, engine=engine, reference_solution="none", **settings)


def gradient(problem: Problem, engine: str) -> wgf.Flow:
    """A flow whose quantile has been differentiated."""
    d, a = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, 0.9))
    flow = solved(problem, engine, (d, a))
    flow.differentiable().quantile(0.9).backward()
    return flow


def ensemble(name: str, grad: bool, count: int | None = None, **options: Any) -> wgf.Ensemble:
    """Flows, whose quantiles have been differentiated."""
    n, pde, names, settings = ENSEMBLES[name]
    n = count or n
    draw = torch.Generator().manual_seed(0)
    numbers = [0.5 + 0.4 * torch.rand(n, generator=draw, dtype=torch.float64) for _ in names.split()]
    parameters = {name: number.requires_grad_(grad) for name, number in zip(names.split(), numbers, strict=True)}
    flows = wgf.ensemble(pde, parameters, t_end=T_END, **({"threads": 1} | options), **settings)
    if grad:
        flows.differentiable().quantile(0.9).sum().backward()
    return flows


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    start = clock()
    call()
    return clock() - start


def main() -> None:
    print("problem          steps      flow   with gradient   by torch")
    for problem in (quartic, porous_medium, keller_segel):
        calls = [
            lambda problem=problem: solved(problem, "compiled", (0.7, 0.9)),
            lambda problem=problem: gradient(problem, "compiled"),
            lambda problem=problem: gradient(problem, "torch"),
        ]
        steps = calls[1]().clock.steps
        times: list[list[float]] = [[], [], []]
        for k in range(-1, REPEATS):
            for call, found in zip(calls, times, strict=True):
                if call is not calls[2] or k < BY_TORCH:
                    found += [seconds(call)][: k >= 0]
        flow, ours, by_torch = map(median, times)
        print(
            f"{problem.__name__:15s} {steps:5d} {1e3 * flow:6.2f} ms {1e3 * ours:6.2f} ms ({ours / flow:3.1f})"
            f" {1e3 * by_torch:6.0f} ms ({by_torch / flow:.0f})"
        )
    print("ensemble         steps      flow   with gradient")
    for name, (n, *_) in ENSEMBLES.items():
        steps = ensemble(name, False).steps.mean()
        found = [[seconds(lambda: ensemble(name, g), time.process_time) for g in (False, True)] for _ in range(5)]  # noqa: B023
        flow, ours = (median(each) / n for each in zip(*found, strict=True))
        print(f"{name:15s} {steps:5.1f} {1e3 * flow:6.2f} ms {1e3 * ours:6.2f} ms ({ours / flow:3.1f})")


if __name__ == "__main__":
    main()
