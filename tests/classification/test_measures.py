import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from tf_lungreg.classification.accuracy import clopper_pearson, measure, permutation_test


@pytest.mark.parametrize(("count", "of"), [(11, 13), (0, 4), (13, 13), (1, 9)])
def test_interval_matches_scipy(count, of):
    wanted = binomtest(count, of).proportion_ci(0.95, method="exact")
    assert clopper_pearson(count, of) == pytest.approx((wanted.low, wanted.high))


def test_measures_of_a_known_table():
    labels = np.array([1, 1, 1, 1, 0, 0, 0])
    found = measure(labels, np.array([0.9, 0.5, 0.6, 0.2, 0.1, 0.55, 0.4]))
    assert (found["accuracy"]["count"], found["accuracy"]["of"]) == (5, 7)
    assert (found["sensitivity"]["count"], found["sensitivity"]["of"]) == (3, 4)
    assert (found["specificity"]["count"], found["specificity"]["of"]) == (2, 3)
    assert found["accuracy"]["value"] == pytest.approx(500 / 7)
    assert found["majority"] == pytest.approx(400 / 7)
    # Ill above healthy, of 12 pairs: 3 + 2 + 3 + 1.
    assert found["auc"] == pytest.approx(9 / 12)


def test_p_matches_counting_all_permutations(rng):
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0]).astype(bool)
    called = labels.copy()
    called[[0, 6]] ^= True
    places = itertools.combinations(range(9), 5)
    agreeing = [np.sum(np.isin(np.arange(9), ill) == called) for ill in map(list, places)]
    wanted = np.mean(np.array(agreeing) >= np.sum(labels == called))
    assert permutation_test(labels, called, seed=0) == pytest.approx(wanted, abs=0.01)


def test_one_class_has_no_area_and_no_test():
    found = measure(np.ones(3), np.array([0.7, 0.2, 0.9]))
    assert found["auc"] is found["p"] is found["specificity"] is None
    assert found["sensitivity"]["count"] == 2 and found["majority"] == 100
