"""One HTML page without other files: figures are embedded, scripts, style sheets and fonts are not loaded."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from wgf.settings.flat import number

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 3rem; background: #fff; color: #1d1d1f;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: .75rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid #ddd; }
p { margin: .4rem 0; max-width: 60rem; }
.status { display: inline-block; padding: 0 .5rem; border-radius: .3rem; font-weight: 600; }
.good { background: #d8efe6; color: #00523c; }
.bad { background: #fbe3d4; color: #7a3300; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.2rem;
  align-items: start; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; }
figcaption { color: #555; font-size: .88rem; margin-top: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; border-bottom: 1px solid #eee; }
.rows td { white-space: nowrap; }
.rows th { white-space: nowrap; border-bottom: 1px solid #999; }
.facts th { font-weight: 400; color: #555; white-space: nowrap; }
.number { text-align: right; }
pre { overflow-x: auto; background: #f6f6f7; padding: .8rem 1rem; border-radius: .4rem; font-size: .82rem; }
summary { cursor: pointer; }
a { color: #0b57a4; }
@media print { .figures { grid-template-columns: 1fr 1fr; } figure { break-inside: avoid; } }
""".strip()
KINDS = {"svg": "image/svg+xml", "gif": "image/gif", "png": "image/png"}


def page(title: str, parts: Iterable[str]) -> str:
    """The page as a document."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def head(title: str, status: str, good: bool, *lines: str) -> str:
    """Title and coloured status; the first line explains the status."""
    mark = f'<span class="status {"good" if good else "bad"}">{escape(status)}</span>'
    first, *others = [escape(line) for line in lines if line]
    return "\n".join([f"<h1>{escape(title)}</h1>", f"<p>{mark} {first}</p>", *(f"<p>{line}</p>" for line in others)])


def section(heading: str, *parts: str) -> str:
    """A heading and its parts; empty without parts."""
    inside = "\n".join(part for part in parts if part)
    return f"<h2>{escape(heading)}</h2>\n{inside}" if inside else ""


def figure(content: bytes, kind: str, caption: str) -> str:
    """An embedded picture, kind "svg", "gif" or "png"; names inside an SVG do not clash with those of others."""
    data = base64.b64encode(content).decode()
    alt = escape(caption, quote=True)
    source = f"data:{KINDS[kind]};base64,{data}"
    return f'<figure><img src="{source}" alt="{alt}"><figcaption>{escape(caption)}</figcaption></figure>'


def figures(pictures: Iterable[str]) -> str:
    """Pictures side by side, as many as fit."""
    inside = "\n".join(pictures)
    return f'<div class="figures">\n{inside}\n</div>' if inside else ""


def facts(lines: Iterable[tuple[str, str]]) -> str:
    """A table of names and values."""
    rows = [f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in lines]
    return '<div class="wide"><table class="facts">\n' + "\n".join(rows) + "\n</table></div>" if rows else ""


def rows(columns: Sequence[str], cells: Iterable[Sequence[str]], links: Sequence[str] = ()) -> str:
    """A table with a row for each job; columns of numbers are aligned to the right.

    Args:
        links: the address to which the first cell of each row leads, or "".
    """
    table = [list(row) for row in cells]
    right = [all(_number(row[k]) for row in table) for k in range(len(columns))]
    head = "".join(f"<th{_side(right[k])}>{escape(name)}</th>" for k, name in enumerate(columns))
    body = []
    for k, row in enumerate(table):
        words = [escape(cell) for cell in row]
        if k < len(links) and links[k]:
            words[0] = f'<a href="{escape(links[k], quote=True)}">{words[0]}</a>'
        inner = (f"<td{_side(side)}>{word}</td>" for side, word in zip(right, words, strict=True))
        body.append(f"<tr>{''.join(inner)}</tr>")
    inside = "\n".join(body)
    return (
        f'<div class="wide"><table class="rows">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{inside}\n</tbody>\n'
        "</table></div>"
    )


def listing(summary: str, text: str) -> str:
    """The text of a file, folded until it is clicked."""
    return f"<details><summary>{escape(summary)}</summary>\n<pre>{escape(text)}</pre>\n</details>" if text else ""


def _side(right: bool) -> str:
    return ' class="number"' if right else ""


def _number(text: str) -> bool:
    return not text or number(text.replace(",", "").rstrip("*")) is not None  # a number may have a mark
