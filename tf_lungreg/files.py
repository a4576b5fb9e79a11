"""Writing files so that a name never stands for half a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_PARTIAL = ".partial-"  # how every temporary name begins
_LONGEST_NAME = 255  # bytes, on nearly every file system

# A folder that cannot be renamed can often be filled: a mount point, a folder of a container's
# image, or a writable folder in a parent that is not writable.
_FIXED_IN_PLACE = {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}


class FolderInUseError(InputError):
    """Another process is writing to the folder."""


class _NotWritten(InputError):
    """The file system refused to write there.

    Attributes:
        path: of the file or folder.
        reason: what the system said.
    """

    path = reason = ""


def _not_written(path: str | os.PathLike[str], reason: str) -> _NotWritten:
    error = _NotWritten(f"{os.fspath(path)}: cannot be written ({reason}).")
    error.path, error.reason = os.fspath(path), reason
    return error


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuses a path that readers and writers cannot carry.

    Raises:
        InputError: the path is not UTF-8, or a part of it is longer than file systems allow.
    """
    with one_line(path):
        check_utf8(os.path.abspath(path))  # the working directory may be the culprit
    for part in Path(path).parts:
        if len(os.fsencode(part)) > _LONGEST_NAME:
            raise InputError(
                f"{part[:40]}...: the name has {len(os.fsencode(part))} bytes; at most "
                f"{_LONGEST_NAME} are possible."
            )


def check_utf8(path: str | os.PathLike[str]) -> None:
    """Refuses a name that is not UTF-8, as which ITK, JSON and HTML hold names.

    ITK ends the process on any other.

    Raises:
        InputError: see above.
    """
    encoded = os.fsencode(path)
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        shown = encoded.decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: the name is not UTF-8; rename the file or folder.") from None


def check_file(path: str | os.PathLike[str], needed: str) -> None:
    """Refuses a name at which there is nothing to read.

    Args:
        path: the name.
        needed: what the file should be, such as ``"a table"``.

    Raises:
        MissingFileError: there is nothing.
        InputError: it is a folder's.
    """
    if os.path.isdir(path):
        raise InputError(f"{os.fspath(path)}: is a folder; {needed} is needed.")
    if not os.path.exists(path):
        raise MissingFileError(f"{os.fspath(path)}: no such file; {needed} is needed.")


