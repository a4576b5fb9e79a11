import pytest

from tf_lungreg.cohorts.cohort import load_cohort, split_patients
from tf_lungreg.reproduction.methods import Method
from tf_lungreg.reproduction.notes import trained_on


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_has_seen_the_patients(cohort, seed):
    listed = load_cohort(cohort)
    evaluated = split_patients(listed, seed=0)[1]
    card = {"settings": {"cohort": str(cohort), "seed": seed}}
    train = split_patients(listed, seed=seed)[0].participants
    expected = [p for p in evaluated.participants if p in train]
    assert trained_on(Method("m", None, "", {}, card), evaluated) == expected
    assert seed or not expected


def test_a_model_of_another_cohort(cohort, tmp_path):
    listed = load_cohort(cohort)
    card = {"settings": {"cohort": str(tmp_path), "seed": 0}}
    for known in (card, None, {}):
        assert trained_on(Method("m", None, "", {}, known), listed) == []
