"""Signals that end a command, and what they leave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tf_lungreg

WRITING = """
import sys, time
from tf_lungreg.cli import main, register
from tf_lungreg.files import replacing, replacing_folder

def run(options):
    with replacing_folder(sys.argv[1] + "/out", False, ()), replacing(sys.argv[1] + "/file") as f:
        f.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

register.run = run
sys.exit(main(["register"]))
"""

# A process whose child waits; both print their number.
PARENT = """
import multiprocessing, os, time
from tf_lungreg.interruption import end_with_parent

def wait():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=wait)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_temporary_files(tmp_path, running, number):
    words = [sys.executable, "-c", WRITING, str(tmp_path)]
    command = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever runs the tests may ignore the signal, as nohup does.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    running.append(command)
    command.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 2
    command.send_signal(number)
    assert command.communicate(timeout=60)[1] == b"\ntf-lungreg register: interrupted\n"
    assert command.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_a_process_ends_when_its_parent_is_killed(tmp_path, running):
    (tmp_path / "parent.py").write_text(PARENT)
    words = [sys.executable, str(tmp_path / "parent.py")]
    package = str(Path(tf_lungreg.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package}
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
    running.append(parent)
    assert int(parent.stdout.readline())
    started = time.monotonic()
    parent.kill()
    assert parent.stdout.read() == b""  # once nobody has it open
    assert time.monotonic() - started < 30