def check_new_file(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Refuses the name of a file that is taken or cannot be written, before any work for it.

    Args:
        path: the name.
        overwrite: whether a file of that name may be replaced.

    Raises:
        InputError: it is a folder's, the file exists and ``overwrite`` is false, or nothing can be
            written there.
    """
    path = Path(path)
    check_name(path)
    _check_links(path)
    check_folder(path.parent)
    _check_not_taken(path, overwrite)


def check_no_input(out: str | os.PathLike[str], *inputs: object) -> None:
    """Refuses to write over what a command reads, or to replace a folder that holds it.

    Args:
        out: a file or folder that is written, and may exist.
        inputs: what is read; only names of files and folders that exist count.

    Raises:
        InputError: an input is ``out`` itself, by whatever name, or lies in it.
    """
    if not os.path.exists(out):
        return
    folder = os.path.join(os.path.realpath(out), "")
    for each in inputs:
        if not isinstance(each, (str, os.PathLike)) or not os.path.exists(each):
            continue
        if os.path.samefile(out, each) or os.path.realpath(each).startswith(folder):
            raise InputError(
                f"{os.fspath(out)}: would replace {os.fspath(each)}, which this command reads; "
                "choose another name for the result."
            )


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], overwrite: bool = True) -> Generator[Path]:
    """Gives a temporary name beside ``path``, which takes its name when the block ends well.

    The temporary name keeps the ending, which some writers look at. A symbolic link stays, and the
    file that it leads to is written.

    Raises:
        InputError: the file exists and ``overwrite`` is false, or it cannot be written.
    """
    path = Path(path)
    check_name(path)
    with one_line(path):
        _check_links(path)
        name, path = path.name, Path(os.path.realpath(path)) if path.is_symlink() else path
        _check_not_taken(path, overwrite)
        _make_parent(path)
        temporary = _temporary_name(path.with_name(name))
        try:
            yield temporary
            _check_not_taken(path, overwrite)  # again: writing took a while
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def check_new_folder(path: str | os.PathLike[str], overwrite: bool, names: Sequence[str]) -> None:
    """Refuses a folder for results that holds something, or something else.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: the results' files. A folder with any other file is never replaced.

    Raises:
        InputError: the folder may not or cannot be written.
    """
    path = Path(path)
    check_folder(path)
    if not path.exists():
        return
    found = sorted(entry.name for entry in _entries(path))
    other = [name for name in found if name not in names]
    if other and overwrite:
        raise InputError(
            f"{path}: holds {other[0]}, which is no result of this command, and is not replaced; "
            "choose another folder."
        )
    if found and not overwrite:
        raise InputError(f"{path}: already exists; choose another folder, or --overwrite.")


def is_empty_folder(path: str | os.PathLike[str]) -> bool:
    """Whether nothing is at that name, or a folder without anything but unfinished files.

    Args:
        path: the folder.
    """
    path = Path(path)
    return not path.exists() or (path.is_dir() and not _entries(path))


@contextlib.contextmanager
def replacing_folder(
    path: str | os.PathLike[str], overwrite: bool, names: Sequence[str]
) -> Generator[Path]:
    """Gives a temporary folder, which takes the name ``path`` when the block ends well.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: see :func:`check_new_folder`; and :func:`new_folder` for their order.

    Raises:
        InputError: the folder may not or cannot be written.
    """
    with new_folder(path, lambda: check_new_folder(path, overwrite, names), names) as temporary:
        yield temporary


@contextlib.contextmanager
def new_folder(
    path: str | os.PathLike[str], check: Callable[[], None], names: Sequence[str] = ()
) -> Generator[Path]:
    """Gives a temporary folder, which replaces ``path`` when the block ends well.

    The folder is renamed. If ``path`` exists and cannot be renamed, or is the working directory,
    the files are moved into it one by one.

    Args:
        path: the folder.
        check: raises if ``path`` may not be replaced. It is asked once more before the folder
            takes its name, because another process may have written there meanwhile.
        names: files in the order in which they are moved one by one: the last is the one whose
            presence says that the folder is complete.

    Raises:
        InputError: the folder cannot be written.
    """
    check()
    _check_links(Path(path))
    path = Path(path).resolve()
    check_name(path)
    with one_line(path):
        _make_parent(path)
        temporary = _make_temporary_folder(path)
        try:
            yield temporary
            check()
            _move_folder(temporary, path, names)
        except _NotWritten as error:  # of a file in the folder, by a name that nobody knows
            if temporary in Path(error.path).parents:
                raise _not_written(path, error.reason) from error
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Writes JSON that a person can read, at once or not at all.

    Args:
        path: replaced where it exists.
        content: what JSON can hold.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON in UTF-8, or nested too deeply.
    """
    return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str | bytes) -> Any:
    """What a text of JSON holds.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text, at once or not at all.

    Args:
        path: replaced where it exists.
        text: written in UTF-8.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def record_changes(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What differs between the settings that a folder records and those that are asked for.

    Args:
        before: as read from JSON.
        now: what JSON can hold; only its keys are compared.

    Returns:
        Texts such as ``"refine 80, not 10"``.
    """
    now = json.loads(json.dumps(now))
    return [
        f"{name} {before.get(name)}, not {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]


def checksum(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, or of a folder's files in order.

    Raises:
        MissingFileError: there is nothing.
    """
    digest = hashlib.sha256()
    for file in _members(path):
        with file.open("rb") as stream:
            while part := stream.read(1 << 22):
                digest.update(part)
    return digest.hexdigest()


def stamp(path: str | os.PathLike[str]) -> list[object]:
    """What changes when a file, or a folder's file, is replaced: found without reading them.

    A copy has another stamp. Where that matters, use :func:`checksum`.

    Returns:
        What JSON can hold.

    Raises:
        MissingFileError: there is nothing.
    """
    stats = [(member.name, member.stat()) for member in _members(path)]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return [str(Path(path).resolve()), files]


def _members(path: str | os.PathLike[str]) -> list[Path]:
    """A file itself, or the files in a folder."""
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such file.")
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def check_folder(path: str | os.PathLike[str], needed: int = 1) -> None:
    """Refuses a name at which no folder is or can be written, before long work is done for it.

    Args:
        path: of a folder that need not exist yet.
        needed: bytes that are to be written there.

    Raises:
        InputError: the name, or one above it, is a file's; nothing can be written there, or there
            is too little room.
    """
    path = Path(path)
    check_name(path)
    with one_line(path):
        _check_links(path)
        place = next(name for name in (path, *path.parents) if _exists(name))
        if not place.is_dir():
            raise InputError(f"{place}: is a file; the name of a folder is needed.")
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"0")
        free = shutil.disk_usage(place).free
    if free < needed:
        raise InputError(
            f"{path}: {needed / 2**20:.0f} MiB are needed, and only {free / 2**20:.0f} MiB are "
            "free."
        )


def check_no_results(path: str | os.PathLike[str], overwrite: bool, names: Sequence[str]) -> None:
    """Refuses a folder in which results are already, whatever else it holds.

    Args:
        path: the folder.
        overwrite: whether results that are there may be replaced.
        names: the results' files.

    Raises:
        InputError: the folder may not or cannot be written.
    """
    check_folder(path)
    taken = [Path(path, name) for name in names if Path(path, name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]}: already exists; choose another folder, or --overwrite.")


@contextlib.contextmanager
def one_line(path: str | os.PathLike[str]) -> Generator[None]:
    """Turns what the file system refuses into one line that names the file.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except USER_ERRORS:
        raise
    except OSError as error:
        raise _not_written(path, error.strerror or str(error)) from error


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], wait: bool = False) -> Generator[None]:
    """Makes a folder if it does not exist, and keeps other processes from locking it.

    The lock ends with the process, however that ends. File systems without locks give none.

    Args:
        folder: to lock.
        wait: wait until the folder is free.

    Raises:
        FolderInUseError: another process holds the folder and ``wait`` is false.
        InputError: the folder cannot be made.
    """
    new = not os.path.isdir(folder)
    with one_line(folder):
        os.makedirs(folder, exist_ok=True)
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    if not _lock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)):
        os.close(descriptor)
        raise FolderInUseError(
            f"{folder}: another process is writing there; wait for it, or choose another folder."
        )
    try:
        yield
    finally:
        if new:
            with contextlib.suppress(OSError):  # it holds something, as it should
                os.rmdir(folder)
        os.close(descriptor)


