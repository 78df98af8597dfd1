"""Forked processes, in a process without other threads, which the one of the tests may not be."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

BEGIN = """
import json, multiprocessing, os, signal, threading, time
from concurrent.futures.process import BrokenProcessPool
from wgf.sweep.forked import beside, in_processes

def answer(number):
    time.sleep(0.05)
    return number, os.getpid()
"""


def said(code: str, folder: Path) -> Any:
    """What a fresh interpreter prints as JSON."""
    run = [sys.executable, "-c", BEGIN + dedent(code)]
    answer = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    return json.loads(answer.stdout)


def test_forks_share_the_work(tmp_path: Path):
    found, own, rest = said(
        """
        found = in_processes(answer, 9, 2)
        print(json.dumps([found, os.getpid(), threading.active_count()]))
        """,
        tmp_path,
    )
    assert [number for number, _ in found] == list(range(9))
    workers = {process for _, process in found}
    assert len(workers) == 2
    assert own not in workers
    assert rest == 1


def test_one_process_is_this_one_and_so_it_is_beside_other_threads(tmp_path: Path):
    one, beside, own = said(
        """
        one = in_processes(answer, 2, 1)
        over = threading.Event()
        other = threading.Thread(target=over.wait)
        other.start()
        beside = in_processes(answer, 2, 2)
        over.set()
        print(json.dumps([one, beside, os.getpid()]))
        """,
        tmp_path,
    )
    assert one == beside == [[0, own], [1, own]]


def test_a_killed_process_costs_one_answer(tmp_path: Path):
    done, children = said(
        """
        def work(number):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            open(str(number), "w").close()

        try:
            in_processes(work, 5, 2)
        except BrokenProcessPool:
            done = sorted(os.listdir())
        try:
            children = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            children = None
        print(json.dumps([done, children]))
        """,
        tmp_path,
    )
    assert done == ["0", "2", "3", "4"]
    assert children is None


def test_a_failure_is_raised_when_the_rest_is_done(tmp_path: Path):
    """Also one that no other process can read, because its class wants more arguments."""
    found = said(
        """
        class Strange(Exception):
            def __init__(self, one, other):
                super().__init__(one)

        def work(number):
            if number == 1:
                raise error
            open(str(number), "w").close()

        found = []
        for error in (ValueError("no"), Strange("no", "more")):
            try:
                in_processes(work, 5, 2)
            except Exception as raised:
                found.append([type(raised).__name__, str(raised), sorted(os.listdir())])
        print(json.dumps(found))
        """,
        tmp_path,
    )
    (kind, text, done), (other, about, rest) = found
    assert (kind, text, done) == ("ValueError", "no", ["0", "2", "3", "4"])
    assert other == "WgfError"
    assert about.startswith("the answer of job 1 cannot be sent")
    assert rest == done


def test_an_interruption_ends_all_processes(tmp_path: Path):
    ends = said(
        """
        ends = []

        def late(number):
            time.sleep(60)

        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        begin = time.monotonic()
        try:
            in_processes(late, 4, 2)
        except KeyboardInterrupt:
            ends.append(time.monotonic() - begin < 30)
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            ends.append("none left")
        print(json.dumps(ends))
        """,
        tmp_path,
    )
    assert ends == [True, "none left"]


def test_processes_end_with_the_one_that_made_them(tmp_path: Path):
    """Nobody reads the answers of a process whose parent was killed: it ends after its work."""
    children = said(
        """
        def work(number):
            open(f"{os.getpid()}.pid", "w").close()
            time.sleep(0.3)

        parent = os.fork()
        if parent == 0:
            in_processes(work, 100, 2)
        while len([name for name in os.listdir() if name.endswith(".pid")]) < 2:
            time.sleep(0.02)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        pids = [int(name[:-4]) for name in os.listdir()]
        end = time.monotonic() + 20
        while time.monotonic() < end and any(map(os.path.exists, [f"/proc/{pid}/fd/0" for pid in pids])):
            time.sleep(0.05)
        print(json.dumps([os.path.exists(f"/proc/{pid}/fd/0") for pid in pids]))
        """,
        tmp_path,
    )
    assert children == [False, False]


def test_a_work_beside_a_block(tmp_path: Path):
    """It is done by a fork meanwhile, which leaves with the block; here beside another thread."""
    there, took, own, left, here = said(
        """
        with beside(lambda: (time.sleep(0.3), os.getpid())[1]) as waited:
            time.sleep(0.3)
            begin = time.monotonic()
            there = waited()
            took = time.monotonic() - begin
        try:
            with beside(lambda: time.sleep(60)):
                raise ValueError
        except ValueError:
            left = len(multiprocessing.active_children())
        over = threading.Event()
        other = threading.Thread(target=over.wait)
        other.start()
        with beside(os.getpid) as waited:
            here = waited()
        over.set()
        print(json.dumps([there, took, os.getpid(), left, here]))
        """,
        tmp_path,
    )
    assert there != own == here
    assert took < 0.25
    assert left == 0


def test_what_a_fork_cannot_do_is_done_in_the_block(tmp_path: Path):
    found = said(
        """
        own = os.getpid()

        def raises():
            raise ValueError(os.getpid() == own)

        def dies():
            return "here" if os.getpid() == own else os.kill(os.getpid(), signal.SIGKILL)

        def sends_nothing():
            return "here" if os.getpid() == own else lambda: 0

        found = []
        for work in (raises, dies, sends_nothing):
            with beside(work) as waited:
                try:
                    found.append(waited())
                except ValueError as error:
                    found.append(error.args[0])
        print(json.dumps(found))
        """,
        tmp_path,
    )
    assert found == [True, "here", "here"]
