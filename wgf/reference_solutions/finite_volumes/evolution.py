"""Integration of the finite volumes in time.

Linear equations are integrated exactly or by steps of high order, all others by a stiff method.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import scipy  # its modules are loaded when they are first used

from wgf.reference_solutions.base import Unresolved
from wgf.reference_solutions.finite_volumes.schemes import product

NODES = 16  # of the upper half of a parabola
EVALUATIONS = 20_000  # of the field on one grid
ABSOLUTE = 1e-12  # tolerance in time of masses up to 1: the same from the left and from the right
STAGES = 6  # even: the poles are conjugate pairs
HALVED = 1e-9  # by which halving a step may change a mass; the error of the halves is less by 2^-11 in the limit
STEPS = 600  # on one grid
EQUAL = 1e-12  # relative difference of steps that are the same

Field = Callable[[float, np.ndarray], np.ndarray]


def integrate(
    function: Field,
    jacobian: Field,
    y: np.ndarray,
    times: np.ndarray,
    relative: float,
    absolute: float,
    reach: int,
    stretches: Sequence[tuple[float, float]] = ((math.inf, math.inf),),
    left: int = EVALUATIONS,
) -> tuple[np.ndarray, int]:
    """y [n] at the times [k, n], by backward differentiation formulas of variable order, and the evaluations it took.

    Args:
        function, jacobian: of (t, y); the Jacobian by its bands, J[i, j] at [reach + i - j, j].
        y: at t = 0.
        relative, absolute: tolerances.
        reach: bands of the Jacobian on either side.
        stretches: their ends, increasing, and the longest step in each (time).
        left: evaluations of the function that it may cost.
    """

    used = 0

    def counted(t: float, y: np.ndarray) -> np.ndarray:
        nonlocal used
        used += 1
        return function(t, y) if used < left else np.full_like(y, np.nan)

    bands = {"with_jacobian": True, "lband": reach, "uband": reach}
    limits = {"rtol": relative, "atol": absolute, "nsteps": EVALUATIONS}
    rows, begin = [], 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failure is told by `successful`
        for end, longest in stretches:
            solver = scipy.integrate.ode(counted, jacobian)
            limits["max_step"] = longest if math.isfinite(longest) else 0.0  # 0: there is no limit
            solver.set_integrator("vode", method="bdf", **bands, **limits)
            solver.set_initial_value(y, begin)
            wanted = times[(times > begin) & (times <= end)]
            for t in np.union1d(wanted, min(end, times[-1])):
                y = solver.integrate(t).copy()
                if not solver.successful() or not np.isfinite(y).all():
                    raise Unresolved(f"the integration stopped before t = {t:g}")
                if t in wanted:
                    rows.append(y)
            if end >= times[-1]:
                break
            begin = end
    return np.stack(rows), used


def evolved(bands: np.ndarray, b: np.ndarray, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """F [k, n] at the times > 0 [k] of F' = A F + b from F(0) = start [n], for an A whose spectrum is real.

    F(t) is the integral of e^(z t) (z - A)^-1 (F(0) + b/z) over a parabola of the complex plane. The trapezoid rule
    converges there like 2.85^-n in its number n of nodes, whatever the stiffness of A; the lower half is the conjugate
    of the upper one. There are no steps, so no tolerance, no unit of time, and nothing that a stiff potential could
    stop.

    Args:
        bands, b: A as its bands [3, n], A[i, j] at [1 + i - j, j], 0 beyond the matrix, and b [n].

    Source: J. A. C. Weideman, L. N. Trefethen, Parabolic and hyperbolic contours for computing the Bromwich integral,
    Math. Comp. 76 (2007).
    """
    solve = scipy.linalg.lapack.zgtsv  # `solve_banded` checks longer than it solves
    n, u = len(start), ((np.arange(NODES) + 0.5) * 3 / NODES)[:, None]
    upper, lower = (np.tile(part, NODES)[cut] + 0j for part, cut in ((bands[0], slice(1, None)), (bands[2], slice(-1))))
    rows = []
    for t in times:
        z = math.pi * NODES / (12 * t) * (1j * u + 1) ** 2
        dz = math.pi * NODES / (6 * t) * 1j * (1j * u + 1)
        # (A - z) x = -(z - A) x, of all nodes as one system
        system = lower, (bands[1] - z).ravel(), upper, (start + b * (1 / z)).ravel()
        *_, found, singular = solve(*system, overwrite_d=True, overwrite_b=True)
        total = ((np.exp(z * t) * dz).T @ found.reshape(NODES, n))[0].imag
        rows.append(-3 / (math.pi * NODES) * (total if not singular else np.full(n, np.nan)))
    return np.stack(rows)


@cache
def _radau() -> tuple[np.ndarray, np.ndarray]:
    """Poles p_j and weights w_j, those of the upper half plane, of the Pade approximant of e^z of degrees s - 1 and s,

        R(z) = 1 + z sum_j w_j / (z - p_j)    with    sum_j w_j p_j^-(k+1) = -1/(k+1)!,  k < s,

    by which the method Radau IIA of s stages and order 2s - 1 multiplies. |R| <= 1 in the left half plane, R(inf) = 0.

    Source: E. Hairer, G. Wanner, Solving Ordinary Differential Equations II (1996), section IV.5.
    """
    s, f = STAGES, math.factorial
    denominator = [(-1) ** j * f(2 * s - 1 - j) / (f(j) * f(s - j)) for j in range(s, -1, -1)]
    poles, k = np.roots(denominator), np.arange(s)
    weights = np.linalg.solve(poles ** -(k[:, None] + 1.0), [-1 / f(j + 1) for j in k])
    upper = poles.imag > 0
    return poles[upper], weights[upper]


def stepped(bands: np.ndarray, b: np.ndarray, start: np.ndarray, times: np.ndarray) -> np.ndarray:
    """F [k, n] at increasing times > 0 [k] of F' = A F + b from F(0) = start [n], for an A of any spectrum.

    Steps of Radau IIA, y + (R(hA) - 1)/(hA) h (A y + b), which are halved until that changes nothing. Two equal steps
    between times are the halves of one.

    Args:
        bands, b: A as its bands [2 reach + 1, n], A[i, j] at [reach + i - j, j], 0 beyond the matrix, and b [n].

    Raises:
        Unresolved: that takes too many steps.
    """
    reach, n, field = len(bands) // 2, len(start), product(bands, b)
    lapack, known = scipy.linalg.lapack, dict[float, tuple[np.ndarray, np.ndarray]]()
    (poles, weights), left = _radau(), STEPS

    def factors(h: float) -> tuple[np.ndarray, np.ndarray]:
        """h A - p for all poles p, as one system."""
        shifted = np.zeros((3 * reach + 1, len(poles), n), dtype=complex)
        shifted[reach:] = h * bands[:, None]
        shifted[2 * reach] -= poles[:, None]
        return lapack.zgbtrf(shifted.reshape(len(shifted), -1), reach, reach)[:2]

    def step(y: np.ndarray, rate: np.ndarray, h: float) -> np.ndarray:
        nonlocal left
        left -= 1
        h = next((same for same in known if abs(same - h) < EQUAL * h), h)
        if h not in known:
            known[h] = factors(h)
        lu, order = known[h]
        rates = np.empty((len(poles), n), dtype=complex)
        rates[:] = h * rate
        found, _ = lapack.zgbtrs(lu, reach, reach, rates.reshape(-1), order, overwrite_b=True)
        return y + 2 * (weights @ found.reshape(rates.shape)).real

    def halved(y: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray, float]:
        """y after h/2 and after h, and by how much one step of h differs there."""
        rate = field(0.0, y)
        middle = step(y, rate, h / 2)
        end = step(middle, field(0.0, middle), h / 2)
        return middle, end, float(np.abs(step(y, rate, h) - end).max())

    def across(y: np.ndarray, h: float) -> np.ndarray:
        _, end, change = halved(y, h)
        if change <= HALVED:
            return end
        if left < 0:
            raise Unresolved("too many steps")
        return across(across(y, h / 2), h / 2)

    rows, lengths = [start], np.diff(times, prepend=0.0).tolist()
    expected = math.inf  # change by halving a step across two times
    while lengths:
        h, *others = lengths
        pair = bool(others) and abs(others[0] - h) < EQUAL * h and expected <= HALVED
        middle, end, change = halved(rows[-1], 2 * h if pair else h)
        expected = change if pair else 2 ** (2 * STAGES - 1) * change
        if change <= HALVED:
            rows += [middle, end] if pair else [end]
        elif pair:
            continue
        else:
            rows.append(across(across(rows[-1], h / 2), h / 2))
        del lengths[: 2 if pair else 1]
    return np.stack(rows[1:])
