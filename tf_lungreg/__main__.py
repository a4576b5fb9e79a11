"""The command ``tf-lungreg``, the same as ``python -m tf_lungreg``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType


def run(arguments: list[str] | None = None) -> int:
    """Runs a command in a process of its own.

    While modules are loaded, and once the command has ended, nothing is left to clean up: Ctrl-C
    then ends the process at once, and without the traceback of whatever it interrupts.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        The exit status.
    """
    listens = signal.getsignal(signal.SIGINT) == signal.default_int_handler

    def on_interrupt(handler: Callable[[int, FrameType | None], object]) -> None:
        if listens:  # and does not ignore it, as what a shell starts in the background
            signal.signal(signal.SIGINT, handler)

    on_interrupt(_end)
    from tf_lungreg.cli import main
    from tf_lungreg.interruption import exit_status

    on_interrupt(signal.default_int_handler)
    try:
        return main(arguments)
    except KeyboardInterrupt as interrupt:
        return exit_status(interrupt)
    finally:
        on_interrupt(_end)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(run())
