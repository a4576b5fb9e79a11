"""SIGTERM and SIGHUP end a command as Ctrl-C does, and processes end with their parent."""

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

# What a batch system or a container sends, and what a terminal sends that closes.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def signals_interrupt() -> Generator[None]:
    """Raises KeyboardInterrupt on SIGTERM and SIGHUP, so that temporary files are removed.

    A signal that is ignored or handled already keeps its meaning. Only the main thread can
    listen; in another one nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()
    plain = [s for s in _SIGNALS if main and signal.getsignal(s) == signal.SIG_DFL]
    last = -math.inf

    def interrupt(*_: object) -> None:
        # A second signal shortly after would interrupt the cleaning up. A later one counts: Python
        # drops an exception that is raised in a finalizer, and the first may have been lost so.
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > _PATIENCE:
            raise KeyboardInterrupt

    for number in plain:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in plain:
            signal.signal(number, signal.SIG_DFL)


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
