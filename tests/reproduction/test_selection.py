from tf_lungreg.cohorts.cohort import load_cohort, split_patients
from tf_lungreg.reproduction.selection import pair_name, sample_pairs, select_pairs


def test_validation_patients_of_a_training(cohort):
    listed = load_cohort(cohort)
    for seed in range(3):
        selection = select_pairs(listed, seed)
        expected = split_patients(listed, seed=seed)[1]
        assert list(selection.patients.participants) == list(expected.participants)
        assert not selection.whole
        assert len(selection.inhale_exhale) == len(expected.participants)
        assert [p.phase for p in selection.inhale_exhale[0]] == ["inhale", "exhale"]


def test_few_patients_are_all_evaluated(cohort):
    listed = load_cohort(cohort)
    selection = select_pairs(listed.select(list(listed.participants)[:3]), 0)
    assert selection.whole and len(selection.inhale_exhale) == 3
    names = {pair_name(pair) for pair in selection.all_combinations}
    assert len(names) == 9 and {pair_name(p) for p in selection.inhale_exhale} < names


def test_samples_are_nested_and_depend_on_the_seed_alone():
    pairs = [(i, j) for i in range(6) for j in range(6)]
    small, large = sample_pairs(pairs, 5, 1), sample_pairs(pairs, 20, 1)
    assert len(set(small)) == 5 and set(small) < set(large)
    assert large == sorted(large)
    assert small == sample_pairs(pairs, 5, 1) != sample_pairs(pairs, 5, 2)
    assert sample_pairs(pairs, None, 1) == pairs == sample_pairs(pairs, 100, 1)
    assert sample_pairs(pairs, 0, 1) == []
