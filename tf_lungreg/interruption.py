"""Signals end a command and leave nothing half done, and processes end with their parent."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator
from multiprocessing.process import BaseProcess

_PATIENCE = 10  # seconds in which a process that was told to end may clean up

# Ctrl-C; what a batch system or a container sends; and what a terminal sends that closes.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGINT):
        super().__init__()
        self.number = number


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """The exit status of a command that a signal ended: 128 and the signal's number."""
    return 128 + getattr(interrupt, "number", signal.SIGINT)


@contextlib.contextmanager
def signals_interrupt() -> Generator[None]:
    """Raises Interrupted on SIGINT, SIGTERM and SIGHUP, so that temporary files are removed.

    A signal that is ignored or handled already keeps its meaning. Only the main thread can
    listen; in another one nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.getsignal(s) for s in _SIGNALS if main}
    plain = [s for s in before if before[s] in (signal.SIG_DFL, signal.default_int_handler)]
    last = -math.inf

    def interrupt(number: int, _: object) -> None:
        # A second signal shortly after would interrupt the cleaning up. A later one counts: Python
        # drops an exception that is raised in a finalizer, and the first may have been lost so.
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _PATIENCE:
            raise Interrupted(number)

    for number in plain:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in plain:
            signal.signal(number, before[number])


def end_with_parent() -> None:
    """Lets this process end when the one that started it does, even if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent,), daemon=True).start()


def _wait_for(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(1)
