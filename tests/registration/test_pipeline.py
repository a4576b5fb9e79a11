"""A pair of files to result files, which SimpleITK and ANTs read as they are meant."""

import hashlib
import itertools
import json
import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images.geometry import apply_affine, ras_to_lps
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.registration.metrics_file import find_metrics, read_metrics, sections
from tf_lungreg.registration.pipeline import register
from tf_lungreg.reporting.result_folder import FILES, save_result
from tf_lungreg.tables.table import write_table
from tf_lungreg.transforms.transform import Transform

ORIENTATIONS = [
    "".join(ends)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for ends in itertools.product(*axes)
]


def inner(values):
    return values[1:-1, 1:-1, 1:-1]


def write_landmarks(path, points):
    rows = [{"name": f"p{i}", **dict(zip("xyz", point))} for i, point in enumerate(points)]
    write_table(path, rows)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_is_what_simpleitk_makes_of_the_files(tools, pair, tmp_path, orientation):
    result = register(pair.fixed, pair.moving, tools.known_model(tools.SOME_AFFINE, bend=0.3))
    out = save_result(result, tmp_path / "out")
    warped = nib.load(out / "warped.nii.gz")
    header = nib.load(pair.fixed)
    assert warped.shape == header.shape
    np.testing.assert_allclose(warped.affine, header.affine, atol=1e-5)
    outside = pair.moving_data.min()
    field = tools.read_field(out / "displacement.nii.gz")
    expected = tools.itk_resample(pair.moving, pair.fixed, field, outside)
    scale = np.ptp(pair.moving_data)
    inside = inner(expected) != outside
    assert inside.mean() > 0.3
    error = np.abs(inner(warped.get_fdata()) - inner(expected)) / scale
    assert error[inside].max() < 1e-3 and np.mean(error > 1e-3) < 0.01
    turn = sitk.CompositeTransform(3)
    turn.AddTransform(tools.read_field(out / "deformation.nii.gz"))
    turn.AddTransform(sitk.ReadTransform(str(out / "affine.tfm")))
    in_turn = tools.itk_resample(pair.moving, pair.fixed, turn, outside)
    error = np.abs(inner(in_turn) - inner(expected)) / scale
    assert error[inside].max() < 1e-3
    jacobian = nib.load(out / "jacobian.nii.gz")
    assert jacobian.shape == header.shape and np.allclose(jacobian.affine, header.affine)


def test_a_known_affine_transform_of_the_world(tools, pair):
    """The model is made to rotate, scale and shift the world; the result does exactly that."""
    frames = network_frame(pair.fixed_frame, pair.moving_frame, (8.0, 6.0, 7.0))
    world = np.eye(4)
    world[:3, :3] = Rotation.from_euler("xyz", [6, -9, 12], degrees=True).as_matrix() * 0.96
    world[:3, 3] = pair.moving_frame.center - world[:3, :3] @ pair.fixed_frame.center + [2, 3, -4]
    half = np.diag([*(2 / (np.array(frames[0].shape) - 1)), 1])
    half[:3, 3] = -1
    matrix = half @ np.linalg.inv(frames[1].affine) @ world @ frames[0].affine
    model = tools.known_model((matrix @ np.linalg.inv(half))[:3])
    result = register(pair.fixed, pair.moving, model)
    points = apply_affine(pair.fixed_frame.affine, np.array([[2, 3, 4], [10, 9, 8], [14, 0, 6]]))
    np.testing.assert_allclose(result.map_points(points), apply_affine(world, points), atol=2e-3)
    np.testing.assert_allclose(result.jacobian.data, 0.96**3, rtol=1e-3)
    translation = pair.moving_frame.center - pair.fixed_frame.center
    intermediate = apply_affine(result.affine, points) + translation
    np.testing.assert_allclose(intermediate, apply_affine(world, points), atol=2e-3)


