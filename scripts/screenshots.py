"""Screenshots of everything that people see: `python scripts/screenshots.py` makes docs/images/views/*.png
and docs/images/density.png.

    python scripts/screenshots.py                    # all, a few minutes
    python scripts/screenshots.py report tensorboard # some: terminal, readme, report, tensorboard, site

It needs Chromium, and the extra `docs` for the site. It runs the commands in a folder that it removes.
"""

import io
import itertools
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "views"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
COLUMNS, PORT, WIDE, PHONE = 112, 6016, (1400, 900), (390, 1500)
SMALL, SHADES = 1000, 160  # pixels across and colours of a picture

RUN = "hydra.run.dir=runs/default"
BLOW_UP = "experiment=keller_segel_blow_up hydra.run.dir=runs/blow_up"
SLOW = "pde=keller_segel network.width=64 verify=true hydra.run.dir=runs/slow"
SWEEP = "-m network.width=4,8,16,32 network.degree=1,3,5 hydra.sweep.dir=widths logger=tensorboard"
TABS = {  # of two runs, and of the sweep
    "scalars": "runs/?smoothing=0#scalars&_smoothingWeight=0&tagFilter=error",
    "layout": "runs/?smoothing=0#custom_scalars&_smoothingWeight=0",
    "images": "runs/#images",
    "distributions": "runs/#distributions",
    "particles": "runs/#histograms",
    "text": "runs/#text",
    "time": "runs/?smoothing=0&tagFilter=error#timeseries",
    "hparams": "widths/#hparams",
}
CURSOR = re.compile(r"\x1b\[(\d*)([A-Za-ln-z])|\x1b\[\?\d+[hl]|(\r)(?!\n)|(\r?\n)|((?:\x1b\[[\d;]*m|[^\x1b\r\n])+)")


