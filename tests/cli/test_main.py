"""What all commands share: their words, numbers, output, and what the system refuses."""

import errno
import logging
import os
import subprocess
import sys

import pytest

from tf_lungreg.cli import main, phantom
from tf_lungreg.cli.main import make_parser

SMALL = ["--subjects", "1", "--shape", "16", "16", "16"]


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("--window -1000 300", ["-1000", "300"]),
        ("--window -1e3 3e2", ["-1e3", "3e2"]),
        ("--window -1.5E+3 -.5", ["-1.5E+3", "-.5"]),
        ("--window -1. -1e-3", ["-1.", "-1e-3"]),
    ],
)
def test_negative_numbers_are_no_flags(words, window):
    options = make_parser().parse_args(["register", "f.nii", "m.nii", *words.split()])
    assert options.window == window and options.images == ["f.nii", "m.nii"]


@pytest.mark.parametrize("words", ["--window -ex 1", "--window -1e 1", "--memory"])
def test_flags_are_no_numbers(words, capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["register", "f.nii", "m.nii", *words.split()])
    assert capsys.readouterr().err.count("\n") == 1


def with_closed_output(code, **streams):
    """Runs Python code whose output goes to a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    streams = {name: writer for name in streams}
    try:
        return subprocess.run(
            [sys.executable, "-c", code],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
            encoding="utf-8",
            timeout=60,
        )
    finally:
        os.close(writer)


WORK = """
import sys
from tf_lungreg.cli import main, phantom
def work(options):
    print("one" * 9999, flush=True)
    print("warning", file=sys.stderr, flush=True)
    print("two")
    print("done", file=sys.__stderr__ if {open_error} else sys.__stdout__)
phantom.run = work
sys.exit(main(["phantom", "--out", "x"]))
"""


def test_a_command_whose_reader_ends_goes_on_and_succeeds():
    done = with_closed_output(WORK.format(open_error=True), stdout=True)
    assert done.returncode == 0 and done.stderr.splitlines() == ["warning", "done"]
    both = with_closed_output(WORK.format(open_error=False), stdout=True, stderr=True)
    assert both.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("flush", [True, False])
def test_output_that_is_full_is_named_and_the_work_goes_on(flush):
    code = WORK.format(open_error=True).replace("flush=True", f"flush={flush}")
    for words in ([], ["--help"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-c", code.replace('["phantom"', f'[*{words}, "phantom"')],
                **{"stdout": full, "stderr": subprocess.PIPE, "encoding": "utf-8"},
            )
        message = "tf-lungreg: standard output: cannot be written (No space left on device)."
        expected = [message] if words else ["warning", "done", message]
        assert done.returncode == 2 and done.stderr.splitlines() == expected


def test_output_that_is_closed_is_no_matter():
    code = WORK.format(open_error=True)
    words = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code]
    done = subprocess.run(words, stderr=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 0 and done.stderr.splitlines() == ["warning", "done"]


def test_what_the_package_logs_is_printed(monkeypatch, capsys):
    def work(options):
        for name in ("tf_lungreg.tuning.search", "elsewhere"):
            logging.getLogger(name).info("a message of %s", name)
        logging.getLogger("tf_lungreg.serving.store").error("an error")

    monkeypatch.setattr(phantom, "run", work)
    logger = logging.getLogger("tf_lungreg")
    before = (logger.level, logger.propagate, list(logger.handlers))
    assert main(["phantom", "--out", "x"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "a message of tf_lungreg.tuning.search\n"
    assert printed.err == "an error\n"
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_help_to_a_reader_that_ends():
    code = "import sys; from tf_lungreg.cli import main; sys.exit(main(['register', '--help']))"
    done = with_closed_output(code, stdout=True)
    assert done.returncode == 0 and done.stderr == ""


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
