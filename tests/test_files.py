"""Names that never stand for half a file, whatever the file system does."""

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.files import (
    check_folder,
    check_new_file,
    check_new_folder,
    checksum,
    locked,
    read_json,
    replacing,
    replacing_folder,
    sharing,
    stamp,
    write_text,
)

NAMES = ("data.txt", "marker.txt")


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


def write_results(folder, text="new", overwrite=False):
    with replacing_folder(folder, overwrite, NAMES) as temporary:
        for name in NAMES:
            (temporary / name).write_text(text)


def os_error(number):
    return OSError(number, os.strerror(number))


def refuse_renaming(monkeypatch, folder, number):
    """The system renames neither this folder nor another to its name, as of a mount point."""
    renamed = Path.rename

    def rename(self, target):
        if folder in (self, Path(target)):
            raise os_error(number)
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", rename)


def test_a_folder_that_cannot_be_written_or_is_too_full_is_named(tmp_path, monkeypatch):
    check_folder(tmp_path / "new" / "run", 1)
    assert names_in(tmp_path) == []
    with pytest.raises(InputError, match="run: 10737418240 MiB are needed.*only .* MiB are free"):
        check_folder(tmp_path / "run", 10 * 2**50)

    def refuse(dir):
        raise os_error(errno.EROFS)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for check in (
        lambda: check_folder(tmp_path / "run"),
        lambda: check_new_folder(tmp_path / "run", False, NAMES),
        lambda: check_new_file(tmp_path / "run" / "file", False),
    ):
        with pytest.raises(InputError, match="run: cannot be written .Read-only file system"):
            check()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV, errno.EACCES])
@pytest.mark.parametrize("before", [(), NAMES])
def test_a_folder_that_cannot_be_renamed_is_filled(tmp_path, monkeypatch, number, before):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in before:
        (folder / name).write_text("old")
    refuse_renaming(monkeypatch, folder, number)
    inode = folder.stat().st_ino
    write_results(folder, overwrite=True)
    assert names_in(folder) == list(NAMES) and names_in(tmp_path) == ["out"]
    assert {(folder / name).read_text() for name in NAMES} == {"new"}
    assert folder.stat().st_ino == inode


