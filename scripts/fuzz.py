"""Run random invalid invocations of the command, each in a process of its own, and check their messages.

    python scripts/fuzz.py --count 1000 --out fuzz.jsonl        the same command again continues after a stop
    python scripts/fuzz.py --add engine=compiled                the same with the compiled engine

Every invocation must say in clear lines what is wrong and how to mend it, end with exit status 2, and leave no file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from wgf import cli
from wgf.run import runner  # noqa: F401 - imports torch before the processes are forked
from wgf.settings.check import CONFIGS, GROUPS, ROOT
from wgf.settings.constructors import settings
from wgf.settings.ranges import Choice, Flag, ListOf, Range, Written

MENDS = re.compile(
    r"expected|did you mean|options: |say |use |give |choose |change |lower |raise |increase |decrease |allowed|"
    r"at most|write it|see wgf|must be|drop"
)
PARTNERS = {"potential": ["potential.expr=x"], "interaction": ["pde=aggregation_diffusion"]}
Case = tuple[str, list[str]]  # kind of fault, words of the command line


def bad_values(rule: Any) -> list[str]:
    """Values that a rule does not allow, as one writes them."""
    if isinstance(rule, Range):
        values = ["nan", "inf", "-inf", "abc", "true", "[1]", "{a:1}", "''", "'1'", "1e999"]
        values += [] if rule.none else ["null"]
        values += [f"{rule.low - 1:g}"] if rule.low > -1e300 else []
        values += [str(int(rule.high) + 1)] if rule.high < 1e300 else []
        values += [f"{rule.low:g}"] if rule.open_low else []
        return values + (["2.5"] if rule.kind is int else [])
    if isinstance(rule, Choice):
        return ["nope", "1", "null", "[a]", "''", rule.words[0][:-1]]
    if isinstance(rule, Flag):
        return ["maybe", "1", "null", "'true'"]
    if isinstance(rule, Written):
        return ["3", "null", "[x]", "true"]
    if isinstance(rule, ListOf):
        return ["[]", "3", "[nan]", "[abc]", "null", "[[1]]", "abc"]
    return ["3", "[1]", "''", "{a:1}"]


def nodes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every choice of every group, with its settings."""
    for group in GROUPS:
        for path in sorted((CONFIGS / group).glob("*.yaml")):
            yield group, path.stem, settings(OmegaConf.load(path)._target_) or {}


def typo(draw: random.Random, word: str) -> str:
    """The word with a letter removed, doubled or replaced."""
    k = draw.randrange(len(word))
    return draw.choice(
        [word[:k] + word[k + 1 :], word[:k] + 2 * word[k] + word[k + 1 :], word[:k] + "q" + word[k + 1 :]]
    )


def values(draw: random.Random) -> Iterator[list[str]]:
    for group, choice, known in nodes():
        for key, setting in known.items():
            for value in bad_values(setting.rule):
                yield [f"{group}={choice}", *PARTNERS.get(group, []), f"{group}.{key}={value}"]
    for key, rule in ROOT.items():
        yield from ([f"{key}={value}"] for value in bad_values(rule))


def typos(draw: random.Random) -> Iterator[list[str]]:
    for group, choice, known in nodes():
        yield [f"{group}={typo(draw, choice)}q"]
        yield [f"{typo(draw, group)}q={choice}"]
        for key in known:
            yield [f"{group}={choice}", f"{draw.choice(['', '+', '++'])}{group}.{typo(draw, key)}q=1"]
    for key in ROOT:
        yield [f"{draw.choice(['', '+', '++', '~'])}{typo(draw, key)}q=1"]


def grammar(draw: random.Random) -> Iterator[list[str]]:
    words = ["t_end", "=3", "+", "++", "~", "~~", "t_end==3", "t_end=[0.1", "t_end=${", "ünicode=3", "t_end=(", "~nope"]
    yield from ([word] for word in (*words, "", " "))
    for value in (
        *["0.1s", "0.1,0.2", "'0.1'", "０.５", "${oc.env:NOPE_NOPE}", "${nope:1}", "${t_end}", "é", "😀", "{"],
        "a b",
    ):
        keys = ("t_end", "seed", "network.width", "law.std", "pde.diffusion")
        yield from ([f"{key}={value}"] for key in keys if not (value == "${t_end}" and key in keys[3:]))
    for sign in ("=", "[", "]", "{", "}", "(", ")", ",", ":", "'", '"', "\\", "$", "@", "#"):
        yield [f"t_end=0.1{sign}0.2{sign}" if sign not in ("#", "@", "$") else f"t_end={sign}0.1"]
        yield [f"potential.expr=x**2{sign}x", "potential=expression"]


