"""The synthetic cohort: its files, its truth, and that only the breathing knows the diagnosis."""

from __future__ import annotations

import csv
import json
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg.errors import InputError
from tf_lungreg.phantom import make_subject, write_phantom_cohort
from tf_lungreg.phantom.cohort import draw_diagnoses, subject_seeds
from tf_lungreg.phantom.subject import OBSERVER_DIFFERENCE

SMALL = (16, 32, 32)
MIDDLE = (32, 96, 96)


def read_table(path, delimiter="\t"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def read_points(path, observer):
    rows = [row for row in read_table(path, ",") if row["observer"] == observer]
    return {row["name"]: np.array([float(row[axis]) for axis in "xyz"]) for row in rows}


def file_bytes(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def dice(a, b):
    return 2.0 * np.sum((a > 0) & (b > 0)) / (np.sum(a > 0) + np.sum(b > 0))


def true_grid(subject):
    """Voxel coordinates in the exhale image of each inhale voxel, (D, H, W, 3)."""
    inhale, exhale = subject.frame("inhale"), subject.frame("exhale")
    index = np.stack(np.indices(inhale.shape), axis=-1)
    lps_to_ras = np.array([-1.0, -1.0, 1.0])
    world = nib.affines.apply_affine(inhale.affine, index) + subject.displacement() * lps_to_ras
    return nib.affines.apply_affine(np.linalg.inv(exhale.affine), world)


def warp(image, grid, order=1):
    return ndimage.map_coordinates(
        image.astype(np.float64), np.moveaxis(grid, -1, 0), order=order, mode="nearest"
    )


def jacobian_determinant(grid):
    columns = [np.stack(np.gradient(grid[..., c]), axis=-1) for c in range(3)]
    return np.linalg.det(np.stack(columns, axis=-2))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    assert write_phantom_cohort(folder, 4, SMALL, seed=3, progress=False) == folder
    return folder


@pytest.fixture(scope="module")
def subjects():
    """Three patients at a middling resolution."""
    seeds = subject_seeds(11, 3)
    return [make_subject(s, d, MIDDLE) for s, d in zip(seeds, ("healthy", "ssc", "healthy"))]


# ---- the files


@pytest.mark.long
def test_same_seed_gives_the_same_bytes(cohort, tmp_path):
    again = file_bytes(write_phantom_cohort(tmp_path / "b", 4, SMALL, seed=3, progress=False))
    first = file_bytes(cohort)
    assert list(again) == list(first)
    assert all(again[name] == first[name] for name in first)


@pytest.mark.long
def test_another_seed_gives_another_cohort(cohort, tmp_path):
    other = file_bytes(write_phantom_cohort(tmp_path / "b", 4, SMALL, seed=4, progress=False))
    first = file_bytes(cohort)
    assert list(other) == list(first)
    same = [name for name in first if name.endswith(".nii.gz") and other[name] == first[name]]
    assert not same


def test_tables_name_every_file_once(cohort):
    people = read_table(cohort / "participants.tsv")
    assert [row["participant_id"] for row in people] == [f"sub-{n:03d}" for n in range(1, 5)]
    assert {row["diagnosis"] for row in people} == {"healthy", "ssc"}
    rows = read_table(cohort / "images.tsv")
    assert Counter((row["participant_id"], row["phase"]) for row in rows) == {
        (person["participant_id"], phase): 1 for person in people for phase in ("inhale", "exhale")
    }
    named = [row[key] for row in rows for key in ("image", "mask", "landmarks")]
    named += [row["truth"] for row in rows if row["phase"] == "inhale"]
    assert all(row["truth"] == "n/a" for row in rows if row["phase"] == "exhale")
    tables = ["participants.tsv", "images.tsv", "dataset_description.json"]
    assert sorted(named + tables) == sorted(file_bytes(cohort))


def test_description_says_that_no_patient_is_in_it(cohort):
    description = json.loads((cohort / "dataset_description.json").read_text())
    assert description["DatasetType"] == "synthetic phantom"
    assert "No patient" in description["Description"]
    assert description["Parameters"]["seed"] == 3
    assert description["Parameters"]["shape"] == list(SMALL)
    assert description["GeneratedBy"][0]["Version"]


def test_images_are_coronal_acquisitions(cohort):
    for row in read_table(cohort / "images.tsv"):
        image, mask = nib.load(cohort / row["image"]), nib.load(cohort / row["mask"])
        assert image.shape == mask.shape == SMALL
        assert nib.aff2axcodes(image.affine) == ("P", "I", "L")
        np.testing.assert_allclose(
            np.array(image.header.get_zooms()) * SMALL, (240, 620, 620), rtol=1e-5
        )
        np.testing.assert_array_equal(image.affine, mask.affine)
        assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
        assert mask.get_data_dtype() == np.uint8
        assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1}
        values = np.asarray(image.dataobj)
        assert values.dtype == np.int16
        assert 0 <= values.min() and 600 < np.percentile(values, 99.5) < 1600


def test_displacement_is_a_vector_image_in_lps(cohort):
    number = 2
    row = read_table(cohort / "images.tsv")[2 * number]
    image = nib.load(cohort / row["truth"])
    assert image.shape == (*SMALL, 1, 3)
    assert int(image.header["intent_code"]) == 1007
    np.testing.assert_array_equal(image.affine, nib.load(cohort / row["image"]).affine)
    diagnosis = draw_diagnoses(3, 4)[number]
    subject = make_subject(subject_seeds(3, 4)[number], diagnosis, SMALL)
    field = image.get_fdata()[:, :, :, 0]
    np.testing.assert_allclose(field, subject.displacement(), atol=1 / 128)
    # LPS and RAS share the head's direction: on expiration the lungs' bases rise.
    lungs = nib.load(cohort / row["mask"]).get_fdata() > 0
    rows = np.indices(SMALL)[1]
    base = lungs & (rows > np.percentile(rows[lungs], 70))
    assert field[base, 2].mean() > 8.0


def test_landmark_files(cohort):
    for row in read_table(cohort / "images.tsv"):
        first, second = (read_points(cohort / row["landmarks"], o) for o in ("1", "2"))
        assert list(first) == list(second) and len(first) == 11
        assert sum(name.startswith("right") for name in first) == 6
        assert all(0 < np.linalg.norm(first[name] - second[name]) < 25 for name in first)


def test_nothing_is_overwritten_unless_asked(tmp_path):
    folder = tmp_path / "cohort"
    write_phantom_cohort(folder, 1, SMALL, seed=0, progress=False)
    before = file_bytes(folder)
    with pytest.raises(InputError, match="cohort: already exists"):
        write_phantom_cohort(folder, 1, SMALL, seed=1, progress=False)
    assert file_bytes(folder) == before
    write_phantom_cohort(folder, 1, SMALL, seed=1, overwrite=True, progress=False)
    assert file_bytes(folder) != before
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_overwriting_spares_what_is_no_phantom(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a phantom cohort"):
        write_phantom_cohort(tmp_path, 1, SMALL, overwrite=True, progress=False)
    assert (tmp_path / "thesis.txt").exists()


def test_a_broken_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("tf_lungreg.phantom.cohort._write_displacement", fail)
    with pytest.raises(KeyboardInterrupt):
        write_phantom_cohort(tmp_path / "cohort", 1, SMALL, progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"shape": (15, 32, 32)}, "shape"),
        ({"shape": (32, 32)}, "shape"),
        ({"subjects": 0}, "subjects"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        write_phantom_cohort(tmp_path / "cohort", **{"progress": False, **arguments})


# ---- the diagnosis


def test_counts_are_the_papers():
    assert Counter(draw_diagnoses(0, 41)) == {"ssc": 29, "healthy": 12}
    assert Counter(draw_diagnoses(0, 2)) == {"ssc": 1, "healthy": 1}
    assert len(draw_diagnoses(0, 1)) == 1


def test_order_of_diagnoses_is_shuffled_by_the_seed():
    orders = [draw_diagnoses(seed, 41) for seed in range(30)]
    assert len({tuple(order) for order in orders}) == 30
    share = np.mean([[d == "healthy" for d in order] for order in orders], axis=0)
    assert np.all(share > 0) and np.all(share < 0.75)  # no place is always the same


def test_only_the_breathing_knows_the_diagnosis():
    seed = subject_seeds(5, 1)[0]
    well, ill = (make_subject(seed, diagnosis, SMALL) for diagnosis in ("healthy", "ssc"))
    assert (well.age, well.sex, well.anatomy) == (ill.age, ill.sex, ill.anatomy)
    for phase in ("inhale", "exhale"):
        for part in ("rotation", "origin", "center"):
            np.testing.assert_array_equal(
                getattr(well.poses[phase], part), getattr(ill.poses[phase], part)
            )
    for a, b in zip(well.image_and_mask("inhale"), ill.image_and_mask("inhale")):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        well.observed_landmarks("inhale"), ill.observed_landmarks("inhale")
    )
    assert well.scanner.noise == ill.scanner.noise
    assert well.scanner.exhale_density == ill.scanner.exhale_density
    for name in ("rise", "sink", "narrow"):
        assert getattr(well.motion, name) == getattr(ill.motion, name)
    assert ill.motion.stiffness != well.motion.stiffness


def test_a_subject_does_not_depend_on_the_size_of_the_cohort():
    few, many = subject_seeds(7, 2)[1], subject_seeds(7, 9)[1]
    assert few.generate_state(4).tolist() == many.generate_state(4).tolist()


def test_stiff_bases_move_less():
    ratios = []
    for seed in subject_seeds(9, 12):
        well, ill = (make_subject(seed, diagnosis, SMALL) for diagnosis in ("healthy", "ssc"))
        anatomy = well.anatomy
        x, y = 0.5 * anatomy.width, 0.0
        rise = {}
        for name, level in (("base", 0.3), ("top", 0.85)):
            z = anatomy.base + level * anatomy.height
            rise[name] = [float(s.motion.forward(x, y, z)[2] - z) for s in (well, ill)]
        np.testing.assert_allclose(rise["top"][1], rise["top"][0], atol=2.0)
        ratios.append(rise["base"][1] / rise["base"][0])
    assert np.mean(ratios) < 0.8


# ---- the truth


def test_motion_and_its_inverse():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, size=(3, 20000)) * np.array([[310], [130], [330]])
    for number, seed in enumerate(subject_seeds(2, 8)):
        motion = make_subject(seed, ("healthy", "ssc")[number % 2], SMALL).motion
        moved = motion.forward(*points)
        np.testing.assert_allclose(motion.inverse(*moved), points, atol=1e-3)


