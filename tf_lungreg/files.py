"""Writing files so that a name never stands for half a file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

from tf_lungreg.errors import InputError


def check_new_file(path: str | os.PathLike, overwrite: bool) -> None:
    """Refuses the name of a file that is taken.

    Args:
        path: the name.
        overwrite: whether a file of that name may be replaced.

    Raises:
        InputError: it is a folder's, or the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path}: already exists; choose another name, or --overwrite.")


@contextlib.contextmanager
def replacing(path: str | os.PathLike, overwrite: bool = True) -> Iterator[Path]:
    """Gives a temporary name beside ``path``, which takes its name when the block ends well.

    The temporary name keeps the ending, which some writers look at.

    Raises:
        InputError: the file exists and ``overwrite`` is false, or its folder cannot be made.
    """
    path = Path(path)
    check_new_file(path, overwrite)
    _make_parent(path)
    temporary = _temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_new_folder(path: str | os.PathLike, overwrite: bool, names: Collection[str]) -> None:
    """Refuses a folder for results that holds something, or something else.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: the results' files. A folder with any other file is never replaced.

    Raises:
        InputError: the folder may not be written, or the working directory is in it.
    """
    path = Path(path)
    check_folder(path)
    if not path.exists():
        return
    found = sorted(entry.name for entry in path.iterdir())
    other = [name for name in found if name not in names]
    if other and overwrite:
        raise InputError(
            f"{path}: holds {other[0]}, which is no result of this command, and is not replaced; "
            "choose another folder."
        )
    if found and not overwrite:
        raise InputError(f"{path}: already exists; choose another folder, or --overwrite.")
    here = Path.cwd()
    if path.resolve() in (here, *here.parents):
        raise InputError(
            f"{path}: the working directory is in it and would be replaced; name a new folder."
        )


@contextlib.contextmanager
def replacing_folder(
    path: str | os.PathLike, overwrite: bool, names: Collection[str]
) -> Iterator[Path]:
    """Gives a temporary folder beside ``path``, which takes its name when the block ends well.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: see :func:`check_new_folder`.

    Raises:
        InputError: the folder may not be written, or the one that holds it cannot be made.
    """
    path = Path(path)
    check_new_folder(path, overwrite, names)
    path = path.resolve()
    _make_parent(path)
    temporary, old = _temporary_name(path), _temporary_name(path)
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_json(path: str | os.PathLike, content) -> None:
    """Writes JSON that a person can read, at once or not at all.

    Args:
        path: replaced where it exists.
        content: what JSON can hold.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes text, at once or not at all.

    Args:
        path: replaced where it exists.
        text: written in UTF-8.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")


def check_folder(path: str | os.PathLike) -> None:
    """Refuses a name at which no folder is or can be, before long work is done for it.

    Raises:
        InputError: the name, or one above it, is a file's.
    """
    for name in (Path(path), *Path(path).parents):
        if name.exists() and not name.is_dir():
            raise InputError(f"{name}: is a file; the name of a folder is needed.")


def check_no_results(path: str | os.PathLike, overwrite: bool, names: Collection[str]) -> None:
    """Refuses a folder in which results are already, whatever else it holds.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: the results' files.

    Raises:
        InputError: the folder may not be written.
    """
    check_folder(path)
    taken = [Path(path, name) for name in names if Path(path, name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]}: already exists; choose another folder, or --overwrite.")


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made ({error.strerror}).") from error