def flags(draw: random.Random) -> Iterator[list[str]]:
    yield from (
        [flag] for flag in ["--nope", "-x", "--config-dir", "--cfg", "--resolve", "--config-name", "-sc", "--package"]
    )
    for flag in [
        "--cfg",
        "--info",
        "--config-name",
        "--config-path",
        "--config-dir",
        "--experimental-rerun",
        "-cd",
        "-cn",
    ]:
        yield from ([flag, name] for name in ("nope", "file", "/nope/nope"))
    yield from (
        ["-m", word] for word in ("t_end=-1", "t_end=1,-1", "foo=1,2", "pde=nope,fokker_planck", "seed=range(-3,-1)")
    )
    yield ["network=mlp", "-m", "t_end=1,2"]


def folders(draw: random.Random) -> Iterator[list[str]]:
    for name in ("", "file", "file/x", "file/x/y", "done", "/proc/x", "/dev/null", "null", "[1]", "${nope}", "n" * 300):
        yield [f"hydra.run.dir={name}"]
    names = ("hydra.job.chdir=maybe", "hydra.foo=1", "hydra=x", "hydra/launcher=x", "hydra.mode=x", "hydra.job.num=x")
    yield from ([name] for name in names)
    yield from ([f"resume={name}"] for name in ("nope", "file", "done", "''"))


def code(draw: random.Random) -> Iterator[list[str]]:
    """Overrides that would run code from elsewhere."""
    for group in GROUPS:
        for name in [
            "os.system",
            "builtins.eval",
            "subprocess.Popen",
            "wgf.integrators.status.Status",
            "a.b.C",
            "''",
            "wgf.cli.main",
        ]:
            yield [f"{group}._target_={name}"]
    for name in ("os.system", "os.mkdir", "builtins.exec", "nope.x"):
        yield [f"+hydra.callbacks.a._target_={name}"]
        yield [f"hydra.job_logging.handlers.console.class={name}"]
        yield [f"network.width={{_target_:{name}}}"]


def files(draw: random.Random) -> Iterator[list[str]]:
    yield from (["-cd", "mine", f"network={name}"] for name in NETWORKS)
    yield from (["-cd", "mine", f"experiment={name}"] for name in EXPERIMENTS)


def pairs(draw: random.Random) -> Iterator[list[str]]:
    yield from (["network=mlp", f"integrator={name}"] for name in ("rodas4", "sdirk2", "sdirk3"))
    yield from (
        ["network=two_sided_relu", "network.train=all", f"integrator={n}"] for n in ("rodas4", "sdirk2", "sdirk3")
    )
    yield from ([f"interaction={kernel}"] for kernel in ("log", "morse", "newtonian", "power_law", "quadratic"))
    yield from ([f"solver={solver}"] for solver in ("qr", "minres", "cholesky", "truncated"))
    yield from ([f"integrator={name}", "t_end=1e-5"] for name in ("euler", "heun", "rk4", "jko", "sdirk2", "sdirk3"))
    yield from ([f"integrator={name}", "integrator.dt=1e-30"] for name in ("euler", "heun", "rk4", "jko", "sdirk2"))
    yield from (
        [word] for word in ("integrator.dt=1", "integrator.dt_min=1", "quadrature.order=3", "network.width=1e12")
    )
    yield from ([word] for word in ("saves=1e12", "seed=1e30", "reference_solution=exact", "device=cuda:99"))
    yield ["law=uniform", "law.low=1"]
    yield ["law=mixture", "law.means=[0,1,2]"]
    diffusive = ("fokker_planck", "porous_medium", "keller_segel", "aggregation_diffusion")
    yield from ([f"pde={pde}", "pde.diffusion=1e300"] for pde in diffusive)
    yield from ([f"threads={count}"] for count in ("1e400", "1000000000"))


def expressions(draw: random.Random) -> Iterator[list[str]]:
    atoms = ("x.real", "x.__class__", "__import__('os')", "y", "open('f')", "x[0]", "[x]", "lambda: x", "x if x else 1")
    atoms += (
        "exp",
        "exp()",
        "exp(x, x)",
        "x < 1",
        "x // 2",
        "x % 2",
        "x @ x",
        "2j",
        "'x'",
        "x +",
        "(x",
        "1e400",
        "max(x)",
    )
    for atom in atoms:
        for frame in ("{}", "x**2 + {}", "exp({})", "-({})/2"):
            yield ["potential=expression", 'potential.expr="{}"'.format(frame.format(atom).replace("'", "\\'"))]
    for text in [
        "1/x",
        "log(x)",
        "-x**4",
        "9**9**9**9",
        "exp(exp(x))",
        "x**2.5",
        "-exp(x)",
        "tan(x)",
        "log(abs(x-0.3))",
    ]:
        yield ["potential=expression", f'potential.expr="{text}"']


