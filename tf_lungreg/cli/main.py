"""Finds the verb, runs it, and turns a user's mistake into one line and exit status 2."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import os
import re
import sys
from typing import Any, NoReturn

from tf_lungreg import __version__
from tf_lungreg.cli import (
    apply,
    classify,
    evaluate,
    export,
    phantom,
    pretrain,
    register,
    serve,
    train,
    tune,
)
from tf_lungreg.cli.notices import outliving_readers, plain_warnings, printed_messages
from tf_lungreg.errors import USER_ERRORS, InputError
from tf_lungreg.files import check_utf8
from tf_lungreg.interruption import exit_status, signals_interrupt

# Each has add_arguments(parser), run(options), and a docstring that is the verb's help. They
# import what is slow to load only when they run, so that --help answers at once.
VERBS = {
    "register": register,
    "apply": apply,
    "train": train,
    "pretrain": pretrain,
    "tune": tune,
    "evaluate": evaluate,
    "classify": classify,
    "export": export,
    "serve": serve,
    "phantom": phantom,
}

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)


# What a file system refuses, besides permission. Any other OSError is a defect and keeps its
# traceback.
_OF_THE_SYSTEM = {
    *(errno.EBUSY, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENAMETOOLONG, errno.ENOSPC),
    *(errno.EROFS, errno.ESTALE, errno.EXDEV),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        The exit status: 0, 2 for a mistake in the input, 128 and the number of the signal when
        interrupted (130) or terminated (143).
    """
    # Otherwise Python looks through all of TensorFlow for garbage before it ends, for a second or,
    # on a busy machine, many.
    atexit.register(gc.freeze)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no notices of TensorFlow's start
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is said by the client
    _prepare_names(sys.argv[1:] if arguments is None else arguments)
    try:
        with outliving_readers(), printed_messages():
            return _run(make_parser().parse_args(arguments))
    except InputError as error:  # of standard output
        print(f"tf-lungreg: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    """Runs the verb and turns what went wrong into a line and an exit status."""
    try:
        with signals_interrupt(), plain_warnings():
            VERBS[options.verb].run(options)
    except USER_ERRORS as error:
        print(f"tf-lungreg {options.verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except PermissionError as error:
        print(
            f"tf-lungreg {options.verb}: {error.filename}: may not be read or written; "
            "choose another place or ask for access.",
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        if error.errno not in _OF_THE_SYSTEM:
            raise
        place = "" if error.filename is None else f"{error.filename}: "
        print(f"tf-lungreg {options.verb}: {place}{error.strerror}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"tf-lungreg {options.verb}: not enough memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\ntf-lungreg {options.verb}: interrupted", file=sys.stderr)
        return exit_status(interrupt)
    return 0


def _prepare_names(words: list[str]) -> None:
    """Refuses words that are not UTF-8 before anything is computed, and lets all be printed."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # a terminal may know fewer letters than a name has
        reconfigure(errors="backslashreplace")
    try:
        for word in words:
            check_utf8(word)
    except InputError as error:
        print(f"tf-lungreg: {error}", file=sys.stderr)
        raise SystemExit(2) from None


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the words of a command, and knows every number."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        # argparse takes -1e3 for an unknown flag: its own pattern has no exponents.
        self._negative_number_matcher = _NEGATIVE

    # The same parameters as the base class has, but not as its overloads, which pyright misses.
    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here, the line names the verb
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help lists the flags)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; those of the verbs are of its class."""
    parser = _Parser(
        prog="tf-lungreg", description="Learnt linear and deformable registration of lung images."
    )
    parser.add_argument("--version", action="version", version=f"tf-lungreg {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, module in VERBS.items():
        text = (module.__doc__ or "").splitlines()[0]
        module.add_arguments(verbs.add_parser(name, help=text, description=text))
    return parser
