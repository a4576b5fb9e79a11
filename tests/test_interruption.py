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


# Says when a module is loaded that the commands need, and when the command has ended.
LOADING = """
import sys, time, threading
from tf_lungreg.__main__ import run

class Slow:
    def find_spec(self, name, *_):
        if name == {module!r}:
            print("ready", flush=True)
            time.sleep(60)

def main(arguments):
    threading.Thread(target=time.sleep, args=(60,)).start()
    return 0

sys.meta_path.insert(0, Slow())
if not {module!r}:
    import tf_lungreg.cli
    tf_lungreg.cli.main = main
status = run(["--help"])
print("ready", flush=True)
sys.exit(status)
"""


@pytest.mark.parametrize("module", ["tf_lungreg.cli.main", "docstring_parser", ""])
def test_ctrl_c_before_and_after_a_command_is_quiet(running, module):
    """While modules are loaded, and while the process waits for a thread at its end."""
    words = [sys.executable, "-c", LOADING.format(module=module)]
    command = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    running.append(command)
    assert command.stdout.readline() == b"ready\n"
    for _ in range(3):
        command.send_signal(signal.SIGINT)
    assert command.communicate(timeout=60) == (b"", b"") and command.returncode == 130


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
