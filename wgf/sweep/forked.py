"""Work in forked processes: each has at once all that this process has loaded."""

from __future__ import annotations

import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, TypeVar

from wgf.errors import WgfError, in_one_line
from wgf.run.signals import STOPPING
from wgf.sweep.session import become_worker, current

Answer = TypeVar("Answer")
Work = Callable[[int], Answer]


def in_processes(work: Work[Answer], count: int, processes: int) -> list[Answer]:
    """work(0), ..., work(count - 1), in forked processes, each of which takes the next number when it is free.

    One process is this one. So it is where a fork may hang.

    Raises:
        BrokenProcessPool: a process ended before its work; the others have done the rest.
        Exception: what the first work that failed has raised; the rest has been done.
    """
    sweep, children = current().sweep, dict[Connection, BaseProcess]()
    try:
        with sweep.quiet() if sweep else nullcontext():
            if processes > 1 and _forks():
                _fork(work, min(processes, count), children)
        if not children:
            return [work(number) for number in range(count)]
        answers = _gathered(list(children), count)
    except BaseException:
        for child in children.values():
            child.kill()
        raise
    finally:
        for child in children.values():
            child.join()
    if len(answers) < count:
        raise BrokenProcessPool("a process ended before its work")
    for number in range(count):
        if isinstance(answers[number], _Failure):
            raise answers[number].error
    return [answers[number] for number in range(count)]


@contextmanager
def beside(work: Callable[[], Answer]) -> Iterator[Callable[[], Answer]]:
    """Do a work in a fork during a block. The block gets what waits for the answer; where the fork fails, or none can
    be, this process does the work then, and raises what it raises."""
    children = dict[Connection, BaseProcess]()

    def answer() -> Answer:
        found = _gathered([*children], 0)
        return found[0] if 0 in found and not isinstance(found[0], _Failure) else work()

    try:
        if _forks():
            _fork(lambda _: work(), 1, children)
            next(iter(children)).send(0)
        yield answer
    finally:
        for child in children.values():
            child.kill()
            child.join()


def _forks() -> bool:
    """Whether a fork cannot hang: it copies the locks of other threads, but not the threads."""
    return sys.platform == "linux" and threading.active_count() == 1


class _Failure(NamedTuple):
    """What a work has raised."""

    error: Exception


def _fork(work: Work[Any], processes: int, children: dict[Connection, BaseProcess]) -> None:
    """Add processes that work, by our ends of the pipes to them. Signals wait until a process has its own handlers."""
    context = get_context("fork")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            child = context.Process(target=_serve, args=(work, theirs, [*children, ours], before))
            child.start()
            theirs.close()
            children[ours] = child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: Work[Any], pipe: Connection, others: Sequence[Connection], mask: set[signal.Signals]) -> None:
    """Work on each number that comes through a pipe, until None comes or the process behind it has ended."""
    become_worker()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for end in others:  # an open copy would hide the end of that process
        end.close()
    with suppress(EOFError, BrokenPipeError):
        pipe.send(None)
        while (number := pipe.recv()) is not None:
            pipe.send((number, _packed(work, number)))


def _packed(work: Work[Any], number: int) -> bytes:
    """The answer of a work, or its failure, as bytes that another process can read."""
    try:
        answer: Any = work(number)
    except Exception as error:
        answer = _Failure(error)
    try:
        packed = pickle.dumps(answer)
        pickle.loads(packed)
    except Exception as error:  # classes from anywhere may not come back
        packed = pickle.dumps(_Failure(WgfError(f"the answer of job {number} cannot be sent: {in_one_line(error)}")))
    return packed


def _gathered(pipes: list[Connection], count: int) -> dict[int, Any]:
    """The answers by their numbers, those of killed processes missing."""
    answers, numbers = dict[int, Any](), iter(range(count))
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                if (found := pipe.recv()) is not None:  # with which a process says that it is ready
                    answers[found[0]] = pickle.loads(found[1])
                pipe.send(next(numbers, None))
            except (EOFError, OSError):  # the process has ended
                pipes.remove(pipe)
    return answers
