"""The compiled engine: flows per minute of an ensemble, and large steps.

    OMP_NUM_THREADS=1 python benchmarks/compiled.py

prints processor times of one thread, the gain by a second one, which needs a quiet machine, and the memory of a process
for each size. Compiling, once per machine, is not counted.
"""

import resource
import time
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

import wgf
from wgf.engine.compiled import Compiled, run
from wgf.integrators.time_loop import LoopCallback

FLOWS, WIDTH, DEGREE, BOUND = 2000, 36, 4, 4.25
RANGES = {"diffusion": (0.5, 1.5), "a": (0.5, 1.5), "b": (0.5, 1.5), "c": (-1, 1), "shift": (-0.5, 0.5)}
RANGES |= {"scale": (0.7, 1.3)}
RTOL, FINER = 1e-3, 1e-7  # of the flows, and of those that judge them
CALLS = 8  # of each number of threads
LARGE = (1_000, 10_000, 100_000, 1_000_000)  # breakpoints


def quartic_family(count: int, rtol: float, **options: Any) -> wgf.Ensemble:
    """Flows in random quartic potentials from random Gaussians."""
    r = np.random.default_rng(0)
    return wgf.ensemble(
        wgf.FokkerPlanck(),
        {name: r.uniform(*ends, count) for name, ends in RANGES.items()},
        potential="a*x**4/4 - b*x**2/2 + c*x",
        t_end=0.2,
        network=wgf.Spline(WIDTH, DEGREE, BOUND, base=wgf.Gaussian()),
        integrator=wgf.Rodas4(rtol, 0.0, 0.002),
        **options,
    )


def errors_of_steps(flows: wgf.Ensemble, finer: wgf.Ensemble) -> np.ndarray:
    """W1 distances [n] (length) to flows with finer steps."""
    z = flows.z.numpy()
    return np.abs(flows.map(None, z) - finer.map(None, z)) @ flows.w


def many_flows() -> None:
    """Print the flows per minute of the family on one core."""
    quartic_family(FLOWS, RTOL, threads=1)
    start = time.process_time()
    flows = quartic_family(FLOWS, RTOL, threads=1)
    seconds = time.process_time() - start
    error = float(np.median(errors_of_steps(flows, quartic_family(FLOWS, FINER, threads=1))))
    print(f"ensemble: {60 * FLOWS / seconds:.0f} flows per minute, W1 error of the steps {error:.0e} (median)")


def two_threads() -> None:
    """Print how many times as many flows two threads compute in the same time, by the shortest of several calls."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(CALLS):
        for threads, known in seconds.items():
            start = time.perf_counter()
            quartic_family(2 * FLOWS, RTOL, threads=threads)
            known.append(time.perf_counter() - start)
    one, two = map(min, seconds.values())
    print(f"two threads: {120 * FLOWS / two:.0f} flows per minute, {one / two:.2f} times as many as one")


def large_step(m: int) -> None:
    """Print the time of one accepted step at m breakpoints, and the peak memory of this process."""
    torch.set_num_threads(1)
    network = wgf.Spline(m, 3, base=wgf.Gaussian())
    problem = wgf.FokkerPlanck().problem(network.base, wgf.potentials.Quartic(1.0), wgf.interactions.Zero(), 1.0)
    start = time.thread_time()
    projection = wgf.Projection(problem, network, wgf.Gauss(4), wgf.Auto())
    method = Compiled(wgf.Rodas4(1.0, 1.0, 1e-4))
    method.plan(projection)
    set_up = time.thread_time() - start
    seconds = []
    for steps in (1, 1, 4):  # the first run touches the memory
        start = time.thread_time()
        run(projection, method, network.theta.detach(), [1e-4 * (k + 1) for k in range(steps)], LoopCallback())
        seconds.append(time.thread_time() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    step = (seconds[2] - seconds[1]) / 3
    print(f"m = {m}: a step {1e3 * step:.3g} ms, set-up {set_up:.2g} s, peak memory {memory:.2f} GB", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    many_flows()
    two_threads()
    for breakpoints in LARGE:
        process = get_context("spawn").Process(target=large_step, args=(breakpoints,))
        process.start()
        process.join()
