r"""Load and endurance of ``tf-lungreg serve``: clients at once, good and malformed requests.

The server is a process of its own. Prints throughput, median and 95th percentile of an answer,
and the share of time outside the model; then, with --soak, what became of two rounds of requests,
a tenth of them malformed, and the server's memory after each.

    python benchmarks/serving.py --model saved_models/lungreg_pretrained --shape 48 88 88 --soak
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.serving.client import RemoteModel

CLIENTS = (1, 2, 4, 8)
PAIRS = 4  # different good requests of the soak
BAD_EVERY = 10


@contextmanager
def running_server(model: str | os.PathLike) -> Iterator[tuple[str, int]]:
    """A server of this machine as its own process: its address and its process id."""
    words = [sys.executable, "-m", "tf_lungreg", "serve", "--model", str(model), "--port", "0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        yield re.search(r"at (\S+)$", server.stdout.readline().strip())[1], server.pid
    finally:
        server.terminate()
        server.wait(60)


def make_pair(shape: tuple[int, int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Random volumes, (1, D, H, W, 1) each.

    Args:
        shape: D, H, W.
        seed: of the random numbers.
    """
    draw = np.random.default_rng(seed)
    return {name: draw.random((1, *shape, 1), np.float32) for name in ("moving", "fixed")}


def run_model(model: Callable, pair: dict) -> dict[str, np.ndarray]:
    """All outputs of a local or remote model, as arrays."""
    outputs = model({name: tf.constant(value) for name, value in pair.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def measure_load(
    model: str | os.PathLike,
    shape: tuple[int, int, int],
    requests: int = 5,
    clients: tuple[int, ...] = CLIENTS,
) -> list[dict]:
    """A row for each number of clients.

    Args:
        model: exported model.
        shape: D, H, W of the volumes.
        requests: of each client.
        clients: numbers of clients at once, a row each.

    Returns:
        Rows of ``clients``, ``throughput`` (pairs a second), ``median`` and ``p95`` (seconds),
        and ``outside``: the share of the time in which the model does not work. The server runs
        one pass at a time, so the model's share is requests times the seconds of a pass in this
        process, which takes turns with a request of one client.
    """
    local, pair = load_model(model), make_pair(shape)
    rows = []
    with running_server(model) as (address, _):
        remotes = [RemoteModel(address) for _ in range(max(clients))]
        direct, one = _direct_and_remote(local, remotes[0], pair, requests)
        for count in clients:
            if count == 1:
                seconds, wall = one, sum(one)
            else:
                seconds, wall = _load(remotes[:count], pair, requests)
            rows.append(
                {
                    "clients": count,
                    "throughput": len(seconds) / wall,
                    "median": float(np.median(seconds)),
                    "p95": float(np.percentile(seconds, 95)),
                    "outside": 1 - len(seconds) * direct / wall,
                    "model": direct,
                }
            )
    return rows


def _direct_and_remote(local, remote, pair, requests):
    """Median seconds of the model here, and the seconds of each request, in turns."""
    seconds = {id(local): [], id(remote): []}
    for number in range(requests + 1):
        for model in (local, remote):
            taken = _seconds(model, pair)
            if number:  # the first traces the graph
                seconds[id(model)].append(taken)
    return float(np.median(seconds[id(local)])), seconds[id(remote)]


def _load(remotes, pair, requests):
    """Seconds of every request and of all together."""
    start = time.perf_counter()
    with ThreadPoolExecutor(len(remotes)) as pool:
        several = pool.map(
            lambda remote: [_seconds(remote, pair) for _ in range(requests)], remotes
        )
        seconds = [taken for each in several for taken in each]
    return seconds, time.perf_counter() - start


def _seconds(model, pair):
    start = time.perf_counter()
    run_model(model, pair)
    return time.perf_counter() - start


def malformed(pair: dict) -> list[dict]:
    """Requests that must be refused: shape, rank, type, a value, a missing tensor, no voxels."""
    moving, fixed = pair["moving"], pair["fixed"]
    nan = fixed.copy()
    nan[0, 0, 0, 0, 0] = np.nan
    return [
        {"moving": moving, "fixed": fixed[:, :-1]},
        {"moving": moving[..., 0], "fixed": fixed},
        {"moving": moving.astype(np.int32), "fixed": fixed},
        {"moving": moving, "fixed": nan},
        {"moving": moving},
        {"moving": moving[:, :0], "fixed": fixed[:, :0]},
    ]


def soak(
    model: str | os.PathLike,
    shape: tuple[int, int, int],
    requests: int = 200,
    clients: int = 8,
    rounds: int = 2,
) -> list[dict]:
    """Rounds of many requests, a tenth of them malformed, from several clients at once.

    Args:
        model: exported model.
        shape: D, H, W of the volumes.
        requests: of a round.
        clients: at once.
        rounds: of which the memory is compared.

    Returns:
        For each round ``right`` and ``wrong``, answers to good requests; ``refused`` and
        ``not_refused``, malformed ones with and without INVALID_ARGUMENT; ``memory``, bytes that
        the server holds after it.
    """
    local = load_model(model)
    pairs = [make_pair(shape, seed) for seed in range(PAIRS)]
    expected = [run_model(local, pair) for pair in pairs]
    bad = malformed(pairs[0])

    def ask(number, remote):
        if number % BAD_EVERY == 0:
            return (
                "refused"
                if _is_refused(remote, bad[number // BAD_EVERY % len(bad)])
                else ("not_refused")
            )
        which = number % PAIRS
        found = run_model(remote, pairs[which])
        return "right" if _same(found, expected[which]) else "wrong"

    rows = []
    with running_server(model) as (address, process):
        remotes = [RemoteModel(address) for _ in range(clients)]
        for _ in range(rounds):
            with ThreadPoolExecutor(clients) as pool:
                jobs = [
                    pool.submit(ask, number, remotes[number % clients])
                    for number in range(requests)
                ]
                results = [job.result() for job in jobs]
            kinds = ("right", "wrong", "refused", "not_refused")
            row = {kind: results.count(kind) for kind in kinds}
            rows.append({**row, "memory": resident_memory(process)})
    return rows


def _is_refused(remote, request):
    try:
        remote(request)
    except InputError as error:
        return error.__cause__.code() is grpc.StatusCode.INVALID_ARGUMENT
    return False


def _same(found, expected):
    return set(found) == set(expected) and all(
        np.allclose(found[name], expected[name], rtol=0, atol=1e-4) for name in expected
    )


def resident_memory(process: int) -> int:
    """Bytes of memory that a process holds; Linux."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", type=int, nargs=3, default=(48, 88, 88), metavar=("D", "H", "W"))
    parser.add_argument("--requests", type=int, default=5, help="of each client (%(default)s)")
    parser.add_argument("--soak", action="store_true", help="two rounds of 200 requests as well")
    parser.add_argument("--soak-shape", type=int, nargs=3, default=(16, 24, 24))
    options = parser.parse_args()
    for row in measure_load(options.model, tuple(options.shape), options.requests):
        print(
            f"{row['clients']} clients: {row['throughput']:.2f} pairs/s, median {row['median']:.3f}"
            f" s, 95th percentile {row['p95']:.3f} s, {100 * row['outside']:.1f} % outside"
        )
    if options.soak:
        for row in soak(options.model, tuple(options.soak_shape)):
            print(row)


if __name__ == "__main__":
    main()
