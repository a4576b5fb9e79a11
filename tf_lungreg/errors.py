"""The errors that a user's mistake raises, one line each: the file, what was found, what is needed.

The commands print that line and exit with status 2; anything else is a defect of this package
and keeps its traceback.
"""

from __future__ import annotations


class InputError(ValueError):
    """A file, table or argument that cannot be used as it is."""


class MissingFileError(FileNotFoundError):
    """A file or folder that does not exist."""


USER_ERRORS = (InputError, MissingFileError)
