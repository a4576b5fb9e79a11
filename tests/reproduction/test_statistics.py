import itertools

import numpy as np
import pytest
from scipy import stats

from tf_lungreg.reproduction.statistics import compare, summarise


def test_the_deviation_is_that_of_a_sample():
    summary = summarise([1.0, 2.0, 6.0])
    assert summary == {"mean": 3.0, "std": pytest.approx(7**0.5), "n": 3}
    assert summarise([4.0]) == {"mean": 4.0, "std": None, "n": 1}


def test_wilcoxon_matches_counting_all_signs(rng):
    difference = rng.normal(0.4, 1, size=8)
    reference = {f"p{i}": value for i, value in enumerate(difference)}
    found = compare(reference, dict.fromkeys(reference, 0.0), seed=0)
    ranks = stats.rankdata(np.abs(difference))
    total = ranks.sum()
    observed = min(ranks[difference > 0].sum(), ranks[difference < 0].sum())
    sums = [np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=8)]
    assert found["p"] == pytest.approx(np.mean([min(s, total - s) <= observed for s in sums]))
    assert found["difference"] == pytest.approx(difference.mean())


def test_the_interval_matches_the_normal_theory(rng):
    values = rng.normal(1, 2, size=400)
    reference = {str(i): value for i, value in enumerate(values)}
    found = compare(reference, dict.fromkeys(reference, 0.0), seed=3)
    half = 1.96 * values.std() / 20
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.03 * half)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.03 * half)
    assert found == compare(reference, dict.fromkeys(reference, 0.0), seed=3)
    assert found != compare(reference, dict.fromkeys(reference, 0.0), seed=4)


def test_only_common_pairs_count():
    reference, other = {"a": 5.0, "b": 7.0, "c": 100.0}, {"b": 6.0, "a": 2.0, "d": -100.0}
    found = compare(reference, other, seed=0)
    assert found["n"] == 2 and found["difference"] == 2.0
    assert compare(reference, {"a": 2.0}, seed=0) is None


def test_equal_methods_are_no_different():
    same = {"a": 5.0, "b": 7.0}
    found = compare(same, same, seed=0)
    assert (found["difference"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)
