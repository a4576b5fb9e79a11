"""What every command does with its words, and with what the system refuses."""

import errno
import os
import subprocess
import sys

import pytest

from tf_lungreg.cli import main, phantom

SMALL = ["--subjects", "1", "--shape", "16", "16", "16"]


@pytest.mark.parametrize("verb", ["register", "apply", "train", "phantom"])
def test_a_word_that_is_not_utf8_is_refused_at_once(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        main([verb, os.fsdecode(b"M\xfcller.nii.gz")])
    assert caught.value.code == 2
    expected = "tf-lungreg: M\\xfcller.nii.gz: the name is not UTF-8; rename the file or folder.\n"
    assert capsys.readouterr().err == expected


def test_a_terminal_that_cannot_show_a_name(tmp_path):
    words = [sys.executable, "-m", "tf_lungreg", "phantom", "--out", "Müller", *SMALL]
    package = os.getcwd()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": package}
    done = subprocess.run(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, check=True)
    assert b"M\\xfcller" in done.stdout and (tmp_path / "Müller").is_dir()


def test_what_the_system_refuses_is_one_line_and_a_defect_is_not(monkeypatch, capsys, tmp_path):
    def fail(number):
        def run(options):
            raise OSError(number, os.strerror(number), "place")

        monkeypatch.setattr(phantom, "run", run)
        return main(["phantom", "--out", str(tmp_path)])

    for number in (errno.ENOSPC, errno.EROFS, errno.EBUSY):
        assert fail(number) == 2
        assert capsys.readouterr().err == f"tf-lungreg phantom: place: {os.strerror(number)}\n"
    with pytest.raises(FileNotFoundError):
        fail(errno.ENOENT)