def test_no_folds_and_plausible_volume_change():
    determinants = []
    for number, seed in enumerate(subject_seeds(1, 12)):
        subject = make_subject(seed, ("healthy", "ssc")[number % 2], (16, 48, 48))
        determinant = jacobian_determinant(true_grid(subject))
        assert determinant.min() > 0.1
        determinants.append(determinant[subject.mask("inhale") > 0])
    determinants = np.concatenate(determinants)
    assert np.mean((determinants > 0.4) & (determinants < 2.5)) > 0.97
    assert 0.6 < determinants.mean() < 0.9  # expiration: the lungs shrink


def test_truth_carries_the_exhale_image_onto_the_inhale_image(subjects):
    overlaps = []
    for subject in subjects:
        grid = true_grid(subject)
        masks = {phase: subject.mask(phase) for phase in ("inhale", "exhale")}
        overlaps.append(dice(warp(masks["exhale"], grid) > 0.5, masks["inhale"]))
        inhale, exhale = (subject.clean_image(phase) for phase in ("inhale", "exhale"))
        body = (inhale > 300) & ndimage.binary_erosion(inhale > 100, iterations=2)
        inside = np.all((grid >= 0) & (grid <= np.array(MIDDLE) - 1), axis=-1)
        before = np.abs(exhale - inhale)[body & inside].mean()
        after = np.abs(warp(exhale, grid, order=3) - inhale)[body & inside].mean()
        assert after < 28 and after < 0.35 * before
    # What is missing to 1 is the size of the voxels, as the next two tests show.
    assert min(overlaps) > 0.96