KINDS = {f.__name__: f for f in (values, typos, grammar, flags, folders, code, files, pairs, expressions)}
NETWORKS = {
    "broken": "a: [1,\n  b: : c",
    "list": "- 1\n- 2\n",
    "empty": "",
    "text": "hello",
    "twice": "_target_: wgf.networks.spline.Spline\nwidth: 3\nwidth: 4\n",
    "object": "_target_: !!python/object/apply:os.mkdir ['hacked']\n",
    "lost": "defaults:\n  - nothing\n_target_: wgf.networks.spline.Spline\n",
    "nested": "_target_: wgf.networks.spline.Spline\nwidth: {_target_: os.mkdir, path: hacked}\n",
    "abstract": "_target_: wgf.networks.base.TransportMap\n",
    "other": "_target_: wgf.problem.laws.Gaussian\n",
    "typo": "_target_: wgf.networks.spline.Spline\nwidht: 3\n",
}
EXPERIMENTS = {
    "plain": "t_end: 3\n",
    "lost": "# @package _global_\ndefaults:\n  - override /pde: nothing\n",
    "callback": "# @package hydra.callbacks\na: {_target_: os.mkdir, path: hacked}\n",
    "logger": "# @package hydra.job_logging.handlers.mine\nclass: os.mkdir\npath: hacked\n",
    "bad": "# @package _global_\nt_end: -3\nnetwork:\n  widht: 3\n",
}


def cases(count: int, seed: int) -> list[Case]:
    """Invocations of every kind, then random pairs of them; the seed decides which."""
    draw = random.Random(seed)
    single = [(kind, words) for kind, make in KINDS.items() for words in make(draw)]
    draw.shuffle(single)
    plain = [(kind, words) for kind, words in single if kind in ("values", "typos", "grammar", "pairs")]
    while len(single) < count:
        (_, one), (_, two) = draw.sample(plain, 2)
        single.append(("two at once", [*one, *two]))
    rare = [case for case in single if case[0] not in ("values", "typos", "two at once")]
    common = [case for case in single if case[0] in ("values", "typos", "two at once")]
    return [*rare, *common][:count]


def write_bad_files(folder: Path) -> None:
    """Write an empty file, a finished run and faulty configs to a folder."""
    (folder / "file").write_text("")
    (folder / "done").mkdir()
    (folder / "done" / "result.json").write_text("{}")
    for group, texts in (("network", NETWORKS), ("experiment", EXPERIMENTS)):
        (folder / "mine" / group).mkdir(parents=True)
        for name, text in texts.items():
            (folder / "mine" / group / f"{name}.yaml").write_text(text)


def fresh(words: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and output of the command in a new interpreter."""
    answer = subprocess.run(
        [sys.executable, "-m", "wgf.cli", *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    return answer.returncode, answer.stderr + answer.stdout


def forked(words: list[str], folder: Path) -> tuple[int, str]:
    """The same in a copy of this process, which has loaded the program already: five times faster."""
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            os.chdir(folder)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.argv = ["wgf", *words]
            status = 0
            try:
                cli.main()
            except SystemExit as stop:
                status = int(stop.code or 0)
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, end = os.waitpid(pid, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(end), output.read().decode()


def judge(case: Case, start: Callable[[list[str], Path], tuple[int, str]]) -> dict[str, Any]:
    """Run an invocation in a temporary folder; returns its row."""
    kind, words = case
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bad_files(folder)
        before = set(folder.rglob("*"))
        status, output = start(words, folder)
        changed = len(set(folder.rglob("*")) ^ before)
    lines = output.splitlines()
    clear = bool(lines) and all(
        line.startswith("wgf: ") and line.isprintable() and len(line) < 1000 and MENDS.search(line) for line in lines
    )
    return {
        "kind": kind,
        "words": words,
        "exit": status,
        "clear": clear,
        "traceback": "Traceback" in output,
        "files": changed,
        "output": lines,
    }


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows in a file; none if it does not exist."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def table(invocations: list[dict[str, Any]]) -> str:
    """Markdown table of the number of invocations by kind of fault."""
    lines = [
        "| kind of fault | invocations | clear lines | exit status 2 | tracebacks | files left |",
        "|---|---|---|---|---|---|",
    ]
    for kind in [*Counter(row["kind"] for row in invocations), None]:
        mine = [row for row in invocations if kind in (None, row["kind"])]
        counts = (
            len(mine),
            sum(row["clear"] for row in mine),
            sum(row["exit"] == 2 for row in mine),
            sum(row["traceback"] for row in mine),
            sum(row["files"] for row in mine),
        )
        lines.append(f"| {kind or 'all'} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("fuzz.jsonl"))
    parser.add_argument("--fresh", action="store_true", help="start a new interpreter for each invocation")
    parser.add_argument("--add", nargs="*", default=[], help="words of every invocation, such as engine=compiled")
    args = parser.parse_args()
    done = [row["words"] for row in rows(args.out)]
    whole = [(kind, [*args.add, *words]) for kind, words in cases(args.count, args.seed)]
    remaining = [case for case in whole if case[1] not in done]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(args.jobs, context) as pool, open(args.out, "a") as file:
        for row in pool.map(judge, remaining, [fresh if args.fresh else forked] * len(remaining)):
            file.write(json.dumps(row) + "\n")
            file.flush()
    invocations = rows(args.out)
    print(table(invocations))
    bad = [row for row in invocations if not row["clear"] or row["exit"] != 2 or row["traceback"] or row["files"]]
    for row in bad:
        print(row)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
