"""Work in other processes, some of which die."""

import os
import signal
import time

import pytest

from tf_lungreg.many_pairs import worker_processes
from tf_lungreg.many_pairs.worker_processes import WorkerDied, run_in_workers


def work(task):
    """Runs in a worker."""
    what, value = task
    if what == "die":
        os.kill(os.getpid(), value)
    if what == "exit":
        os._exit(value)
    if what == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    if what == "sleep":
        time.sleep(value)
    return os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_is_one_task_that_failed(jobs):
    tasks = {
        **{"a": ("return", 0), "b": ("die", signal.SIGSEGV), "c": ("return", 0)},
        **{"d": ("exit", 3), "e": ("return", 0), "f": ("die", signal.SIGKILL)},
    }
    results = dict(run_in_workers(work, tasks, jobs))
    assert set(results) == set(tasks)
    died = {name: str(r) for name, r in results.items() if isinstance(r, WorkerDied)}
    assert set(died) == {"b", "d", "f"}
    assert "SIGSEGV" in died["b"] and "status 3" in died["d"] and "memory ran out" in died["f"]
    assert os.getpid() not in results.values()


@pytest.mark.long
def test_workers_end_with_the_loop_that_wants_no_more():
    results = run_in_workers(work, {"a": ("return", 0), "b": ("sleep", 60)}, 2)
    name, worker = next(results)
    started = time.monotonic()
    results.close()
    assert name == "a" and time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.long
def test_workers_that_do_not_end_are_waited_for_together(monkeypatch):
    monkeypatch.setattr(worker_processes, "_PATIENCE", 3)
    tasks = {"a": ("sleep", 5), **dict.fromkeys("bcd", ("deaf", 0))}
    results = run_in_workers(work, tasks, 4)
    assert next(results)[0] == "a"
    started = time.monotonic()
    results.close()
    assert 2 < time.monotonic() - started < 8