def test_truth_carries_the_mask_at_the_full_resolution():
    subject = make_subject(subject_seeds(11, 1)[0], "healthy", (64, 192, 192))
    carried = warp(subject.mask("exhale"), true_grid(subject)) > 0.5
    assert dice(carried, subject.mask("inhale")) > 0.98


def test_truth_leads_to_the_same_anatomy(subjects):
    for subject in subjects:
        inhale = subject.frame("inhale")
        index = np.stack(np.indices(inhale.shape), axis=-1)
        world = nib.affines.apply_affine(inhale.affine, index)
        exhale = world + subject.displacement() * np.array([-1.0, -1.0, 1.0])
        body = np.moveaxis(subject.poses["exhale"].to_body(exhale), -1, 0)
        np.testing.assert_allclose(
            subject.motion.inverse(*body), subject.anatomy_points("inhale"), atol=1e-3
        )


def test_landmarks_lie_in_the_lungs_and_correspond(subjects):
    for subject in subjects:
        inhale, exhale = (subject.true_landmarks(phase) for phase in ("inhale", "exhale"))
        # exhale = inhale + u, with u read from the displacement image between its voxels
        index = nib.affines.apply_affine(np.linalg.inv(subject.frame("inhale").affine), inhale)
        u = np.moveaxis(subject.displacement(), -1, 0) * np.array([-1, -1, 1])[:, None, None, None]
        shift = np.stack([ndimage.map_coordinates(c, index.T, order=3) for c in u], axis=-1)
        np.testing.assert_allclose(inhale + shift, exhale, atol=0.1)
        for phase, points in (("inhale", inhale), ("exhale", exhale)):
            mask = subject.mask(phase)
            to_voxel = np.linalg.inv(subject.frame(phase).affine)
            for marked in (points, *subject.observed_landmarks(phase)):
                voxel = np.rint(nib.affines.apply_affine(to_voxel, marked)).astype(int)
                assert mask[tuple(voxel.T)].all()
        reach = np.ptp(inhale[:, 2]) / subject.anatomy.height
        assert reach > 0.45  # apex to base