def test_world_positions_are_kept_when_asked(tools, pair):
    far = register(pair.fixed, pair.moving, tools.known_model(), init="world")
    assert np.abs(far.displacement.data).max() < 1e-4
    near = register(pair.fixed, pair.moving, tools.known_model())
    shift = pair.moving_frame.center - pair.fixed_frame.center
    np.testing.assert_allclose(near.displacement.data - shift, 0, atol=1e-3)


def test_what_the_network_saw_and_what_is_saved_agree(tools, pair):
    """The warped image on the native grid lowers the same difference that the network measured."""
    model = tools.known_model(tools.SOME_AFFINE, bend=0.3, spacing=(3.0, 3.0, 3.0))
    result = register(pair.fixed, pair.fixed, model)
    back = result.inverse().warp(result.warped)
    same = np.abs(back.data - result.fixed.data)[4:-4, 4:-4, 4:-4]
    moved = np.abs(result.warped.data - result.fixed.data)[4:-4, 4:-4, 4:-4]
    assert same.mean() < 0.5 * moved.mean()


def test_metrics(tools, pair, rng, tmp_path):
    masks = []
    for path in (pair.fixed, pair.moving):
        image = nib.load(path)
        mask = (image.get_fdata() > 50).astype(np.uint8)
        masks.append(tmp_path / f"mask-{path.name}")
        nib.save(nib.Nifti1Image(mask, image.affine), masks[-1])
    voxels = rng.uniform(2, 11, (20, 3))
    points = apply_affine(pair.fixed_frame.affine, voxels)
    tables = (
        write_landmarks(tmp_path / "fixed.csv", points),
        write_landmarks(tmp_path / "moving.csv", points + [5, 4, 33]),
    )
    model = tools.known_model(tools.SOME_AFFINE, bend=0.3)
    result = register(
        pair.fixed, pair.moving, model, fixed_mask=masks[0], moving_mask=masks[1], landmarks=tables
    )
    out = save_result(result, tmp_path / "out")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(sections(result)))
    # landmarks from the saved field, by SimpleITK
    mapped = tools.itk_points(tools.read_field(out / "displacement.nii.gz"), points)
    distances = np.linalg.norm(mapped - points - [5, 4, 33], axis=1)
    assert metrics["measures"]["landmarks"] == 20
    assert metrics["measures"]["tre_after"] == pytest.approx(distances.mean(), abs=1e-3)
    assert metrics["measures"]["tre_after_median"] == pytest.approx(np.median(distances), abs=1e-3)
    assert metrics["measures"]["tre_after_max"] == pytest.approx(distances.max(), abs=1e-3)
    assert metrics["measures"]["tre_world"] == pytest.approx(np.linalg.norm([5, 4, 33]))
    shift = pair.moving_frame.center - pair.fixed_frame.center
    assert metrics["measures"]["tre_before"] == pytest.approx(
        np.linalg.norm([5, 4, 33] - shift), abs=1e-3
    )
    assert metrics["provenance"]["initial_translation_ras"] == pytest.approx(shift, abs=1e-3)
    # Dice from the saved field, by SimpleITK
    nearest = sitk.sitkNearestNeighbor
    warped = tools.itk_resample(
        masks[1], masks[0], tools.read_field(out / "displacement.nii.gz"), 0, nearest
    )
    lung = nib.load(masks[0]).get_fdata()
    dice = 2 * (warped * lung).sum() / (warped.sum() + lung.sum())
    assert metrics["measures"]["dice_after"] == pytest.approx(dice, abs=2e-3)
    jacobian = nib.load(out / "jacobian.nii.gz").get_fdata()
    assert metrics["measures"]["folds_lung"] == pytest.approx(np.mean(jacobian[lung > 0] <= 0))
    assert metrics["measures"]["jacobian_quantiles"]["0.5"] == pytest.approx(
        np.median(jacobian[lung > 0])
    )
    assert metrics["quality"]["verdict"] in ("ok", "check", "failed")
    assert set(metrics["provenance"]["seconds"]) == {
        "model",
        "reading",
        "network",
        "resampling",
        "measuring",
    }
    digest = hashlib.sha256(pair.moving.read_bytes()).hexdigest()
    assert metrics["provenance"]["inputs"]["moving"] == {"path": str(pair.moving), "sha256": digest}
    assert set(metrics["provenance"]["inputs"]) == {
        "fixed", "moving", "fixed_mask", "moving_mask", "fixed_landmarks", "moving_landmarks"
    }  # fmt: skip
    assert metrics["provenance"]["software"]["SimpleITK"]


