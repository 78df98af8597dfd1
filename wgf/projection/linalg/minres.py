"""MINRES for symmetric, possibly singular systems, from matrix-vector products only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Iterative(NamedTuple):
    """Result of MINRES: value [p], number of iterations, relative residual."""

    value: Tensor
    iterations: int
    residual: float


def minres(apply: Callable[[Tensor], Tensor], rhs: Tensor, rtol: float, max_iter: int) -> Iterative:
    """Minimum-residual solution of A x = rhs, A symmetric; of minimum norm for a singular consistent system.

    If rhs is not in the range of A, MINRES stops at the least-squares residual, before the null space of A dominates.

    Paige and Saunders, SIAM J. Numer. Anal. 12 (1975), 617-629.

    Args:
        apply: x [p] -> A x [p].
        rhs: [p].
        rtol: stop when |A x - rhs| <= rtol |rhs|.
        max_iter: largest number of products; reaching it is no error, check the residual.
    """
    x = torch.zeros_like(rhs)
    beta = float(rhs.norm())
    if beta == 0.0:
        return Iterative(x, 0, 0.0)
    first = beta
    v_old, v = torch.zeros_like(rhs), rhs / beta
    d_old, d = torch.zeros_like(rhs), torch.zeros_like(rhs)  # directions of the update
    ad_old, ad, rest = d_old, d, rhs  # A times these, and the true residual rhs - A x, with its rounding
    c_old, c, s_old, s = 1.0, 1.0, 0.0, 0.0  # the last two rotations
    eta, norm = beta, beta
    beta, scale = 0.0, 0.0  # scale: largest entry of the tridiagonal matrix
    for iteration in range(1, max_iter + 1):
        # Lanczos: A v = beta v_old + alpha v + beta_new v_new
        av = apply(v)
        product = av - beta * v_old
        alpha = float(torch.dot(v, product))
        product = product - alpha * v
        beta_new = float(product.norm())
        scale = max(scale, abs(alpha), beta_new)
        # rotate the new column (beta, alpha, beta_new) of the tridiagonal matrix into upper triangular form
        top = s_old * beta
        middle = c * c_old * beta + s * alpha
        diagonal = c * alpha - s * c_old * beta
        rho = (diagonal**2 + beta_new**2) ** 0.5
        # |A r| = |r| hypot(diagonal, c beta_new): if it is 0, A cannot reduce the residual r further
        if math.hypot(diagonal, c * beta_new) <= 1e-13 * scale:
            return Iterative(x, iteration, norm / first)
        c_old, s_old, c, s = c, s, diagonal / rho, beta_new / rho
        d_old, d = d, (v - middle * d - top * d_old) / rho
        ad_old, ad = ad, (av - middle * ad - top * ad_old) / rho
        step, rest = c * eta * d, rest - c * eta * ad
        eta, before, norm = -s * eta, norm, float(rest.norm())
        leap = iteration > 1 and float(step.norm()) > 10 * max(float(x.norm()), first / scale)
        # if the residual rises, or a large step hardly reduces it, rounding has brought in the null space
        if norm > (0.99 if leap else 1 + 1e-6) * before:
            return Iterative(x, iteration, before / first)
        x = x + step
        if norm <= rtol * first or beta_new <= 1e-15 * scale or not norm < math.inf:
            return Iterative(x, iteration, norm / first)
        v_old, v, beta = v, product / beta_new, beta_new
    return Iterative(x, max_iter, norm / first)
