"""Files of a test."""

from pathlib import Path


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write texts to files below a folder; gives the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