def test_landmarks_in_either_system_and_in_neither(tools, pair, rng, tmp_path):
    """LPS with its flag measures the same; voxel indices are told and counted."""
    voxels = rng.uniform(2, 11, (20, 3))
    points = apply_affine(pair.fixed_frame.affine, voxels)
    moved = points + pair.moving_frame.center - pair.fixed_frame.center

    def measure(name, *points, **options):
        files = [tmp_path / f"{name}-{number}.csv" for number in range(2)]
        tables = [write_landmarks(*each) for each in zip(files, points)]
        model = tools.known_model()
        return register(pair.fixed, pair.moving, model, landmarks=tables, **options).metrics

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ras = measure("ras", points, moved)
        lps = measure("lps", ras_to_lps(points), ras_to_lps(moved), coordinates="lps")
    assert ras["tre_after"] == pytest.approx(0, abs=1e-3)
    assert lps["tre_after"] == pytest.approx(0, abs=1e-3)
    assert ras["landmarks_outside"] == lps["landmarks_outside"] == {"fixed": 0, "moving": 0}
    assert lps["settings"]["coordinates"] == "lps"
    with pytest.warns(UserWarning, match=r"wrong-0\.csv: \d+ of 20 landmarks lie outside .*fixed"):
        wrong = measure("wrong", voxels, voxels)
    assert wrong["landmarks_outside"]["fixed"] == 20
    assert wrong["quality"] != "ok"
    assert any("20 of 20 landmarks" in reason for reason in wrong["quality_reasons"])


def test_other_formats_come_in(tools, pair, tmp_path):
    expected = register(pair.fixed, pair.moving, tools.known_model(tools.SOME_AFFINE))
    for path in (pair.fixed, pair.moving):
        sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / f"{path.name[:5]}.mha"))
    found = register(
        tmp_path / "fixed.mha", tmp_path / "movin.mha", tools.known_model(tools.SOME_AFFINE)
    )
    np.testing.assert_allclose(found.warped.data, expected.warped.data, atol=0.5)
    np.testing.assert_allclose(found.warped.frame.affine, expected.warped.frame.affine, atol=1e-4)


def test_further_images_and_the_way_back(tools, pair):
    result = register(pair.fixed, pair.moving, tools.known_model(tools.SOME_AFFINE, bend=0.2))
    again = result.apply(pair.moving)
    np.testing.assert_array_equal(again.data, result.warped.data)
    inverse = result.inverse()
    assert inverse.frame.same_grid(pair.moving_frame)
    points = apply_affine(pair.fixed_frame.affine, np.array([[5.0, 6, 7], [7, 8, 4]]))
    # Between voxels the inverse is interpolated.
    np.testing.assert_allclose(inverse.map_points(result.map_points(points)), points, atol=0.3)