def keep(content: bytes, name: str, width: int = SMALL) -> None:
    """Keep a picture, small."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.thumbnail((width, 10000), Image.Resampling.LANCZOS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    image.quantize(SHADES, Image.Quantize.MAXCOVERAGE, kmeans=3).save(PICTURES / f"{name}.png", optimize=True)


def shot(address: str, size: tuple[int, int], dark: bool = False) -> bytes:
    """What Chromium shows at an address, a PNG."""
    browser = next(path for name in BROWSERS if (path := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-3d-apis", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--screenshot={folder}/shot.png"]
        command += [f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=60000"]
        command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", address]
        subprocess.run(command, check=True, capture_output=True, timeout=180)
        return Path(folder, "shot.png").read_bytes()


def screen(output: str) -> str:
    """What is left on a terminal of an output that moves the cursor: up, to the start of a line, over lines."""
    lines, row = [""], 0
    for number, move, back, new, text in CURSOR.findall(output):
        if move == "A":
            row = max(0, row - int(number or 1))
        elif move == "K" or back:
            lines[row] = "" if move == "K" else lines[row]
        elif new:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = text if lines[row].startswith("\r") else lines[row] + text
        if back:
            lines[row] = "\r" + lines[row].lstrip("\r")
    return "\n".join(line.lstrip("\r") for line in lines)


def run(folder: Path, line: str) -> list[str]:
    """What a terminal shows of a command after each of its outputs."""
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (60, COLUMNS))
    words = [sys.executable, "-m", *shlex.split(line)]
    place = os.environ | {"COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}
    place["WGF_NO_CACHE"] = "1"  # reference solutions are computed, as for a new user
    process = subprocess.Popen(words, cwd=folder, env=place, stdout=there, stderr=there)
    os.close(there)
    parts = []
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # the command has ended
            break
        if not part:
            break
        parts.append(part)
    process.wait()
    os.close(here)
    whole = b"".join(parts)
    ends = itertools.accumulate(map(len, parts))
    return [screen(whole[:end].decode(errors="ignore")) for end in ends]


def terminal(folder: Path) -> None:
    """A run and its phases, a list of choices, a sweep while it works and at its end."""
    for name, line in (("run", RUN), ("list", "list pde"), ("phases", SLOW), ("sweep", SWEEP)):
        shown = run(folder, f"wgf.cli {line}")
        picture(f"terminal-{name}", f"wgf {line}", phases(shown) if name == "phases" else shown[-1], folder)
    working = [text for text in shown if " 2 running" in text and "best  W1" in text]
    picture("terminal-live", f"wgf {SWEEP}", working[len(working) // 2], folder)


def phases(shown: list[str]) -> str:
    """The last line of a terminal in each phase of a run: while it loads, in the middle of the flow, and then."""
    last = [text.rstrip().rpartition("\n")[2] for text in shown]
    found = {}
    for line in last:
        words = re.sub(r"\x1b\[[\d;]*m", "", line).strip()
        if bar := re.match(r"(\d+)%\|", words):
            if int(bar[1]) < 60:
                found["flow"] = line
        elif (
            words.startswith("loading")
            or "\N{BRAILLE PATTERN BLANK}" < words[:1] <= "\N{BRAILLE PATTERN DOTS-12345678}"
        ):
            found[words[2:]] = line
    return "\n".join(found.values())


def picture(name: str, title: str, text: str, folder: Path) -> None:
    """A terminal with a command and what it printed."""
    console = Console(record=True, width=COLUMNS + 6, file=io.StringIO(), force_terminal=True)
    console.print(f"$ {title}\n", style="bold", markup=False, highlight=False)
    console.print(Text.from_ansi(text.rstrip()))
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="wgf"), flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    page = folder / "terminal.html"
    page.write_text(f'<body style="margin:0">{svg}</body>', encoding="utf-8")
    _, _, width, height = map(float, re.search(r'viewBox="([^"]*)"', svg)[1].split())
    keep(shot(page.as_uri(), (1100, round(1100 * height / width))), name)


def report(folder: Path) -> None:
    """The page of a run: light, dark, on a phone; and that of a sweep."""
    for place in ("runs/default", "widths"):
        subprocess.run([sys.executable, "-m", "wgf.sweep.report", place], cwd=folder, check=True)
    page, jobs = (folder / place / "report.html" for place in ("runs/default", "widths"))
    keep(shot(page.as_uri(), WIDE), "report-light")
    keep(shot(page.as_uri(), WIDE, dark=True), "report-dark")
    keep(shot(jobs.as_uri(), (1400, 1000)), "report-sweep")
    for name, path in (("report-phone", page), ("report-sweep-phone", jobs)):
        keep(phone(path, folder), name, PHONE[0])


def readme(folder: Path) -> None:
    """The picture that the README shows, as the default run draws it."""
    keep((folder / "runs" / "default" / "figures" / "density.png").read_bytes(), "../density", 1200)


def phone(page: Path, folder: Path) -> bytes:
    """A page as wide as a phone, in a frame: windows of Chromium are wider."""
    frame, (width, height) = folder / "phone.html", PHONE
    inside = f'<iframe src="{escape(page.as_uri())}" style="border:0;width:{width}px;height:{height}px"></iframe>'
    frame.write_text(f'<body style="margin:0">{inside}</body>', encoding="utf-8")
    file = io.BytesIO()
    Image.open(io.BytesIO(shot(frame.as_uri(), (600, height)))).crop((0, 0, width, height)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """TensorBoard of a folder; yields its address."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(PORT)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address, patience = f"http://localhost:{PORT}/", time.monotonic() + 60
        while True:
            try:
                if b"default" in urllib.request.urlopen(f"{address}data/runs").read() or "widths" in str(folder):
                    break
            except OSError:
                pass
            if time.monotonic() > patience:
                raise TimeoutError(f"TensorBoard does not answer at {address}")
            time.sleep(0.5)
        time.sleep(5)  # it reads the events
        yield address
    finally:
        process.terminate()
        process.wait()


def tensorboard(folder: Path) -> None:
    """Every tab."""
    for place in ("runs", "widths"):
        with served(folder / place) as address:
            for name, tab in TABS.items():
                if tab.startswith(place):
                    keep(shot(address + tab.removeprefix(f"{place}/"), WIDE), f"tensorboard-{name}")


def site(folder: Path) -> None:
    """Two pages of the documentation."""
    subprocess.run([sys.executable, ROOT / "scripts" / "site.py"], check=True)
    server = [sys.executable, "-m", "http.server", str(PORT + 1), "--directory", ROOT / "outputs" / "site" / "html"]
    process = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        keep(shot(f"http://localhost:{PORT + 1}/gallery/", WIDE), "site-light")
        keep(shot(f"http://localhost:{PORT + 1}/api/", WIDE, dark=True), "site-dark")
    finally:
        process.terminate()
        process.wait()


PARTS = {"terminal": terminal, "readme": readme, "report": report, "tensorboard": tensorboard, "site": site}


def main(names: list[str]) -> None:
    """Make the pictures of some parts."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if "terminal" not in names and {"readme", "report", "tensorboard"} & {*names}:
            for line in (RUN, SWEEP):
                run(folder, f"wgf.cli {line}")
        for name in names:
            if name == "tensorboard":
                shutil.rmtree(folder / "runs" / "slow", ignore_errors=True)
                run(folder, f"wgf.cli {BLOW_UP}")
            PARTS[name](folder)


if __name__ == "__main__":
    main(sys.argv[1:] or [*PARTS])
