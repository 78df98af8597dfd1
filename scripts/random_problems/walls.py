"""Random Fokker-Planck equations between walls and on circles, judged by other finite volumes.

Scharfetter and Gummel's scheme on two uniform grids, exact in time by eigenvectors or the matrix exponential, gives the
distribution function; Richardson's extrapolation gives its own error.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import scipy.linalg
import torch

from random_problems.draw import STEPS, Settings, number, size
from random_problems.numbers import Verdict
from random_problems.problem import potential
from wgf.flow import Flow

CELLS = {"interval": (1500, 3000), "half_line": (1500, 3000), "circle": (400, 800)}
NORMAL = 14.0  # logarithm of the symmetrising weights beyond which eigenvectors lose the digits that are judged
FAR, ROOM = 1e-14, 8.0  # mass beyond the end of a half-line, and standard deviations of the noise added to it
ALLOWED = 2e-3  # of a distance


def overrides(draw: random.Random) -> Settings:
    """Random settings, not always valid."""
    domain, length = draw.choice(["interval", "half_line", "circle"]), size(draw, 0.5, 8)
    low = 0.0 if domain == "circle" else number(draw, -3, 3)
    diffusion = size(draw, 0.02, 2)
    cfg: Settings = {"domain": domain, "pde": "fokker_planck", "pde.diffusion": diffusion, "dtype": "float64"}
    cfg["t_end"] = float(f"{length**2 / diffusion * size(draw, 3e-3, 1):.3g}")
    cfg |= {"saves": draw.choice([1, 3]), "seed": 0, "integrator": "auto", "integrator.max_steps": STEPS}
    cfg |= {"integrator.rtol": draw.choice([1e-3, 1e-4, 1e-5]), "network": "spline"}
    cfg |= {"network.width": draw.choice([8, 16, 32]), "network.degree": draw.randint(1, 5)}
    match domain:
        case "circle":
            cfg["domain.length"] = length
        case "interval":
            cfg |= {"domain.low": low, "domain.high": low + length}
        case "half_line":
            cfg["domain.low"] = low
    y, one, two = f"((x - {low!r})/{length!r})", number(draw, -1.5, 1.5), number(draw, -1.5, 1.5)
    waves = f"{one}*cos({2 * math.pi!r}*{y}) + {two}*sin({4 * math.pi!r}*{y})"
    form = draw.choice([f"{one}*{y}", f"{one}*cos(6*{y}) + {two}*abs({y} - 0.4)", f"{3 * abs(one)}*({y} - 0.6)**2"])
    hill = draw.choice([f"{abs(one) + 0.3}*{y}", f"{abs(one) + 0.3}*sqrt(1 + ({y} - 0.5)**2) + {two}*cos(2*{y})"])
    cfg |= {"potential": "expression", "potential.expr": {"circle": waves, "half_line": hill}.get(domain, form)}
    if domain == "circle" and draw.random() < 0.4:
        cfg["potential.force"] = number(draw, -2, 2) / length
    return cfg | law(draw, domain, low, length)


def law(draw: random.Random, domain: str, low: float, length: float) -> Settings:
    """A law within the walls."""
    ends = sorted(low + length * share for share in (number(draw, 0, 0.4), number(draw, 0.6, 1)))
    if draw.random() < 0.4:
        ends = [low, low + length]
    kinds = ["uniform", "beta", "truncated_normal"]
    kind = draw.choice([*kinds, "exponential", "gamma"] if domain == "half_line" else kinds)
    cfg: Settings = {"law": kind, "law.low": ends[0]}
    match kind:
        case "exponential":
            return cfg | {"law.scale": length * size(draw, 0.1, 1)}
        case "gamma":
            return cfg | {"law.shape": size(draw, 1, 4), "law.scale": length * size(draw, 0.1, 0.5)}
        case "beta":
            cfg |= {"law.a": size(draw, 1, 4), "law.b": size(draw, 1, 4)}
        case "truncated_normal":
            cfg |= {"law.loc": low + length * number(draw, 0, 1), "law.scale": length * size(draw, 0.1, 1)}
    return cfg | {"law.high": ends[1]}


def verdicts(settings: Settings, flow: Flow, result: dict[str, Any]) -> list[Verdict]:
    """The W1 error of a run, and the stated error of its reference solution, against finite volumes."""
    w1, stated = result["w1_error"], result["reference_error"]
    grids = [distribution(settings, flow, cells) for cells in CELLS[settings["domain"]]]
    if w1 is None or any(grid is None for grid in grids):
        return []
    (x, coarse), (_, fine) = grids
    right = fine[::2] + (fine[::2] - coarse) / 3
    t, circle = float(flow.t[-1]), settings["domain"] == "circle"
    own = area(x, coarse - right, circle) / 16
    true = area(x, np.asarray(flow.cdf(t, x)) - right, circle)
    allowed = (stated or 0.0) + 3 * own + ALLOWED * true + kept(x, true)
    return [Verdict("w1_error", "finite volumes", abs(w1 - true) / allowed, w1, true)]


def kept(x: np.ndarray, true: float) -> float:
    """By how much an area may change within the cells of the judge (length)."""
    return 0.05 * true if len(x) < 1000 else 0.02 * true


def area(x: np.ndarray, gap: np.ndarray, circle: bool) -> float:
    """int |F - G| dx, on a circle int |F - G - c| dx with the best c."""
    middle = 0.5 * (gap[1:] + gap[:-1])
    if circle:
        gap = gap - np.median(middle)
    a, b = gap[:-1], gap[1:]
    crosses = a * b < 0
    mean = np.where(crosses, (a * a + b * b) / np.where(crosses, 2 * np.abs(a - b), 1.0), 0.5 * np.abs(a + b))
    return float(np.diff(x) @ mean)


def distribution(settings: Settings, flow: Flow, cells: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Faces [N + 1] and the mass left of them at the end; None where the matrix is too far from normal."""
    problem, t, circle = flow.problem, float(flow.t[-1]), settings["domain"] == "circle"
    diffusion, low = settings["pde.diffusion"], settings.get("domain.low", 0.0)
    if circle:
        high = settings["domain.length"]
    elif "domain.high" in settings:
        high = settings["domain.high"]
    else:
        far = torch.tensor(FAR, dtype=torch.float64)
        high = float(problem.law.upper_quantile(far)) + ROOM * math.sqrt(2 * diffusion * t)
    x = np.linspace(low, high, cells + 1)
    h, faces, middle = x[1] - x[0], torch.from_numpy(x), torch.from_numpy(0.5 * (x[1:] + x[:-1]))
    left, right = problem.law.cdf(faces).numpy(), problem.law.survival(faces).numpy()
    mass = np.where(left[1:] < 0.5, np.diff(left), -np.diff(right))
    force = settings.get("potential.force", 0.0)
    v = potential(settings)[0](middle.numpy()) - force * middle.numpy()
    step = np.diff(v) / diffusion
    up, down = (diffusion / h**2 * _bernoulli(sign * step) for sign in (1, -1))
    diagonal = -np.append(up, 0.0) - np.append(0.0, down)
    if circle:
        last = (v[0] - force * high - v[-1]) / diffusion
        around, back = (diffusion / h**2 * float(_bernoulli(np.array(sign * last))) for sign in (1, -1))
        matrix = np.diag(diagonal) + np.diag(up, -1) + np.diag(down, 1)
        matrix[0, -1], matrix[-1, 0] = around, back
        matrix[-1, -1] -= around
        matrix[0, 0] -= back
        end = scipy.linalg.expm(matrix * t) @ mass
    else:
        weight = np.append(0.0, np.cumsum(0.5 * np.log(down / up)))
        if np.ptp(weight) > NORMAL:
            return None
        weight = np.exp(weight - weight.mean())
        rates, modes = scipy.linalg.eigh_tridiagonal(diagonal, np.sqrt(up * down))
        end = modes @ (np.exp(rates * t) * (modes.T @ (weight * mass))) / weight
    return x, np.append(0.0, np.cumsum(end))


def _bernoulli(u: np.ndarray) -> np.ndarray:
    """u/(e^u - 1)."""
    small = np.abs(u) < 1e-8
    return np.where(small, 1 - 0.5 * u, u / np.where(small, 1.0, np.expm1(u)))
