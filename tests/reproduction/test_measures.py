import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg.cohorts.cohort import load_cohort
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.quality.scores import hausdorff_distance, mean_surface_distance, surface_distances
from tf_lungreg.reproduction.pair_measures import measure_pair, observer_difference, read_case
from tf_lungreg.transforms.transform import Transform

MATRIX = np.array([[0.10, 0.04, -0.05], [-0.03, 0.08, 0.06], [0.05, -0.02, -0.12]])
SHIFT = np.array([1.5, -2.0, 3.0])


def voxels(frame):
    return np.moveaxis(np.indices(frame.shape), 0, -1)


def linear_field(frame, matrix=MATRIX):
    """``d(p) = M p + t``, which linear interpolation between voxels repeats exactly."""
    points = apply_affine(frame.affine, voxels(frame))
    return Transform((points @ matrix.T + SHIFT).astype(np.float32), frame)


@pytest.fixture
def frames(tools):
    return (
        tools.make_frame((9, 11, 10), (3.0, 2.0, 2.5), (4, -3, 9), (5, -8, 6)),
        tools.make_frame((10, 9, 12), (2.6, 2.4, 2.0), (6, -6, 11), (-4, 3, 9)),
    )


def blob(rng, shape):
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 1.5)
    return noise > np.quantile(noise, 0.6)


def test_overlap_matches_a_loop_over_voxels(frames, tools, rng):
    masks = [blob(rng, frame.shape) for frame in frames]
    cases = [tools.make_case(f, mask=m, participant=p) for f, m, p in zip(frames, masks, "ab")]
    found = measure_pair(linear_field(frames[0]), *cases)
    warped = np.zeros(frames[0].shape, bool)
    for index in np.ndindex(*frames[0].shape):
        point = frames[0].affine @ [*index, 1]
        target = np.append(point[:3] + MATRIX @ point[:3] + SHIFT, 1)
        nearest = np.rint(np.linalg.inv(frames[1].affine) @ target)[:3].astype(int)
        if all(0 <= n < length for n, length in zip(nearest, masks[1].shape)):
            warped[index] = masks[1][tuple(nearest)]
    both = 2 * (warped & masks[0]).sum() / (warped.sum() + masks[0].sum())
    assert found["dice"] == pytest.approx(100 * both) and 20 < found["dice"] < 90
    distances = surface_distances(masks[0], warped, (3.0, 2.0, 2.5))
    assert found["hd95"] == pytest.approx(hausdorff_distance(distances))
    assert found["msd"] == pytest.approx(mean_surface_distance(distances))
    assert not {"ds", "tre_true"} & set(found)  # two patients


def test_folding_and_volume_change(frames, tools, rng):
    case = tools.make_case(frames[0], mask=blob(rng, frames[0].shape))
    found = measure_pair(linear_field(frames[0]), case, case)
    assert found["folds_lung"] == found["folds_volume"] == 0
    assert found["std_log_jacobian"] == pytest.approx(0, abs=1e-4)
    mirrored = measure_pair(linear_field(frames[0], -2 * np.eye(3)), case, case)
    assert mirrored["folds_lung"] == mirrored["folds_volume"] == 1
    assert "std_log_jacobian" not in mirrored  # no logarithm is defined
    # One voxel goes far: its neighbours along H and one on each side of them are turned over.
    torn = linear_field(frames[0], np.zeros((3, 3)))
    torn.data[4, 5, 5] += 5 * frames[0].affine[:3, 1]
    lung = np.zeros(frames[0].shape, bool)
    lung[2:7, 3:8, 3:8] = True
    lung_case = dataclasses.replace(case, mask=Image(lung, case.mask.frame))
    found = measure_pair(torn, lung_case, case)
    assert found["folds_lung"] == 1 / lung.sum() and found["folds_volume"] == 1 / lung.size
    # Expansion along one axis by a factor that grows: log J is log(1 + c x), known at each voxel.
    field = linear_field(frames[0], np.zeros((3, 3)))
    place = voxels(frames[0])[..., 0].astype(float)
    direction = frames[0].affine[:3, 0]
    data = (0.02 * place**2)[..., None] * direction
    field = Transform(data.astype(np.float32), frames[0])
    inner = np.zeros(frames[0].shape, bool)
    inner[1:-1] = case.mask.data[1:-1]
    inner_case = dataclasses.replace(case, mask=Image(inner, case.mask.frame))
    expected = np.std(np.log(1 + 0.04 * place[inner]))
    assert measure_pair(field, inner_case, case)["std_log_jacobian"] == pytest.approx(
        expected, rel=1e-4
    )


