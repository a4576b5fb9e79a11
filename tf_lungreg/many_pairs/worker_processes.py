"""Work in processes of their own: one that dies is one task that failed."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Mapping
from multiprocessing import connection
from typing import Any, Generic, TypeVar

import tensorflow as tf

from tf_lungreg.environment import available_cores
from tf_lungreg.interruption import end_with_parent, signals_interrupt

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

_PATIENCE = 5  # seconds in which workers that are told to end may remove their temporary files


def run_in_workers(
    work: Callable[[_Argument], _Result], tasks: Mapping[str, _Argument], jobs: int
) -> Generator[tuple[str, _Result | WorkerDied]]:
    """Calls a function with each of many arguments, in other processes.

    A file can end the process that reads it. Therefore even one task at a time is not done in this
    process. A script that calls this needs ``if __name__ == "__main__":``, as for every use of
    multiprocessing.

    Args:
        work: a function that can be pickled.
        tasks: name → argument.
        jobs: how many tasks at a time.

    Yields:
        The name of each task as it ends, and what the function returned, or a
        :class:`WorkerDied`.
    """
    waiting = list(tasks.items())[::-1]
    threads = max(1, available_cores() // jobs) if jobs > 1 else None
    workers: list[_Worker[_Argument, _Result]] = []
    try:
        workers += [_Worker(work, threads) for _ in range(min(jobs, len(waiting)))]
        for worker in workers:
            worker.begin(*waiting.pop())
        while busy := [worker for worker in workers if worker.task is not None]:
            ready = connection.wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                name, result = worker.finish()
                if isinstance(result, WorkerDied):
                    workers.remove(worker)
                    if waiting:
                        worker = _Worker(work, threads)
                        workers.append(worker)
                if waiting:
                    worker.begin(*waiting.pop())
                yield name, result
    finally:
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + _PATIENCE  # one for all
        for worker in workers:
            worker.end(deadline)


class WorkerDied:
    """In place of a result: the process ended before it had one.

    Args:
        code: the process' exit code, negative for a signal.
    """

    def __init__(self, code: int):
        self.code = code

    def __str__(self) -> str:
        """What happened, as the reason why a pair failed."""
        if self.code >= 0:
            return f"the process ended with status {self.code} while it worked on this pair"
        name = signal.Signals(-self.code).name
        hint = "; perhaps memory ran out" if name == "SIGKILL" else "; perhaps a file is damaged"
        return f"the process was ended by {name} while it worked on this pair{hint}"


class _Worker(Generic[_Argument, _Result]):
    """A process that does one task after another."""

    def __init__(self, work: Callable[[_Argument], _Result], threads: int | None):
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self.process.start()
        theirs.close()  # so that the worker's end shows here as the end of the connection
        self.task: str | None = None

    def begin(self, name: str, argument: _Argument) -> None:
        self.task = name
        try:
            self.connection.send(argument)
        except OSError:  # it has died; finish() tells
            pass

    def finish(self) -> tuple[str, _Result | WorkerDied]:
        name, self.task = self.task, None
        assert name is not None  # it was begun
        try:
            return name, self.connection.recv()
        except (EOFError, OSError):
            self.end(time.monotonic() + _PATIENCE)
            code = self.process.exitcode
            assert code is not None  # it has ended
            return name, WorkerDied(code)

    def end(self, deadline: float) -> None:
        """Kills the process if it has not ended in time."""
        self.connection.close()
        self.process.join(max(0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(
    tasks: connection.Connection, work: Callable[[Any], object], threads: int | None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, too, which ends this
    end_with_parent()
    try:
        with signals_interrupt():
            if threads is not None:
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
            while True:
                tasks.send(work(tasks.recv()))
    except (EOFError, OSError, KeyboardInterrupt):  # the parent has ended, or wants no more
        pass
