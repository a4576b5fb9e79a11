"""Warnings as a user of the command line reads them: one line, no place in the source code."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Prints each warning of this package once, as ``warning: ...`` on standard error."""
    told = set()

    def show(message, category, filename, lineno, file=None, line=None):
        if str(message) not in told:
            print(f"warning: {message}", file=sys.stderr)
        told.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"tf_lungreg\b")
        warnings.showwarning = show
        yield
