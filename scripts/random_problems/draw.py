"""Draws random settings of the command `wgf` that pass its check."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from random_problems.similar import Similarity, applied
from wgf.errors import ConfigError
from wgf.settings.check import CONFIGS, check

STEPS = 250  # of a run at most
GROUPS = ("domain", "pde", "potential", "interaction", "law", "network", "quadrature", "solver", "integrator")
ATOMS = (
    "abs(y)", "abs(y)**1.5", "sqrt(1 + y**2)", "cos(3*y)", "sin(2*y)", "exp(-y**2)", "log(1 + y**2)", "tanh(y)",
    "atan(2*y)", "1/(1 + y**2)", "y**2", "y**4/4", "erf(y)", "y", "exp(-abs(y))", "y**2*exp(-y**2)",
    "abs(abs(y) - 1)",
)  # fmt: skip
LAWS = (
    "gaussian", "gaussian", "mixture", "uniform", "laplace", "semicircle", "barenblatt", "student", "lognormal",
    "gamma", "exponential", "beta", "truncated_normal", "table", "histogram", "samples",
)  # fmt: skip

Settings = dict[str, Any]


def number(draw: random.Random, low: float, high: float) -> float:
    """A number with uniform distribution, three digits."""
    return float(f"{draw.uniform(low, high):.3g}")


def size(draw: random.Random, low: float, high: float) -> float:
    """A positive number whose logarithm has uniform distribution, three digits."""
    return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.3g}")


def expression(draw: random.Random) -> str:
    """A potential: a sum of a few terms, some with kinks, with a well or without."""
    terms = [
        f"{number(draw, -1.5, 2.0)}*{draw.choice(ATOMS).replace('y', f'(x-{number(draw, -1.5, 1.5)})')}"
        for _ in range(draw.randint(1, 3))
    ]
    if draw.random() < 0.6:
        terms.append(draw.choice(["x**2/2", "x**4/4 - x**2/2", "abs(x)", "2*(x**2 - 1)**2"]))
    return " + ".join(terms).replace("--", "+")


def equation(draw: random.Random) -> Settings:
    cfg: Settings = {}
    pde = cfg["pde"] = draw.choice(
        ["linear_transport", "fokker_planck", "fokker_planck", "porous_medium", "keller_segel", "aggregation_diffusion"]
    )
    if pde != "linear_transport":
        cfg["pde.diffusion"] = size(draw, 0.05, 2.0)
    if pde == "porous_medium":
        cfg["pde.exponent"] = draw.choice([1.3, 1.5, 2.0, 2.0, 3.0, 4.5])
    if pde == "keller_segel":
        cfg["pde.chi"] = number(draw, 0.0, 2.5)
    if pde == "aggregation_diffusion":
        cfg["pde.diffusion"] = draw.choice([0.0, cfg["pde.diffusion"]])
        cfg["pde.exponent"] = draw.choice([1.0, 1.0, 2.0, 3.0])
        kernel = cfg["interaction"] = draw.choice(["none", "log", "newtonian", "quadratic", "power_law", "morse"])
        if kernel in ("log", "newtonian", "quadratic"):
            cfg["interaction.strength"] = number(draw, -2, 2)
        elif kernel == "power_law":
            cfg["interaction.repulsion"] = draw.choice([1.0, 1.5, 2.0])
            cfg["interaction.attraction"] = cfg["interaction.repulsion"] + draw.choice([0.5, 1.0, 2.0])
            cfg["interaction.strength"] = size(draw, 0.2, 2)
        elif kernel == "morse":
            for name in ("attraction", "repulsion", "attraction_length", "repulsion_length"):
                cfg[f"interaction.{name}"] = size(draw, 0.3, 2)
    potential = cfg["potential"] = draw.choice(["none", "quadratic", "quartic", "sextic", "expression", "expression"])
    if potential == "quadratic":
        cfg["potential.stiffness"] = number(draw, -1, 3)
    if potential == "expression":
        cfg["potential.expr"] = expression(draw)
    elif potential != "none":
        cfg["potential.center"] = number(draw, -1, 1.5)
    return cfg


def law(draw: random.Random, exponent: float) -> Settings:
    kind = draw.choice(LAWS)
    cfg: Settings = {"law": kind}
    match kind:
        case "gaussian":
            cfg |= {"law.mean": number(draw, -1, 1), "law.std": size(draw, *draw.choice([(0.3, 2), (0.02, 0.2)]))}
        case "uniform":
            cfg["law.low"] = number(draw, -2, 0.5)
            cfg["law.high"] = cfg["law.low"] + size(draw, 0.1, 3)
        case "laplace":
            cfg |= {"law.loc": number(draw, -1, 1), "law.scale": size(draw, 0.1, 1)}
        case "semicircle":
            cfg["law.radius"] = size(draw, 0.5, 2.5)
        case "barenblatt":
            cfg |= {"law.exponent": exponent if exponent > 1 else 2.0, "law.t0": size(draw, 0.2, 2)}
        case "mixture":
            cfg["law.means"] = [number(draw, -2, 0), number(draw, 0, 2)]
            cfg["law.stds"] = [size(draw, 0.15, 1), size(draw, 0.15, 1)]
            cfg["law.weights"] = [number(draw, 0.2, 1), number(draw, 0.2, 1)]
        case "student":
            cfg |= {"law.df": number(draw, 2.5, 8), "law.loc": number(draw, -1, 1), "law.scale": size(draw, 0.2, 1)}
        case "lognormal":
            cfg |= {"law.sigma": size(draw, 0.2, 1), "law.scale": size(draw, 0.3, 1), "law.low": number(draw, -1.5, 0)}
        case "gamma":
            cfg |= {"law.shape": size(draw, 0.7, 5), "law.scale": size(draw, 0.2, 0.7), "law.low": number(draw, -2, 0)}
        case "exponential":
            cfg |= {"law.scale": size(draw, 0.2, 1), "law.low": number(draw, -1.5, 0)}
        case "beta":
            cfg |= {"law.a": size(draw, 0.6, 4), "law.b": size(draw, 0.6, 4), "law.low": number(draw, -2, 0)}
            cfg["law.high"] = cfg["law.low"] + size(draw, 0.5, 3)
        case "truncated_normal":
            cfg |= {"law.loc": number(draw, -1, 1), "law.scale": size(draw, 0.3, 1), "law.low": number(draw, -2, 0)}
            cfg["law.high"] = draw.choice([None, cfg["law.low"] + size(draw, 0.5, 3)])
        case "table":
            cfg["law.x"] = sorted({number(draw, -2, 2) for _ in range(draw.randint(3, 6))})
            cfg["law.density"] = [number(draw, 0.1, 2) for _ in cfg["law.x"]]
        case "histogram":
            cfg["law.edges"] = sorted({number(draw, -2, 2) for _ in range(draw.randint(3, 6))})
            cfg["law.counts"] = [draw.randint(1, 9) for _ in cfg["law.edges"][1:]]
        case "samples":
            cfg["samples"] = [float(f"{draw.gauss(0, 1):.4g}") for _ in range(draw.randint(5, 60))]
            cfg["law.smoothing"] = number(draw, 0.1, 0.4)
    return cfg


def method(draw: random.Random, t_end: float) -> Settings:
    """Network, quadrature, integrator and solver."""
    cfg: Settings = {"saves": draw.choice([1, 1, 2, 5]), "seed": draw.randint(0, 99)}
    cfg["dtype"] = "float32" if draw.random() < 0.06 else "float64"
    network = cfg["network"] = draw.choice(["spline"] * 6 + ["two_sided_relu"] * 3 + ["mlp"])
    cfg["network.width"] = draw.randint(3, 5) if network == "mlp" else draw.choice([4, 6, 8, 12, 20, 32])
    if network != "mlp":
        cfg["network.bound"] = number(draw, 2.5, 5)
    if network == "spline":
        cfg["network.degree"] = draw.randint(1, 5)
        cfg["network.knots"] = draw.choice(["uniform", "uniform", "quantile"])
    if network == "two_sided_relu":
        cfg["network.train"] = draw.choice(["weights", "weights", "biases", "all"])
        if cfg["network.train"] == "all":
            cfg["network.width"] = draw.randint(3, 5)
    if draw.random() < 0.05:
        cfg |= {"quadrature": "monte_carlo", "quadrature.particles": draw.choice([300, 800])}
    else:
        cfg["quadrature.order"] = draw.randint(cfg.get("network.degree", 1) + 1, 9)
    adaptive = draw.choice(["auto"] * 4 + ["dopri5", "gauss_newton", "fixed", "fixed"])
    if adaptive == "fixed":
        cfg["integrator"] = draw.choice(["euler", "heun", "rk4", "jko", "sdirk2", "sdirk3"])
        cfg["integrator.dt"] = float(f"{t_end / draw.choice([4, 10, 20]):.3g}")
    else:
        cfg["integrator"] = "auto" if cfg.get("network.train") == "all" else adaptive
        cfg["integrator.rtol"] = draw.choice([1e-3, 1e-4, 1e-5])
        cfg["integrator.atol"] = cfg["integrator.rtol"] * 1e-2
    cfg["integrator.max_steps"] = STEPS
    cfg["solver"] = draw.choice(["auto"] * 8 + ["banded", "truncated", "qr", "cholesky"])
    return cfg


def overrides(draw: random.Random) -> Settings:
    """Random settings, not always valid."""
    t_end = duration(draw)
    cfg = {"t_end": t_end} | equation(draw)
    cfg |= law(draw, cfg.get("pde.exponent", 1.0)) | method(draw, t_end)
    return elsewhere(draw, cfg)


def duration(draw: random.Random) -> float:
    """A short, a middle or a long time."""
    return size(draw, *draw.choice([(1e-3, 0.3), (0.05, 2.0), (2.0, 100.0)]))


def elsewhere(draw: random.Random, cfg: Settings) -> Settings:
    """One problem in five goes far from the origin, in millimetres or kilometres."""
    if draw.random() < 0.2:
        length, shift = draw.choice([1.0, 1.0, 2.0**-10, 2.0**10]), draw.choice([0.0, 64.0, -1024.0])
        cfg = applied(Similarity(length, shift, 1.0, False), cfg) or cfg
    return cfg


def with_a_needle(draw: random.Random) -> Settings:
    """The same with a potential that has a narrow well or peak where the law is."""
    cfg = overrides(draw)
    place, width, depth = number(draw, -1, 1), size(draw, 1e-5, 0.3), number(draw, -4, 4)
    cfg = {key: value for key, value in cfg.items() if not key.startswith("potential.")}
    needle = f"{depth}*exp(-((x-{place})/{width})**2)"
    return cfg | {"potential": "expression", "potential.expr": f"{expression(draw)} + {needle}".replace("--", "+")}


def with_moving_breakpoints(draw: random.Random) -> Settings:
    """The same with breakpoints that follow the solution."""
    cfg = {key: value for key, value in overrides(draw).items() if not key.startswith(("network", "integrator"))}
    cfg |= {"network": "spline", "network.degree": draw.randint(1, 5), "integrator": "auto"}
    cfg |= {"integrator.max_steps": 2 * STEPS, "solver": "auto"}
    if cfg.get("quadrature") != "monte_carlo":
        cfg["quadrature.order"] = draw.randint(cfg["network.degree"] + 1, 9)
    if draw.random() < 0.3:
        return cfg | {"network.knots": "equidistributed", "network.width": draw.choice([8, 12, 20, 32])}
    width = draw.choice([None, None, 60, "auto"])
    return cfg | {"network.knots": "adaptive", "network.width": width, "network.tol": size(draw, 1e-4, 1e-2)}


@cache
def main_job() -> DictConfig:
    """The config of the command `wgf`, without logger and figures."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("config", ["logger=none", "figures=false"])


@cache
def node(group: str, choice: str) -> DictConfig:
    """The settings of a choice of a group, without the choices it brings for other groups."""
    settings = OmegaConf.load(CONFIGS / group / f"{choice}.yaml")
    settings.pop("defaults", None)
    return settings  # type: ignore[return-value]


def composed(settings: Settings, samples: str = "samples.txt") -> DictConfig:
    """The config of these settings; faster than Hydra. `samples`: path of the file of the law's samples."""
    cfg = main_job().copy()
    OmegaConf.set_struct(cfg, False)
    for key, value in settings.items():
        if key == "samples":
            cfg.law.path = samples
        elif key in GROUPS:
            cfg[key] = node(key, value).copy()
        else:
            OmegaConf.update(cfg, key, value)
    return cfg


def valid(draw: random.Random, drawn: Callable[[random.Random], Settings] = overrides) -> Settings:
    """Draw settings until they pass the check."""
    while True:
        settings = drawn(draw)
        try:
            check(composed(settings))
        except ConfigError:
            continue
        return settings
