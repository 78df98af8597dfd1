"""Draws the problems on which the bounds of the W2 error are judged: what people run, and what is hard to bound."""

from __future__ import annotations

import random

from random_problems.draw import Settings, law, number, size, valid

STEPS = 2000  # of a run at most
SHARES = {
    "double well": 20, "quartic well": 12, "kinked V": 12, "mixture in a parabola": 12, "transport": 16,
    "porous medium": 14, "Keller-Segel": 8, "kernel": 6,
}  # fmt: skip


def drawn(seed: int, k: int) -> tuple[str, Settings]:
    """Kind and settings of problem number k of a seed; they depend on these numbers alone."""
    draw = random.Random(f"bounds-{seed}-{k}")
    (kind,) = draw.choices([*SHARES], [*SHARES.values()])
    return kind, valid(draw, lambda draw: settings(draw, kind))


def settings(draw: random.Random, kind: str) -> Settings:
    """Random settings of a kind, not always valid."""
    cfg: Settings = {"t_end": size(draw, 0.02, 5.0)} | equation(draw, kind)
    cfg |= start(draw, kind, cfg.get("pde.exponent", 1.0))
    return cfg | network(draw) | method(draw, cfg["t_end"])


def equation(draw: random.Random, kind: str) -> Settings:
    """Equation with its energies."""
    diffusion = size(draw, 0.1, 1.5)
    match kind:
        case "double well":
            return fokker_planck(diffusion) | double_well(draw, diffusion)
        case "quartic well":
            return fokker_planck(diffusion) | formula(quartic(draw))
        case "kinked V":
            return fokker_planck(diffusion) | formula(kinked(draw))
        case "mixture in a parabola":
            return fokker_planck(diffusion) | parabola(draw)
        case "transport":
            well = draw.choice([double_well(draw, 0.5), parabola(draw), formula(kinked(draw)), formula(quartic(draw))])
            return {"pde": "linear_transport"} | well
        case "porous medium":
            g = draw.choice([number(draw, 1.05, 4), 1.5, 2.0, 3.0])
            well = draw.choice([{"potential": "none"}, formula(quartic(draw)), double_well(draw, diffusion)])
            return {"pde": "porous_medium", "pde.diffusion": diffusion, "pde.exponent": g} | well
        case "Keller-Segel":
            chi = {"pde": "keller_segel", "pde.diffusion": diffusion, "pde.chi": diffusion * number(draw, 0.05, 1.1)}
            return chi | draw.choice([{"potential": "none"}, parabola(draw)])
    g = draw.choice([1.0, 1.0, number(draw, 1.2, 4)])
    cfg: Settings = {"pde": "aggregation_diffusion", "pde.diffusion": diffusion, "pde.exponent": g}
    cfg["interaction"] = draw.choice(["quadratic", "quadratic", "newtonian", "newtonian", "log", "morse"])
    match cfg["interaction"]:
        case "morse":
            cfg |= {f"interaction.{side}": size(draw, 0.3, 2) for side in ("attraction", "repulsion")}
        case "log":
            cfg |= {"interaction.strength": number(draw, -1, 0), "pde.exponent": 1.0}
        case _:
            cfg["interaction.strength"] = number(draw, -1, 1.5)
    return cfg | draw.choice([{"potential": "none"}, formula(quartic(draw))])


def fokker_planck(diffusion: float) -> Settings:
    return {"pde": "fokker_planck", "pde.diffusion": diffusion}


def formula(text: str) -> Settings:
    return {"potential": "expression", "potential.expr": text.replace("--", "+").replace("+-", "-")}


def parabola(draw: random.Random) -> Settings:
    stiffness, center = number(draw, -0.6, 3), number(draw, -1.5, 1.5)
    return {"potential": "quadratic", "potential.stiffness": stiffness, "potential.center": center}


def double_well(draw: random.Random, diffusion: float) -> Settings:
    """Valleys at center -+ a with a barrier of 0.3 to 5 D between them, maybe of unequal depth."""
    barrier, a, center = diffusion * size(draw, 0.3, 5), size(draw, 0.5, 2), number(draw, -1, 1)
    tilt = draw.choice([0.0, number(draw, -0.3, 0.3) * barrier])
    y = f"((x-{center})/{a})"
    return formula(f"{barrier:.4g}*({y}**2-1)**2+{tilt:.4g}*{y}")


def quartic(draw: random.Random) -> str:
    a, b, c, d = size(draw, 0.05, 1), number(draw, -1, 1), number(draw, -2, 2), number(draw, -1.5, 1.5)
    return f"{a}*x**4/4+{b}*x**3/3+{c}*x**2/2+{d}*x"


def kinked(draw: random.Random) -> str:
    """A smooth well and kinks that bend up."""
    base = draw.choice([quartic(draw), f"{size(draw, 0.1, 2)}*x**2/2", "cos(2*x)", "0"])
    kinks = [f"{size(draw, 0.1, 2)}*abs(x-{number(draw, -1.5, 1.5)})" for _ in range(draw.randint(1, 2))]
    return "+".join([base, *kinks])


def start(draw: random.Random, kind: str, exponent: float) -> Settings:
    """The law: near and of ordinary width, narrow and far, a mixture, or one of the laws of `scripts/stress.py`."""
    if kind == "mixture in a parabola":
        means = [number(draw, -2, 0), number(draw, 0, 2)]
        stds = [size(draw, 0.15, 1), size(draw, 0.15, 1)]
        return {"law": "mixture", "law.means": means, "law.stds": stds, "law.weights": [number(draw, 0.2, 1), 1.0]}
    form = draw.choice(["near", "near", "far", "any"])
    if form == "near":
        return {"law": "gaussian", "law.mean": number(draw, -1, 1), "law.std": size(draw, 0.4, 1.5)}
    if form == "far":
        return {"law": "gaussian", "law.mean": number(draw, -4, 4), "law.std": size(draw, 0.02, 0.4)}
    return law(draw, exponent)


def network(draw: random.Random) -> Settings:
    """Mostly splines and the paper's network with trained weights."""
    name = draw.choice(["spline"] * 6 + ["two_sided_relu"] * 2)
    cfg: Settings = {"network": name, "network.width": draw.choice([8, 12, 16, 24, 32, 32, 48]), "seed": 0}
    cfg["network.bound"] = number(draw, 3, 7)
    if name == "spline":
        cfg |= {"network.degree": draw.randint(1, 5), "network.knots": draw.choice(["uniform"] * 3 + ["quantile"])}
    return cfg


def method(draw: random.Random, t_end: float) -> Settings:
    """Mostly the method that wgf chooses."""
    name = draw.choice(["auto"] * 8 + ["dopri5", "sdirk2"])
    cfg: Settings = {"integrator": name, "integrator.max_steps": STEPS, "saves": 1, "dtype": "float64"}
    if name == "sdirk2":
        return cfg | {"integrator.dt": t_end / draw.choice([10, 40, 160])}
    return cfg | {"integrator.rtol": (rtol := draw.choice([1e-4, 1e-6, 1e-6, 1e-8])), "integrator.atol": 1e-2 * rtol}