def test_landmarks_sit_on_branching_vessels(subjects):
    for subject in subjects:
        branchings = np.concatenate([tree.points[tree.branchings] for tree in subject.trees])
        distance = np.linalg.norm(branchings[None] - subject.marks[1][:, None], axis=-1)
        assert distance.min(axis=1).max() < 1e-9
        assert len(set(subject.marks[0])) == 11


def test_observers_differ_as_in_the_paper():
    differences = []
    for seed in subject_seeds(0, 12):
        subject = make_subject(seed, "ssc", SMALL)
        for phase in ("inhale", "exhale"):
            first, second = subject.observed_landmarks(phase)
            differences.append(second - first)
    differences = np.concatenate(differences)
    np.testing.assert_allclose(np.abs(differences).mean(axis=0), OBSERVER_DIFFERENCE, rtol=0.2)
    assert abs(np.linalg.norm(differences, axis=1).mean() - 3.905) < 0.5


# ---- the cohort as a whole


@pytest.mark.long
def test_lungs_overlap_about_as_badly_as_the_papers():
    count = 16
    pairs = zip(subject_seeds(0, count), draw_diagnoses(0, count))
    subjects = [make_subject(seed, diagnosis, (24, 64, 64)) for seed, diagnosis in pairs]
    inhale = [subject.mask("inhale") for subject in subjects]
    exhale = [subject.mask("exhale") for subject in subjects]
    own = np.mean([dice(a, b) for a, b in zip(inhale, exhale)])
    every = np.mean([dice(a, b) for a in inhale for b in exhale])
    assert 0.70 < own < 0.81  # the paper: 75.6
    assert 0.50 < every < 0.65  # the paper: 57.2
    litres = np.array([mask.mean() * 240 * 620 * 620 / 1e6 for mask in inhale])
    assert 3 < litres.mean() < 7 and litres.min() > 1.5


def test_lungs_are_dark_with_bright_vessels(subjects):
    image, mask = subjects[0].image_and_mask("inhale")
    inner = ndimage.binary_erosion(mask, iterations=2)
    wall = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask)
    assert np.median(image[inner]) < 0.4 * np.median(image[wall])
    noise = subjects[0].scanner.noise
    assert np.percentile(image[inner], 99) - np.median(image[inner]) > 4 * noise