def test_ants_makes_the_same_image(tools, pair, tmp_path):
    ants = pytest.importorskip("ants", reason="ANTsPy is not installed")
    result = register(pair.fixed, pair.moving, tools.known_model(tools.SOME_AFFINE, bend=0.3))
    out = save_result(result, tmp_path / "out")
    images = [ants.image_read(str(p)) for p in (pair.fixed, pair.moving)]
    scale, outside = np.ptp(pair.moving_data), float(pair.moving_data.min())
    whole = [str(out / "displacement.nii.gz")]
    in_turn = [str(out / "affine.tfm"), str(out / "deformation.nii.gz")]  # points' order
    for transforms in (whole, in_turn):
        found = ants.apply_transforms(*images, transforms, "linear", defaultvalue=outside).numpy()
        inside = inner(found) != outside
        error = np.abs(inner(found) - inner(result.warped.data)) / scale
        assert inside.mean() > 0.3
        assert error[inside].max() < 1e-3 and np.mean(error > 1e-3) < 0.01


def test_files_of_a_result(tools, pair, tmp_path):
    result = register(pair.fixed, pair.moving, tools.known_model())
    out = save_result(result, tmp_path / "new" / "out", report=True, itk_transform=True)
    assert {p.name for p in out.iterdir()} == set(FILES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = Transform.read(out / "displacement.nii.gz")
    assert whole.frame.same_grid(pair.fixed_frame)
    with pytest.warns(UserWarning, match=r"deformation\.nii\.gz: only a part of the transform"):
        Transform.read(out / "deformation.nii.gz")
    before = (out / "metrics.json").read_bytes()
    with pytest.raises(InputError, match="already exists"):
        save_result(result, out)
    assert (out / "metrics.json").read_bytes() == before
    save_result(result, out, overwrite=True)
    assert "report.html" not in {p.name for p in out.iterdir()}
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        save_result(result, out, overwrite=True)
    assert (out / "thesis.tex").exists()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_results_do_not_replace_what_was_registered(tools, pair, tmp_path):
    first = register(pair.fixed, pair.moving, tools.known_model())
    out = save_result(first, tmp_path / "out")
    second = register(pair.fixed, out / "warped.nii.gz", tools.known_model())
    refused(lambda: save_result(second, out, overwrite=True), "would replace", "warped.nii.gz")
    save_result(first, out, overwrite=True)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '"version"',
        "{}",
        pytest.param("[" * 100_000, id="deep"),
        '{"quality": {"verdict": "ok"}, "measures": [], "settings": {}, "provenance": {}}',
        '{"version": 2, "quality": {"verdict": "ok"}, "measures": 5, "settings": {},'
        ' "provenance": {"model": "a", "inputs": {}}}',
    ],
)
def test_metrics_that_are_none(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    refused(lambda: read_metrics(tmp_path), "metrics.json: no record of a registration")
    assert find_metrics(tmp_path) is None


def test_metrics_that_do_not_exist(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        refused(lambda f=folder: read_metrics(f), "metrics.json: no such", kind=MissingFileError)
        assert find_metrics(folder) is None


def test_nothing_is_left_of_a_result_that_cannot_be_written(tools, pair, tmp_path, monkeypatch):
    result = register(pair.fixed, pair.moving, tools.known_model())
    monkeypatch.setattr("tf_lungreg.reporting.result_folder.write_metrics", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_result(result, tmp_path / "sub" / "out")
    assert list((tmp_path / "sub").iterdir()) == []


def refused(call, *words, kind=InputError):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_inputs_that_cannot_be_used(tools, pair, tmp_path):
    """Each is found without a model: from headers and tables."""

    def run(fixed=pair.fixed, moving=pair.moving, **kwargs):
        return lambda: register(fixed, moving, tmp_path / "no model", **kwargs)

    refused(run(moving=tmp_path / "none.nii"), "none.nii", kind=MissingFileError)
    data = np.zeros((5, 6, 7), np.float32)
    far = tools.save(tmp_path / "far.nii", data, tools.make_frame((5, 6, 7), center=(0, 0, 999)))
    refused(run(moving=far), "far.nii", "do not overlap in world space")
    text = tmp_path / "text.nii.gz"
    text.write_text("no image")
    refused(run(fixed=text), "text.nii.gz", "not a readable image")
    sheared = pair.fixed_frame.affine.copy()
    sheared[:3, 0] += 0.3 * sheared[:3, 1]
    nib.save(nib.Nifti1Image(data, sheared), tmp_path / "sheared.nii")
    refused(run(fixed=tmp_path / "sheared.nii"), "sheared.nii", "sheared")
    nib.save(nib.Nifti1Image(data[..., 0], np.eye(4)), tmp_path / "flat.nii")
    refused(run(fixed=tmp_path / "flat.nii"), "flat.nii", "2D")
    refused(run(fixed_mask=tmp_path / "m.nii"), "m.nii", kind=MissingFileError)
    table = write_landmarks(tmp_path / "points.csv", [[1, 2, 3]])
    refused(run(landmarks=(table, None)), "both images")
    refused(run(landmarks=(table, tmp_path / "q.csv")), "q.csv", kind=MissingFileError)
    refused(run(mask="all"), "'all'")
    refused(run(), "no model", "no such folder", kind=MissingFileError)
    (tmp_path / "no model").mkdir()
    refused(run(), "no model", "no SavedModel")


def test_images_that_cannot_be_used(tools, pair, tmp_path):
    model = tools.known_model()
    data = np.full(pair.fixed_frame.shape, 7, np.float32)
    constant = tools.save(tmp_path / "constant.nii", data, pair.fixed_frame)
    refused(lambda: register(pair.fixed, constant, model), "constant.nii", "constant")
    data[3, 4, 5] = np.nan
    nan = tools.save(tmp_path / "nan.nii", data, pair.fixed_frame)
    refused(lambda: register(nan, pair.moving, model), "nan.nii", "NaN")
    empty = tools.save(tmp_path / "empty.nii", np.zeros_like(data), pair.fixed_frame)
    refused(
        lambda: register(pair.fixed, pair.moving, model, fixed_mask=empty), "empty.nii", "empty"
    )
    other = Image.read(pair.moving)
    mask = tools.save(tmp_path / "other.nii", (other.data > 0).astype(np.uint8), other.frame)
    refused(lambda: register(pair.fixed, pair.moving, model, fixed_mask=mask), "other.nii", "grid")
    refused(lambda: register(pair.fixed, pair.moving, model, init="middle"), "'middle'")
    refused(lambda: register(pair.fixed, pair.moving, model, window="bright"), "'bright'")
    bright = tools.save(tmp_path / "bright.nii", np.abs(other.data), other.frame)
    refused(lambda: register(bright, bright, model, mask="auto"), "bright.nii", "Hounsfield")


@pytest.mark.filterwarnings("ignore:.*sform and qform")
def test_the_place_by_the_qform(tools, pair, tmp_path):
    """As SPM leaves a file: registered by the qform, it is what ITK makes of the same files."""
    moving = nib.load(pair.moving)
    aligned = moving.affine.copy()
    aligned[0, 3] += 36
    moving.set_sform(aligned, code=2)
    moving.set_qform(moving.affine, code=1)
    moving = nib.Nifti1Image(np.asanyarray(moving.dataobj), None, moving.header)
    nib.save(moving, tmp_path / "spm.nii")
    model = tools.known_model(tools.SOME_AFFINE, bend=0.3)
    result = register(pair.fixed, tmp_path / "spm.nii", model, nifti_frame="qform")
    assert result.settings.nifti_frame == "qform"
    out = save_result(result, tmp_path / "out")
    field = tools.read_field(out / "displacement.nii.gz")
    outside = pair.moving_data.min()
    expected = tools.itk_resample(tmp_path / "spm.nii", pair.fixed, field, outside)
    inside = inner(expected) != outside
    error = np.abs(inner(result.warped.data) - inner(expected)) / np.ptp(pair.moving_data)
    assert error[inside].max() < 1e-3
    by_sform = register(pair.fixed, tmp_path / "spm.nii", model)
    assert by_sform.moving.frame.same_grid(type(pair.moving_frame)(moving.shape, aligned))
