"""Gradients of single flows: the flow by the compiled engine, with its gradient, and the same by torch.

    OMP_NUM_THREADS=1 python benchmarks/gradients.py

prints processor times of one thread for whole calls of `wgf.solve`, medians of interleaved repetitions after a first
one, and ratios to the flow. The gradient is that of a quantile in two numbers.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import wgf

REPEATS, BY_TORCH = 101, 5  # repetitions in machine code, and by torch
T_END = 0.2
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


def seconds(call: Callable[[], object]) -> float:
    start = time.thread_time()
    call()
    return time.thread_time() - start


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


if __name__ == "__main__":
    main()
