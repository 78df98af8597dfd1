"""Folders of runs and of sweeps with made-up results, for pages."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from saved_solutions import TITLE, history, solution


def result(**changed: Any) -> dict[str, Any]:
    known = {"status": "completed", "message": "reached the end time", "equation": TITLE, "t_end": 1.0, "t_wanted": 1.0}
    return known | {"steps": 29, "w1_error": 1e-3, "reference_error": 1e-7, "energy": -math.log(2)} | changed


def write(folder: Path, found: dict[str, Any] | None, whole: bool = True, **overrides: Any) -> Path:
    """A run folder as `wgf` leaves it; `found` is the result, None for a run that was killed."""
    (folder / ".hydra").mkdir(parents=True)
    words = [f"{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    (folder / "config.yaml").write_text("t_end: 1.0\nnote: <b>&amp;\n")
    (folder / "provenance.json").write_text('{"seed": 0}')
    rows = history()
    cells = [",".join(map(repr, row)) for row in np.stack(list(rows.values()), axis=1).tolist()]
    (folder / "history.csv").write_text("\n".join([",".join(rows), *cells, ""]))
    if found is not None:
        (folder / "result.json").write_text(json.dumps(found))
    if whole:
        solution(4).save(folder / "solution.npz")
    return folder


def sweep(root: Path) -> Path:
    """Widths x degrees with errors of exactly second and fourth order, and a job that failed."""
    number = 0
    for degree, order in ((1, 2), (3, 4)):
        for width in (4, 8, 16):
            found = result(w1_error=width**-order, evaluations=30, parameters=width + degree)
            write(root / str(number), found, whole=width == 16, network__width=width, network__degree=degree)
            number += 1
    write(root / "9", result(status="folded", message="it folded", w1_error=None), False, network__width=2)
    return root