def write_landmarks(path, points, observers=("",)):
    rows = ["name,x,y,z,observer"]
    for observer, marked in zip(observers, points):
        rows += [f"{n},{','.join(map(repr, map(float, p)))},{observer}" for n, p in marked.items()]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_landmarks_go_from_fixed_to_moving(frames, tools, tmp_path):
    fixed = {"a": np.array([2.0, -1, 6]), "b": np.array([6.0, -5, 11]), "c": np.zeros(3)}
    error = {"b": np.array([0.5, -1.0, 2.0]), "a": np.array([-1.5, 3.0, 0.0])}
    moving = {n: fixed[n] + MATRIX @ fixed[n] + SHIFT + e for n, e in error.items()}
    tables = [
        write_landmarks(tmp_path / f"{name}.csv", [points])
        for name, points in (("fixed", fixed), ("moving", moving))
    ]
    cases = [
        tools.make_case(frame, phase=phase, landmarks=table)
        for frame, phase, table in zip(frames, ("inhale", "exhale"), tables)
    ]
    found = measure_pair(linear_field(frames[0]), *cases)
    expected = np.abs(list(error.values()))
    np.testing.assert_allclose([found[n] for n in ("dx", "dy", "dz")], expected.mean(0), atol=1e-4)
    assert found["ds"] == pytest.approx(np.linalg.norm(expected, axis=1).mean(), abs=1e-4)
    assert found["landmarks"] == 2
    other = dataclasses.replace(cases[1], scan=dataclasses.replace(cases[1].scan, participant="z"))
    assert "ds" not in measure_pair(linear_field(frames[0]), cases[0], other)


def test_error_against_the_truth(frames, tools, tmp_path, rng):
    """The file has another order of axes than the array."""
    mask = blob(rng, frames[0].shape)
    field = linear_field(frames[0])
    turned = np.flip(field.data.transpose(1, 2, 0, 3), axis=(1, 2))  # file (i, j, k)
    flip = np.zeros((4, 4))
    flip[0, 2], flip[0, 3] = -1, 8  # D = 8 - k
    flip[1, 0] = 1  # H = i
    flip[2, 1], flip[2, 3] = -1, 9  # W = 9 - j
    flip[3, 3] = 1
    wrong = rng.normal(size=(*frames[0].shape, 3)).astype(np.float32)
    Transform(turned, Frame(turned.shape[:3], frames[0].affine @ flip)).save(
        tmp_path / "truth.nii.gz"
    )
    cases = [
        tools.make_case(frames[0], mask=mask, truth=tmp_path / "truth.nii.gz"),
        tools.make_case(frames[1], phase="exhale"),
    ]
    assert measure_pair(field, *cases)["tre_true"] == pytest.approx(0, abs=1e-4)
    off = Transform(field.data + wrong, frames[0])
    expected = np.linalg.norm(wrong[mask], axis=1).mean()
    assert measure_pair(off, *cases)["tre_true"] == pytest.approx(expected, abs=1e-4)


def test_a_mask_that_left_the_image(frames, tools, rng):
    cases = [tools.make_case(f, mask=blob(rng, f.shape)) for f in frames]
    far = Transform(np.full((*frames[0].shape, 3), 500, np.float32), frames[0])
    found = measure_pair(far, *cases)
    assert found["dice"] == 0 and "hd95" not in found and "msd" not in found


def test_observers_are_compared_by_name(tools, tmp_path, frames):
    first = {"a": np.zeros(3), "b": np.array([1.0, 2, 3])}
    second = {"b": np.array([2.0, 4, 6]), "a": np.array([0.0, -3, 4]), "c": np.ones(3)}
    table = write_landmarks(tmp_path / "two.csv", [first, second], ("1", "2"))
    scan = tools.make_case(frames[0], landmarks=table).scan
    np.testing.assert_allclose(observer_difference(scan), [0.5, 2.5, 3.5, (14**0.5 + 5) / 2])
    table = write_landmarks(tmp_path / "one.csv", [first], ("1",))
    assert observer_difference(dataclasses.replace(scan, landmarks=table)) is None
    assert observer_difference(dataclasses.replace(scan, landmarks=None)) is None


def test_the_phantoms_own_truth_is_nearly_right(cohort):
    """What the cohort says is true gives small errors; the other direction does not."""
    scans = load_cohort(cohort).scans[:2]
    fixed, moving = (read_case(scan, cohort) for scan in scans)
    truth = Transform.read(fixed.truth)
    points = apply_affine(fixed.image.frame.affine, voxels(fixed.image.frame))
    right = Transform(truth.displacement(points).astype(np.float32), fixed.image.frame)
    wrong = Transform(-right.data, right.frame)
    right, wrong = (measure_pair(f, fixed, moving) for f in (right, wrong))
    assert right["tre_true"] < 1e-3 and right["landmarks"] == 11
    assert right["ds"] < 0.3 * wrong["ds"] and right["dice"] > wrong["dice"] + 3
