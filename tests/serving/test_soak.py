"""Many requests from many clients at once, some of them malformed: benchmarks/serving.py."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "serving.py"


@pytest.fixture(scope="module")
def benchmark():
    specification = importlib.util.spec_from_file_location("benchmark_of_serving", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.parametrize("requests", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_every_good_request_is_answered_and_every_bad_one_refused(exported, benchmark, requests):
    rounds = benchmark.soak(exported, (8, 10, 12), requests=requests, clients=8)
    assert len(rounds) == 2
    bad = requests // 10
    for found in rounds:
        counts = {name: number for name, number in found.items() if name != "memory"}
        assert counts == {"right": requests - bad, "wrong": 0, "refused": bad, "not_refused": 0}
    first, second = (found["memory"] for found in rounds)
    assert second < 1.1 * first


def test_what_counts_as_refused_and_as_right(address, pair, benchmark):
    remote = benchmark.RemoteModel(address)
    assert not benchmark._is_refused(remote, pair)
    right = benchmark.run_model(remote, pair)
    assert benchmark._same(right, right)
    assert not benchmark._same({**right, "affine": right["affine"] + 1}, right)
    assert all(benchmark._is_refused(remote, request) for request in benchmark.malformed(pair))
