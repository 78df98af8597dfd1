"""Formulas and tables of settings as functions of numpy."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import special
from scipy.interpolate import make_interp_spline

Potential = Callable[..., np.ndarray]  # of places [n] and the time, which is 0 unless it is given
Kernel = Callable[[np.ndarray], np.ndarray]

TINY = 1e-100  # distance at which the slope of a kernel is that of its kink (length)
STEP = 1e-20  # of a derivative into the complex plane, relative to the distance


def _abs(z: np.ndarray) -> np.ndarray:
    """|z| of real numbers; of complex ones the continuation of the branch on which they lie."""
    return np.where(np.real(z) < 0, -z, z)


NAMES = {name: getattr(np, name) for name in ("sqrt", "cos", "sin", "exp", "log", "tanh")} | {
    "abs": _abs, "atan": np.arctan, "erf": special.erf,
}  # fmt: skip
_code = cache(lambda text: compile(text, text, "eval"))


def moves(text: str) -> bool:
    """Whether the time is in a formula."""
    return re.search(r"\bt\b", text) is not None


def potential(text: str) -> Potential:
    """V(x, t) of a formula."""
    return lambda x, t=0.0: eval(_code(text), {"__builtins__": {}}, NAMES | {"x": x, "t": t}) + 0.0 * x


def table(points: list[float], values: list[float]) -> Potential:
    """The natural cubic spline through points, by B-splines; linear beyond them."""
    spline = make_interp_spline(points, values, k=3, bc_type="natural")
    slope = spline.derivative()

    def v(x: np.ndarray, t: float = 0.0) -> np.ndarray:
        inside = np.clip(x, points[0], points[-1])
        return spline(inside) + (x - inside) * slope(inside)

    return v


def kernel(text: str) -> tuple[float, Kernel, Kernel]:
    """kappa, w' and w of the kernel W = kappa |r| + w(r) of a formula."""

    def whole(r: np.ndarray) -> np.ndarray:
        return eval(_code(text), {"__builtins__": {}}, NAMES | {"r": r}) + 0.0 * r

    def slope(r: np.ndarray) -> np.ndarray:
        """W' by a step into the complex plane: no difference loses digits."""
        h = STEP * np.abs(r) + STEP * TINY
        return np.imag(whole(r + 1j * h)) / h

    kink = float(slope(np.array([TINY]))[0])
    kink = kink if abs(kink) > TINY**0.25 else 0.0  # that of |r|^1.5 vanishes only at r = 0
    return kink, lambda r: slope(r) - kink * np.sign(r), lambda r: whole(r) - kink * np.abs(r)
