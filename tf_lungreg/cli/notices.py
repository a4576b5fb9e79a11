"""What a user of the command line reads: messages, one-line warnings, output nobody need read."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Generator
from typing import Any, TextIO

from tf_lungreg.errors import InputError


@contextlib.contextmanager
def printed_messages() -> Generator[None]:
    """Prints what the package logs: errors on standard error, messages on standard output."""
    logger, console = logging.getLogger("tf_lungreg"), _Console()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a handler of the caller's would print each line again
    logger.addHandler(console)
    try:
        yield
    finally:
        logger.removeHandler(console)
        logger.setLevel(level)
        logger.propagate = propagate


class _Console(logging.Handler):
    """Prints to the streams of the moment, at once, so that a file of the output grows as well."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stdout if record.levelno < logging.WARNING else sys.stderr
        print(self.format(record), file=stream, flush=True)


@contextlib.contextmanager
def plain_warnings() -> Generator[None]:
    """Prints each warning of this package once, as ``warning: ...`` on standard error."""
    told: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in told:
            print(f"warning: {message}", file=sys.stderr)
        told.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"tf_lungreg\b")
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def outliving_readers() -> Generator[None]:
    """Lets a command finish its work when whatever reads its output ends, such as ``| head``.

    Raises:
        InputError: at the end, if standard output could not be written for another reason.
    """
    streams = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = tuple(_Outliving(stream) for stream in streams)
    try:
        yield
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = streams
        if out.problem:
            raise InputError(f"standard output: cannot be written ({out.problem}).")


class _Outliving:
    """A stream that goes silent when nobody reads it any more, or when it cannot be written.

    Args:
        stream: None if it was closed before the process began.

    Attributes:
        problem: what the system said when the stream could not be written.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = open(os.devnull, "w") if stream is None else stream
        self.problem = ""

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., object], *arguments: str) -> None:
        try:
            action(*arguments)
        except OSError as error:
            # What is still in the buffer goes nowhere as well, at the end of the process too.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                self.problem = error.strerror or str(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
