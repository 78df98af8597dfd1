"""What a run or a sweep leaves on the disk, read without wgf."""

import csv
import json
from pathlib import Path
from typing import Any


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def provenance(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "provenance.json").read_text())


def table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def history(folder: Path) -> list[dict[str, str]]:
    return table(folder / "history.csv")


def results(root: Path) -> list[dict[str, str]]:
    return table(root / "results.csv")