def test_a_folder_is_filled_where_nothing_can_be_written_beside_it(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    folder.mkdir()
    made = Path.mkdir

    def mkdir(self, *args, **kwargs):
        if self.parent == tmp_path and not self.exists():
            raise os_error(errno.EACCES)
        made(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    write_results(folder)
    assert names_in(folder) == list(NAMES) and names_in(tmp_path) == ["out"]


def test_the_last_name_comes_last_and_goes_first(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    write_results(folder, "old")
    monkeypatch.chdir(folder)  # the working directory is filled, not replaced
    seen = []
    for name in ("unlink", "rename"):
        original = getattr(Path, name)

        def watched(self, *args, original=original, name=name, **kwargs):
            seen.append((name, self.name))
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, watched)
    write_results(Path("."), overwrite=True)
    assert seen[0] == ("unlink", "marker.txt") and seen[-1] == ("rename", "marker.txt")
    assert os.listdir() and (folder / "data.txt").read_text() == "new"


def test_old_results_stay_if_the_new_ones_do_not_get_their_name(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    write_results(folder, "old")
    renamed = Path.rename

    def rename(self, target):
        if target == folder and (self / "data.txt").read_text() == "new":
            raise os_error(errno.EIO)
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(InputError, match="out: cannot be written .Input/output error"):
        write_results(folder, overwrite=True)
    assert (folder / "data.txt").read_text() == "old" and names_in(tmp_path) == ["out"]


def test_results_stay_if_the_new_ones_have_no_room_on_a_mounted_disk(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    write_results(folder, "old")
    refuse_renaming(monkeypatch, folder, errno.EBUSY)

    def refuse(*_):
        raise os_error(errno.ENOSPC)

    monkeypatch.setattr("shutil.copyfile", refuse)
    with pytest.raises(InputError, match="out: cannot be written .No space left on device.[.]"):
        write_results(folder, overwrite=True)
    assert (folder / "data.txt").read_text() == "old" and names_in(folder) == list(NAMES)


@pytest.mark.parametrize("existing", [True, False])
def test_results_that_came_meanwhile_are_not_replaced(tmp_path, existing):
    folder = tmp_path / "out"
    if existing:
        folder.mkdir()
    with pytest.raises(InputError, match="already exists"):
        with replacing_folder(folder, False, NAMES) as temporary:
            (temporary / "data.txt").write_text("late")
            write_results(folder, "early")
    assert (folder / "data.txt").read_text() == "early" and names_in(tmp_path) == ["out"]
    with pytest.raises(InputError, match="already exists"):
        with replacing(tmp_path / "file", overwrite=False) as temporary:
            temporary.write_text("late")
            write_text(tmp_path / "file", "early")
    assert (tmp_path / "file").read_text() == "early" and names_in(tmp_path) == ["file", "out"]


def test_what_a_killed_process_left_in_a_folder_does_not_matter(tmp_path):
    (tmp_path / "out" / ".partial-0-left").mkdir(parents=True)
    write_results(tmp_path / "out")
    assert set(NAMES) <= set(names_in(tmp_path / "out"))


def test_names_as_long_as_possible(tmp_path):
    write_text(tmp_path / ("a" * 250 + ".json"), "text")
    write_results(tmp_path / ("b" * 255))
    for check in (check_folder, lambda path: check_new_file(path, False)):
        with pytest.raises(InputError, match="256 bytes; at most 255"):
            check(tmp_path / "new" / ("c" * 256))


def test_a_name_that_is_not_utf8(tmp_path, monkeypatch):
    name = os.fsdecode(b"M\xfcller")
    for check in (check_folder, lambda path: check_new_file(path, False)):
        with pytest.raises(InputError, match=r"M\\xfcller.*not UTF-8") as caught:
            check(tmp_path / name)
        str(caught.value).encode()  # can be printed
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(InputError, match="not UTF-8"):
        check_folder("out")


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    script = (
        "import resource, signal, sys\nfrom tf_lungreg.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9, resource.RLIM_INFINITY))\n"
        "write_text(sys.argv[1], 'x' * 100)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "file")]
    done = subprocess.run(words, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"{tmp_path / 'file'}: cannot be written (File too large).")
    assert names_in(tmp_path) == []


def test_a_full_disk_names_the_folder_of_the_results(tmp_path):
    with pytest.raises(InputError, match=rf"^{tmp_path}/out: cannot be written \(No space") as told:
        with replacing_folder(tmp_path / "out", False, ()) as folder:
            with replacing(folder / "a.txt"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "a"))
    assert ".partial" not in str(told.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["link", "link/out", "link/sub/out"])
@pytest.mark.parametrize("check", [check_new_file, check_new_folder, replacing, replacing_folder])
def test_no_folders_are_made_behind_a_link_that_leads_nowhere(tmp_path, name, check):
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "there")
    words = {check_new_file: (False,), replacing: (False,)}.get(check, (False, ()))
    with pytest.raises(InputError, match=r"link: a link to .*gone/there, which does not exist"):
        made = check(tmp_path / name, *words)
        with made:
            pass
    assert os.listdir(tmp_path) == ["link"]


def test_json_that_is_nested_too_deeply_is_no_json(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "a.json")


def test_what_changes_with_a_file(tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    for name in ("a", "b"):
        (series / name).write_text(name)
    before = [checksum(series), stamp(series)]
    assert [checksum(series), stamp(series)] == before
    (series / "b").write_text("c")  # as long; and the folder keeps its own time
    assert checksum(series) != before[0] and stamp(series) != before[1]
    assert checksum(series / "a") == hashlib.sha256(b"a").hexdigest()
    for function in (checksum, stamp):
        with pytest.raises(MissingFileError, match="none"):
            function(tmp_path / "none")


def test_sharing_a_folder(tmp_path):
    with sharing(tmp_path, {"a": 1}), sharing(tmp_path, {"a": 1}):
        with pytest.raises(InputError, match="another process is writing there with a 1, not 2"):
            with sharing(tmp_path, {"a": 2}):
                pass
        (record,) = tmp_path.iterdir()
        content = record.read_text()
    assert list(tmp_path.iterdir()) == []
    record.write_text(content)  # of a process that was killed
    with sharing(tmp_path, {"a": 2}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_keeps_other_processes_out_until_it_ends(tmp_path, running):
    script = (
        "import sys, time\nfrom tf_lungreg.files import locked\n"
        "with locked(sys.argv[1]):\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "run")]
    other = subprocess.Popen(words, stdout=subprocess.PIPE)
    running.append(other)
    other.stdout.readline()
    with pytest.raises(InputError, match="run: another process is writing there"):
        with locked(tmp_path / "run"):
            pass
    other.kill()
    with locked(tmp_path / "run", wait=True):
        assert names_in(tmp_path / "run") == []


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_and_its_file_is_written(tmp_path, dangling):
    target, link = tmp_path / "elsewhere" / "target.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    if not dangling:
        target.write_text("old")
    link.symlink_to(target)
    with replacing(link, overwrite=not dangling) as temporary:
        assert temporary.parent == target.parent
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    assert os.listdir(target.parent) == ["target.txt"]
