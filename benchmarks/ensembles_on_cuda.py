"""Flows per minute of ensembles on a GPU, beside those of the machine code on all cores.

    python benchmarks/ensembles_on_cuda.py [device]

prints a line for each number of flows, in wall time with set-up and transfers, how many times as long gradients of a
quantile in all numbers take, and the W1 errors of the steps.
"""

import itertools
import os
import sys
import time

import numpy as np
import torch
from compiled import FINER, RTOL, errors_of_steps, quartic_family
from gradients import ensemble

import wgf

COUNTS = (256, 1024, 4096, 16384, 65536)
DIFFERENTIATED = "quartic", "six numbers", "porous_medium"
CHECKED = 256  # flows that are computed with finer steps, too
REPEATS = 3


def quartic(count: int, device: str) -> wgf.Ensemble:
    """Flows of the family that `compiled.py` times on one core."""
    return quartic_family(count, RTOL, device=device)


def keller_segel(count: int, device: str) -> wgf.Ensemble:
    """Flows with a logarithmic interaction."""
    chi = np.linspace(0.2, 0.9, count)
    network = wgf.Spline(26, 5, 4.75, base=wgf.Gaussian())
    return wgf.ensemble(
        wgf.KellerSegel(), {"chi": chi}, t_end=0.2, network=network, integrator=wgf.Rodas4(1e-3, 0.0), device=device
    )


def seconds_of(compute, count: int, device: str) -> float:
    """Shortest time of some calls, after one that loads and compiles."""
    compute(min(count, CHECKED), device)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        compute(count, device)
        times.append(time.perf_counter() - start)
    return min(times)


def line(name: str, count: int, device: str, seconds: float) -> None:
    print(f"{name}, {count} flows, {device}: {seconds:.3g} s, {60 * count / seconds:,.0f} flows per minute", flush=True)


def main(device: str) -> None:
    cores = f"cpu ({os.cpu_count()} cores)"
    for count in COUNTS:
        line("quartic", count, device, seconds_of(quartic, count, device))
    line("quartic", COUNTS[2], cores, seconds_of(quartic, COUNTS[2], "cpu"))
    for where, name in ((device, device), ("cpu", cores)):
        line("Keller-Segel", COUNTS[0], name, seconds_of(keller_segel, COUNTS[0], where))
    for name, count in itertools.product(DIFFERENTIATED, COUNTS[2:]):
        flow, gradient = (
            seconds_of(lambda n, on, name=name, g=g: ensemble(name, g, n, threads=None, device=on), count, device)
            for g in (False, True)
        )
        print(
            f"{name}, {count} flows, {device}: {gradient:.3g} s with gradients, {gradient / flow:.1f} times the flows"
        )
    flows, known = quartic(CHECKED, device), quartic(CHECKED, "cpu")
    error = errors_of_steps(flows, quartic_family(CHECKED, FINER))
    print(f"W1 error of the steps: {np.median(error):.1e} (median), {error.max():.1e} (largest)")
    print(f"largest difference to the machine code: {np.abs(flows.coordinates - known.coordinates).max():.1e}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "cuda" if torch.cuda.is_available() else "cpu")
