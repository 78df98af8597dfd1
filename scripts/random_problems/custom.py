"""Draws problems with terms that users give: potentials that move, tables of V, kernels by formula."""

from __future__ import annotations

import random
import re

from random_problems.draw import Settings, duration, elsewhere, equation, expression, law, method, number, size

KERNELS = (
    "{c}*abs(r)", "{c}*abs(r)**1.5/1.5", "{c}*r**2/2", "{c}*abs(r)**3/3", "{c}*r**4/4", "{c}*exp(-(r/{l})**2)",
    "{c}*exp(-abs(r)/{l})", "{c}*sqrt(1 + (r/{l})**2)", "{c}*log(1 + (r/{l})**2)", "{c}*cos(r/{l})",
    "{c}*tanh(abs(r)/{l})",
)  # fmt: skip


def overrides(draw: random.Random) -> Settings:
    """Random settings, not always valid."""
    t_end = duration(draw)
    kind = draw.choice(["moving", "table", "kernel"])
    cfg = {"t_end": t_end} | {"moving": moving, "table": tabled, "kernel": coupled}[kind](draw, t_end)
    start = law(draw, cfg.get("pde.exponent", 1.0))
    return elsewhere(draw, (start | cfg if "law" in cfg else cfg | start) | method(draw, t_end))


def kind(settings: Settings) -> str:
    """Which of the terms is the user's."""
    if settings.get("interaction") == "expression":
        return "kernel by formula"
    return "table of V" if settings["potential"] == "table" else "moving V"


def moving(draw: random.Random, t_end: float) -> Settings:
    """A potential that is shaken, pulses, is tilted, fades into another, pushes for a short while or is a parabola with
    closed solutions."""
    cfg = _with_potential(equation(draw), "expression")
    rate = number(draw, -6, 6) if draw.random() < 0.5 else number(draw, 1, 12) / t_end
    clock, a, v = f"{rate:.3g}*t", number(draw, -1, 1), expression(draw)
    match draw.choice(["shaken", "pulsing", "tilted", "fading", "pushing", "parabola"]):
        case "shaken":
            v = re.sub(r"\bx\b", f"(x - {a}*sin({clock}))", v)
        case "pulsing":
            v = f"({v})*(1 + {a}*sin({clock}))"
        case "tilted":
            v = f"{v} + {a}*{draw.choice(['tanh', 'cos', ''])}({clock})*x"
        case "fading":
            v = f"({v})/(1 + ({clock})**2) + ({expression(draw)})*({clock})**2/(1 + ({clock})**2)"
        case "pushing":  # where a judge can follow the push
            lasts, at = size(draw, 0.003, 0.1) * t_end, number(draw, 0.1, 0.9) * t_end
            push = f"{number(draw, -2, 2) / lasts:.3g}*x*exp(-((t - {at:.3g})/{lasts:.3g})**2)"
            if draw.random() < 0.5:
                cfg, v = {"potential": "expression", "pde": "linear_transport"}, f"{v} + {push}"
            else:
                v = f"{number(draw, -0.5, 2)}*x**2/2 + {push}"
                cfg = {"potential": "expression", "pde": "fokker_planck", "pde.diffusion": size(draw, 0.05, 2.0)}
                cfg |= {"law": "gaussian", "law.mean": number(draw, -1, 1), "law.std": size(draw, 0.05, 2)}
        case "parabola":
            stiffness, reach = f"{number(draw, -0.5, 2)}*(1 + {a}*cos({clock}))", number(draw, -1, 1)
            v = f"{stiffness}*(x - {reach}*sin({clock}))**2/2 + {a}*t*x"
            pde = draw.choice(["fokker_planck", "porous_medium", "linear_transport"])
            cfg = {"potential": "expression", "pde": pde}
            if pde != "linear_transport":
                cfg["pde.diffusion"] = size(draw, 0.05, 2.0)
            if pde == "porous_medium":
                cfg["pde.exponent"] = draw.choice([1.5, 2.0, 3.0])
                cfg |= {"law": "barenblatt", "law.exponent": cfg["pde.exponent"], "law.t0": size(draw, 0.2, 2)}
            else:
                cfg |= {"law": "gaussian", "law.mean": number(draw, -1, 1), "law.std": size(draw, 0.05, 2)}
    return cfg | {"potential.expr": v.replace("--", "+").replace("- -", "+ ")}


def tabled(draw: random.Random, t_end: float) -> Settings:
    """A potential through a few points."""
    points = sorted({number(draw, -3, 3) for _ in range(draw.randint(4, 12))})
    well = number(draw, -0.5, 1.5)
    values = [float(f"{0.5 * well * x * x + draw.gauss(0, 0.4):.4g}") for x in points]
    return _with_potential(equation(draw), "table") | {"potential.x": points, "potential.values": values}


def coupled(draw: random.Random, t_end: float) -> Settings:
    """A kernel of one term or two."""
    while (cfg := equation(draw))["pde"] != "aggregation_diffusion":
        pass
    cfg = {key: value for key, value in cfg.items() if not key.startswith("interaction")}
    terms = [
        draw.choice(KERNELS).format(c=number(draw, -1.5, 2), l=size(draw, 0.2, 2)) for _ in range(draw.randint(1, 2))
    ]
    return cfg | {"interaction": "expression", "interaction.expr": " + ".join(terms)}


def _with_potential(cfg: Settings, choice: str) -> Settings:
    """The same with another potential, whose settings are still missing."""
    return {key: value for key, value in cfg.items() if not key.startswith("potential")} | {"potential": choice}