@contextlib.contextmanager
def sharing(folder: str | os.PathLike[str], record: Mapping[str, object]) -> Generator[None]:
    """Lets processes write to a folder at the same time only if they do the same.

    The first one leaves its record in a hidden file, and the last one removes it. A record of
    processes that were killed counts no more.

    Args:
        folder: made if it does not exist.
        record: what JSON can hold.

    Raises:
        FolderInUseError: another process writes there with another record.
        InputError: the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    path = Path(folder, f"{_PARTIAL}running")
    with locked(folder, wait=True), one_line(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                path.write_text(json.dumps(record), encoding="utf-8")
            else:
                _check_same(path, record)
            _lock(descriptor, fcntl.LOCK_SH)
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        with locked(folder, wait=True):
            if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                path.unlink(missing_ok=True)
            os.close(descriptor)


def _check_same(path: Path, record: Mapping[str, object]) -> None:
    changes = record_changes(json.loads(path.read_text(encoding="utf-8")), record)
    if changes:
        raise FolderInUseError(
            f"{path.parent}: another process is writing there with {changes[0]}; wait for it, or "
            "choose another folder."
        )


def _lock(descriptor: int, how: int) -> bool:
    """Whether a file could be locked; file systems without locks never say no."""
    assert fcntl is not None  # its callers ask
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _check_links(path: Path) -> None:
    """Refuses links that lead nowhere: what is written there would make folders elsewhere."""
    for name in (path, *path.parents):
        if not name.is_symlink() or _exists(name):
            continue
        target = os.path.realpath(name)
        # A link to a file, or to a folder of results, that is still to be made is in order.
        if name != path or not os.path.isdir(os.path.dirname(target)):
            raise InputError(
                f"{name}: a link to {target}, which does not exist; make that folder, or choose "
                "another name."
            )


def _check_not_taken(path: Path, overwrite: bool) -> None:
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path}: already exists; choose another name, or --overwrite.")


def _exists(path: Path) -> bool:
    """Like Path.exists, which hides or raises other errors on different versions of Python."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _entries(folder: Path) -> list[Path]:
    """What a folder holds besides what another process is writing, or was when it was killed."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(_PARTIAL)]


def _temporary_name(path: Path) -> Path:
    # No more than the ending: a name as long as possible leaves no room for a prefix.
    return path.with_name(f"{_PARTIAL}{uuid.uuid4().hex[:8]}-{path.name[-len('.nii.gz') :]}")


def _make_temporary_folder(path: Path) -> Path:
    """Makes one beside ``path``, or in it if nothing can be written beside it."""
    beside, inside = _temporary_name(path), _temporary_name(path / path.name)
    try:
        beside.mkdir()
        return beside
    except OSError:
        if not path.is_dir():
            raise
        inside.mkdir()
        return inside


def _move_folder(temporary: Path, path: Path, names: Sequence[str]) -> None:
    """Gives a folder the name of another, or its files to the other."""
    # Renamed away, the working directory would leave the user's shell in a removed folder.
    if temporary.parent == path or path == Path.cwd():
        _fill_folder(temporary, path, names)
        return
    try:
        _rename_folder(temporary, path)
    except OSError as error:
        if error.errno not in _FIXED_IN_PLACE or not path.is_dir():
            raise
        _fill_folder(temporary, path, names)


def _rename_folder(temporary: Path, path: Path) -> None:
    old = _temporary_name(path)
    try:
        if path.is_dir() and any(path.iterdir()):  # an empty one is replaced by the rename
            path.rename(old)
        temporary.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _fill_folder(temporary: Path, path: Path, names: Sequence[str]) -> None:
    def place(entry: Path) -> int:
        return names.index(entry.name) if entry.name in names else -1

    inside = temporary
    try:
        if temporary.parent != path:  # perhaps on another file system: nothing can be renamed
            inside = _temporary_name(path / path.name)
            _copy_folder(temporary, inside)
        for entry in sorted(_entries(path), key=place, reverse=True):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for entry in sorted(inside.iterdir(), key=place):
            entry.rename(path / entry.name)
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def _copy_folder(source: Path, target: Path) -> None:
    """Like shutil.copytree, but the first error is raised as it is."""
    target.mkdir()
    for entry in sorted(source.rglob("*")):  # a folder comes before what it holds
        copy = target / entry.relative_to(source)
        copy.mkdir() if entry.is_dir() else shutil.copyfile(entry, copy)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: its folder cannot be made ({error.strerror}).") from error
