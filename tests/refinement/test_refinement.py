"""Instance optimisation recovers known transforms, and never makes them worse."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops
from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.inference.network_pass import identity_model, run_network
from tf_lungreg.many_pairs.registering import read_pairs, register_pairs
from tf_lungreg.refinement import descent
from tf_lungreg.refinement import optimisation as module
from tf_lungreg.refinement.control_grid import ControlGrid, control_points, upsample
from tf_lungreg.refinement.descent import Adam, Ending, minimise
from tf_lungreg.refinement.levels import level_images, level_spacings
from tf_lungreg.refinement.loss import (
    NOISE,
    STRIDE,
    WINDOW,
    PairLoss,
    image_term,
    roughness,
    sample,
    window_matrices,
    windowed,
)
from tf_lungreg.refinement.optimisation import levels_beyond, refine
from tf_lungreg.registration import pipeline
from tf_lungreg.registration.pipeline import register
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.reporting.result_folder import save_result
from tf_lungreg.transforms.transform import Transform

SPACING = (3.0, 2.0, 2.4)
SHAPE = (26, 40, 32)


@pytest.fixture
def texture(tools, rng):
    """A volume on an anisotropic grid, and where it lies."""
    frame = tools.make_frame(SHAPE, "PIL", (5, -8, 300), spacing=SPACING, angles=(0, 0, 0))
    data = tools.smooth_noise(rng, SHAPE, 1.6) + tools.smooth_noise(rng, SHAPE, 4)
    return Image(data.astype(np.float32), frame, "moving")


def true_map(points, center):
    """A smooth map of the world, of up to some 5 mm."""
    x, y, z = np.moveaxis((points - center) / 12, -1, 0)
    waves = [np.sin(y + 1) * np.cos(z), np.cos(x) * np.sin(z), np.sin(x + y)]
    return points + 3 * np.stack(waves, axis=-1)


def points_of(frame):
    return apply_affine(frame.affine, np.stack(np.indices(frame.shape), axis=-1))


def pull(moving, mapping, frame):
    """The moving volume at mapped points, by scipy's cubic spline."""
    where = apply_affine(np.linalg.inv(moving.frame.affine), mapping(points_of(frame)))
    data = ndimage.map_coordinates(moving.data, np.moveaxis(where, -1, 0), order=3, mode="nearest")
    return Image(data.astype(np.float32), frame, "fixed")


def inner_errors(transform, mapping, frame):
    """Distance in mm from the true map, away from the borders."""
    points = points_of(frame)
    found = points + transform.on(frame).data
    errors = np.linalg.norm(found - mapping(points), axis=-1)
    return errors[4:-4, 5:-5, 5:-5]


def begin(fixed, moving, model=None):
    return run_network(model or identity_model((4.0, 4.0, 4.0)), fixed, moving)


def test_a_known_smooth_warp(texture):
    def mapping(points):
        return true_map(points, texture.frame.center)

    fixed = pull(texture, mapping, texture.frame)
    start = begin(fixed, texture)
    before = inner_errors(start.transform, mapping, fixed.frame)
    found, record = refine(start, fixed, texture, 90)
    errors = inner_errors(found.transform, mapping, fixed.frame)
    assert before.mean() > 2.5
    assert errors.mean() < 0.5 and np.quantile(errors, 0.95) < 1.2  # voxels are 2 to 3 mm
    assert record.kept and record.begun_from == "identity" and 0 < record.steps <= 90
    assert record.image_term_after < 0.6 * record.image_term_before
    assert found.warped.shape == start.warped.shape
    before, after = (np.mean((p.warped - start.fixed) ** 2) for p in (start, found))
    assert after < 0.2 * before


def test_a_known_affine_map(tools, texture):
    """Two oblique grids of different spacing; A is found, and N is left with little to do."""
    world = np.eye(4)
    world[:3, :3] = [[1.03, 0.05, -0.04], [-0.06, 0.97, 0.05], [0.03, -0.04, 1.02]]
    center = texture.frame.center
    world[:3, 3] = center - world[:3, :3] @ center + [2, -3, 2.5]

    def mapping(points):
        return apply_affine(world, points)

    frame = tools.make_frame((30, 24, 36), "LSP", center, spacing=(2.1, 2.9, 2.2))
    fixed = pull(texture, mapping, frame)
    found, _ = refine(begin(fixed, texture), fixed, texture, 80)
    assert inner_errors(found.transform, mapping, frame).mean() < 0.5
    center = found.transform.deformation.frame.center
    corners = center + np.array(list(itertools.product([-20, 20], repeat=3)))
    translation = found.transform.translation
    by_affine = apply_affine(found.transform.affine, corners) + translation
    moved = np.linalg.norm(mapping(corners) - corners - translation, axis=1).mean()
    left = np.linalg.norm(mapping(corners) - by_affine, axis=1).mean()
    assert left < 0.4 * moved


def test_a_good_start_is_kept_and_a_bad_one_left(tools, texture):
    """From A's answer where it is right, from the identity where it is far off."""
    model = tools.known_model(tools.SOME_AFFINE, spacing=(4.0, 4.0, 4.0))
    begun = begin(texture, texture, model)
    fixed = pull(
        texture, lambda p: p + begun.transform.on(Frame(texture.frame.shape,
        texture.frame.affine)).displacement(p), texture.frame
    )  # fmt: skip
    assert refine(begin(fixed, texture, model), fixed, texture, 12)[1].begun_from == "network"
    wild = tools.known_model(tools.SOME_AFFINE + 0.6 * np.eye(3, 4, 1), spacing=(4.0, 4.0, 4.0))
    found, record = refine(begin(texture, texture, wild), texture, texture, 30)
    assert record.begun_from == "identity" and record.kept
    assert inner_errors(found.transform, lambda p: p, texture.frame).mean() < 0.3


def test_never_worse_than_the_start(texture, monkeypatch):
    """A rate at which everything goes wrong leaves the network's answer as it was."""
    start = begin(texture, texture)
    found, record = refine(start, texture, texture, 10)
    assert not record.kept and found is start  # nothing is better than the true answer
    fixed = pull(texture, lambda p: true_map(p, texture.frame.center), texture.frame)
    monkeypatch.setattr(module, "AFFINE_RATE", 5.0)
    monkeypatch.setattr(module, "LOGITS_RATE", 50.0)
    start = begin(fixed, texture)
    found, record = refine(start, fixed, texture, 20)
    assert record.image_term_after <= record.image_term_before or found is start


def test_the_best_values_are_returned():
    """Not the last ones: at a wild rate the loss rises."""
    met = []

    def bowl(values):
        met.append((float(np.sum(values**2)), values))
        return met[-1][0], 2 * values

    found = minimise(bowl, np.array([3.0, -2.0]), 5.0, 40, Ending(12, 0.01))
    losses = [loss for loss, _ in met]
    assert found.loss == min(losses) < losses[-1] and found.steps == len(losses)
    np.testing.assert_array_equal(found.values, met[int(np.argmin(losses))][1])


def test_a_descent_ends_when_nothing_is_gained():
    def bowl(values):
        return float(np.sum(values**2)), 2 * values

    start = np.full(5, 2.0)
    found = minimise(bowl, start, 0.1, 500, Ending(12, 0.01))
    assert found.settled and found.steps < 200 and found.loss < 1e-2 * 20
    assert not minimise(bowl, start, 0.1, 15, Ending(12, 0.01)).settled
    sooner = minimise(bowl, start, 0.1, 500, Ending(4, 0.3))
    assert sooner.settled and sooner.steps < found.steps and sooner.loss > found.loss
    rest = minimise(bowl, np.zeros(5), 0.1, 500, Ending(12, 0.01))  # nothing can be gained
    assert rest.settled and rest.loss == 0
    assert rest.steps == descent.PATIENCE + 1 + descent.LANDING


def test_the_same_again(texture):
    fixed = pull(texture, lambda p: true_map(p, texture.frame.center), texture.frame)
    fields = [
        refine(begin(fixed, texture), fixed, texture, 20)[0].transform.deformation.data
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*fields)


def test_auto_ends_by_itself(texture):
    fixed = pull(texture, lambda p: true_map(p, texture.frame.center), texture.frame)
    start = begin(fixed, texture)
    before = inner_errors(start.transform, lambda p: true_map(p, texture.frame.center), fixed.frame)
    errors = {}
    for steps in ("auto", 400):
        found, record = refine(start, fixed, texture, steps)
        assert record.ended == "settled" and record.kept
        errors[steps] = (
            record.steps,
            inner_errors(
                found.transform, lambda p: true_map(p, texture.frame.center), fixed.frame
            ).mean(),
        )
    assert errors["auto"][0] < 0.8 * errors[400][0] < 320
    assert errors["auto"][1] < 0.4 * before.mean()
    assert errors[400][1] <= errors["auto"][1] + 0.02
    assert refine(start, fixed, texture, 9)[1].ended == "steps"


def test_levels_that_a_network_has_seen_are_left_out():
    spacings = [np.array([n * 1.4, 2.5, n * 1.4]) for n in (4, 2, 1)]
    assert levels_beyond(spacings, [2.5, 2.5, 2.5]) == [0, 1, 2]  # the smallest axis counts
    spacings = [np.full(3, n * 2.0) for n in (4, 2, 1)]
    assert levels_beyond(spacings, [2.5, 2.5, 2.5]) == [1, 2]
    assert levels_beyond([np.full(3, n * 5.0) for n in (4, 2, 1)], [2.0, 2.0, 2.0]) == [2]


def test_a_flat_background(texture):
    """Most of the volume has one value; nothing there pulls."""
    inside = np.zeros(SHAPE, bool)
    inside[8:18, 12:28, 10:22] = True
    moving = Image(np.where(inside, texture.data + 5, 0).astype(np.float32), texture.frame, "m")
    fixed = pull(moving, lambda p: p + [1.5, -1, 2], texture.frame)
    found, record = refine(begin(fixed, moving), fixed, moving, 60)
    assert record.kept and np.isfinite(found.transform.deformation.data).all()
    errors = inner_errors(found.transform, lambda p: p + [1.5, -1, 2], texture.frame)
    assert np.median(errors[inside[4:-4, 5:-5, 5:-5]]) < 0.8


def test_gradients(texture):
    """Against central differences of the loss, through both images."""
    spacing = np.array([6.0, 5.0, 5.0])
    images = level_images(texture, texture, spacing, np.eye(4), np.array([1.3, -0.7, 2.1]), 20.0)
    loss = PairLoss(images, ControlGrid(images.frame, np.array([2.0, 3, 3]), 20.0))
    rng = np.random.default_rng(3)
    logits = 0.2 * rng.normal(size=(*loss.control.frame.shape, 3)).astype(np.float32)
    inverse = (np.eye(3, 4) + 0.02 * rng.normal(size=(3, 4))).astype(np.float32)
    functions = (loss.of_logits, logits), (lambda v: loss.of_inverse(v, logits), inverse)
    for function, values in functions:
        gradient = function(values)[1]
        assert gradient.shape == values.shape
        # Along the gradient: single entries drown in float32's rounding.
        direction = gradient / np.linalg.norm(gradient)
        step = 0.1 if values is logits else 0.002
        ends = [function((values + s * step * direction).astype("f4"))[0] for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(np.linalg.norm(gradient), rel=0.05)
    same = loss.of_inverse(np.eye(3, 4, dtype=np.float32), logits)[0]
    assert loss.of_logits(logits)[0] == pytest.approx(same, abs=1e-5)


@pytest.mark.parametrize("block", [2**15, 7])
def test_sampling_is_that_of_ops_with_the_slope_in_the_cell(rng, monkeypatch, block):
    monkeypatch.setattr("tf_lungreg.refinement.loss._BLOCK", block)
    volume = rng.normal(size=(5, 7, 6)).astype(np.float32)
    grid = rng.uniform(-2, 8, (4, 3, 5, 3)).astype(np.float32)
    coordinates = [tf.constant(grid[..., axis]) for axis in range(3)]
    both = []
    for function in (
        lambda c: sample(tf.constant(volume), c),
        lambda c: ops.warp(volume[None, ..., None], tf.stack(c, -1)[None])[0, ..., 0],
    ):
        with tf.GradientTape() as tape:
            tape.watch(coordinates)
            values = function(coordinates)
            total = tf.reduce_sum(values**2)
        both.append([values.numpy(), *[g.numpy() for g in tape.gradient(total, coordinates)]])
    for found, expected in zip(*both):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_the_image_term_by_loops(rng):
    """Window by window around every second voxel, in numpy, smaller at the borders."""
    shape = (9, 5, 11)
    fixed, warped = (rng.uniform(size=shape).astype(np.float32) for _ in range(2))
    warped += fixed
    found = []
    for center in itertools.product(*(range(0, size, STRIDE) for size in shape)):
        near = tuple(slice(max(0, c - WINDOW // 2), c + WINDOW // 2 + 1) for c in center)
        f, w = fixed[near].astype(np.float64).ravel(), warped[near].astype(np.float64).ravel()
        covariance = np.cov(f, w, bias=True)
        floors = (covariance[0, 0] + NOISE) * (covariance[1, 1] + NOISE)
        found.append(covariance[0, 1] ** 2 / floors)
    windows = window_matrices(shape)
    term = image_term(windowed(tf.constant(fixed), windows), tf.constant(warped), windows)
    assert float(term) == pytest.approx(1 - np.mean(found), abs=1e-5)


def test_roughness_is_the_mean_squared_gradient(rng):
    steps = rng.normal(size=(5, 6, 4, 3)).astype(np.float32)
    spacing = np.array([3.0, 2.0, 5.0], np.float32)
    expected = 0
    for axis in range(3):
        slopes = np.diff(steps * spacing, axis=axis) / spacing[axis]
        expected += np.mean(np.sum(slopes**2, axis=-1))
    found = roughness(tf.constant(steps), tf.constant(spacing)).numpy()
    assert found == pytest.approx(expected, rel=1e-5)


class TestControlGrid:
    image = Frame((14, 20, 17), np.diag([3.0, 2.0, 2.5, 1]))

    def test_its_spline_is_scipys(self, rng):
        control = ControlGrid(self.image, np.array([2.5, 4, 3.3]), 12.0)
        coefficients = rng.normal(size=(*control.frame.shape, 3)).astype(np.float32)
        found = upsample(tf.constant(coefficients), control.matrices)
        where = control.frame.affine
        voxels = apply_affine(np.linalg.inv(where), points_of(self.image))
        for axis in range(3):
            expected = ndimage.map_coordinates(
                coefficients[..., axis], np.moveaxis(voxels, -1, 0), order=3, prefilter=False
            )
            np.testing.assert_allclose(found[axis].numpy(), expected, atol=1e-5)

    def test_a_field_comes_back(self):
        """From a displacement to logits to the displacement."""
        control = ControlGrid(self.image, np.array([2.0, 3, 2.5]), 25.0)
        points, shift = points_of(self.image), np.array([4.0, -30, 7])
        moved = true_map(points, self.image.center) - points
        start = control.start(Transform((moved + shift).astype("f4"), self.image), shift)
        assert start.shape == (*control.frame.shape, 3)
        found = control.field(start, shift)
        assert found.frame is self.image
        error = np.linalg.norm(found.data - shift - moved, axis=-1)
        assert np.linalg.norm(moved, axis=-1).mean() > 2
        assert error.mean() < 0.15 and error.max() < 1.0

    def test_the_ends_stay_and_nothing_turns_back(self, rng):
        control = ControlGrid(self.image, np.array([2.0, 3, 2.5]), 12.0)
        logits = 4 * rng.normal(size=(*control.frame.shape, 3)).astype(np.float32)
        points = control_points(tf.constant(logits))[0].numpy()
        for axis, size in enumerate(control.frame.shape):
            lines = np.moveaxis(points[..., axis], axis, 0)
            np.testing.assert_allclose(lines[0], 0, atol=1e-4)
            np.testing.assert_allclose(lines[-1], size - 1, rtol=1e-5)
        dense = control.field(logits, np.zeros(3)).data + points_of(self.image)
        for axis in range(3):
            assert (np.diff(dense[..., axis], axis=axis) > -1e-3).all()


def test_levels():
    fine = Frame((120, 100, 40), np.diag([1.4, 1.4, 5.0, 1]))
    coarse = Frame((100, 90, 60), np.diag([2.0, 1.0, 3.0, 1]))
    spacings = level_spacings(fine, coarse)  # D is y, H is z, W is x
    np.testing.assert_allclose(spacings[-1], [1.4, 5, 2])
    np.testing.assert_allclose(spacings[0], [5.6, 5.6, 5.6])
    large = Frame((512, 512, 300), np.diag([0.7, 0.7, 1.0, 1]))
    finest = level_spacings(large, large)[-1]
    assert 2_300_000 < np.prod(np.array([512, 300, 512]) * [0.7, 1, 0.7] / finest) < 2_500_001
    assert len(level_spacings(*[Frame((9, 9, 9), np.eye(4))] * 2)) == 1


def test_the_images_of_a_level_are_those_of_the_world(texture):
    """Fixed through A⁻¹, moving through the translation, by scipy."""
    affine = np.eye(4)
    affine[:3, :3] += [[0.02, 0.1, 0], [-0.1, 0, 0.05], [0, 0.03, -0.04]]
    affine[:3, 3] = [9, -4, 6]
    shift = np.array([4.0, 5, -6])
    images = level_images(texture, texture, np.array(SPACING), affine, shift, 10.0)
    before = apply_affine(images.frame.affine, -images.pad)
    np.testing.assert_allclose(images.moving_frame.affine[:3, 3], before + shift)
    for found, mapping, frame in (
        (images.fixed, lambda q: apply_affine(np.linalg.inv(affine), q), images.frame),
        (images.moving, lambda q: q, images.moving_frame),
    ):
        expected = np.clip(pull(texture, mapping, frame).data, 0, 1)
        error = np.abs(found - expected)[3:-3, 3:-3, 3:-3]
        assert np.median(error) < 0.01 and np.mean(error > 0.05) < 0.05
        assert expected.std() > 0.2


def test_the_moving_image_of_a_level_is_what_can_be_reached(texture):
    """All of it within the margin, nothing beyond, and two voxels where nothing is in reach."""
    margin, spacing = 15.0, np.array(SPACING)
    for shift, name in (((0, 0, 0), "whole"), ((40, 0, -50), "part"), ((900, 0, 0), "none")):
        images = level_images(texture, texture, spacing, np.eye(4), np.array(shift), margin)
        fixed, seen = points_of(images.frame), points_of(images.moving_frame)
        axes, inside = (0, 1, 2), points_of(texture.frame).reshape(-1, 3)
        reach = np.array([fixed.min(axes) - margin, fixed.max(axes) + margin]) + shift
        wanted = inside[((inside >= reach[0]) & (inside <= reach[1])).all(axis=1)]
        if name == "none":
            assert len(wanted) == 0 and min(images.moving.shape) == 2
            continue
        assert (wanted >= seen.min(axes) - 1e-6).all() and (wanted <= seen.max(axes) + 1e-6).all()
        assert np.prod(seen.shape[:3]) < 1.5 * texture.data.size


def test_adam_against_keras(rng, monkeypatch):
    monkeypatch.setattr(descent, "_FLOOR", 0)
    values = rng.normal(size=5)
    variable = tf.Variable(values)
    keras = tf.keras.optimizers.Adam(0.1, beta_2=0.99, epsilon=1e-10)
    ours = Adam()
    for _ in range(5):
        gradient = np.sin(values) + values
        keras.apply_gradients([(tf.constant(gradient), variable)])
        values = ours.update(values, gradient, 0.1)
    np.testing.assert_allclose(values, variable.numpy(), rtol=1e-5)


def test_what_has_hardly_a_gradient_hardly_moves():
    gradient = np.array([1.0, -1.0, 1e-3])
    moved = -Adam().update(np.zeros(3), gradient, 0.1)
    assert moved[0] == -moved[1] and 0.07 < moved[0] < 0.1 and 0 < moved[2] < 0.001


def test_a_descent_takes_off_and_lands():
    """The steps along a constant slope: the rate rises, stays, and falls."""
    places = []

    def slope(values):
        places.append(values[0])
        return float(values[0]), np.ones(1)

    minimise(slope, np.zeros(1), 0.1, 40, Ending(12, 0.0))
    steps = -np.diff(places)
    flat = steps[descent.TAKEOFF - 1 : -descent.LANDING]
    np.testing.assert_allclose(flat, flat[0])
    assert (np.diff(steps[: descent.TAKEOFF]) > 0).all() and steps[0] < 0.2 * flat[0]
    assert (np.diff(steps[-descent.LANDING :]) < 0).all() and steps[-1] < 0.2 * flat[0]


def test_the_files_of_a_refined_result(tools, pair, tmp_path):
    """The affine and the deformation in turn equal the whole, and all is recorded."""
    model = tools.known_model(tools.SOME_AFFINE, bend=0.3)
    result = register(pair.fixed, pair.moving, model, refine=15)
    out = save_result(result, tmp_path / "out", report=True)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert (
        metrics["settings"]["refine"] == 15 and metrics["provenance"]["seconds"]["refinement"] > 0
    )
    assert (
        metrics["provenance"]["refinement"]["steps"] <= 15
        and metrics["provenance"]["refinement"]["kept"]
    )
    assert metrics["measures"]["ncc_after"] > metrics["measures"]["ncc_before"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert (
        f"{metrics['provenance']['refinement']['steps']} on " in page
        and "the refined transform" in page
    )
    turn = sitk.CompositeTransform(3)
    turn.AddTransform(tools.read_field(out / "deformation.nii.gz"))
    turn.AddTransform(sitk.ReadTransform(str(out / "affine.tfm")))
    points = points_of(pair.fixed_frame)[::4, ::4, ::3].reshape(-1, 3)
    whole = tools.itk_points(tools.read_field(out / "displacement.nii.gz"), points)
    np.testing.assert_allclose(tools.itk_points(turn, points), whole, atol=2e-3)
    np.testing.assert_allclose(result.map_points(points), whole, atol=1e-3)


def test_a_refinement_that_is_not_kept_is_told(pair, tmp_path, monkeypatch, capsys):
    def worse(seen, *arguments):
        return seen, dataclasses.replace(refine(seen, *arguments)[1], kept=False)

    monkeypatch.setattr(pipeline, "refine_pass", worse)
    words = ["--model", "none", "--refine", "4", "--out", str(tmp_path / "out")]
    assert main(["register", str(pair.fixed), str(pair.moving), *words]) == 0
    assert capsys.readouterr().err.count("warning: refine: the refined transform matches") == 1


def test_without_a_network(pair, tmp_path):
    result = register(pair.fixed, pair.moving, "none", refine=10)
    assert result.provenance.model == "none"
    assert result.provenance.refinement.begun_from == "identity"
    table = tmp_path / "pairs.csv"
    table.write_text(f"fixed,moving,name\n{pair.fixed},{pair.moving},a\n", encoding="utf-8")
    settings = RegistrationSettings(refine=10)
    assert register_pairs(read_pairs(table), tmp_path / "out", "none", settings=settings) == {}
    metrics = json.loads((tmp_path / "out" / "a" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["provenance"]["refinement"]["steps"] == result.provenance.refinement.steps


@pytest.mark.parametrize("steps", [-1, 2.5, True, "all"])
def test_steps_that_are_no_number(pair, tmp_path, steps):
    with pytest.raises(InputError, match="refine: auto, or a whole number"):
        register(pair.fixed, pair.moving, "none", refine=steps)
    with pytest.raises(InputError, match="refine: auto, or a whole number"):
        RegistrationSettings(refine=steps)


def test_mistakes_on_the_command_line(pair, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["register", "fixed.nii.gz", "moving.nii.gz", "--model", "none", "--out", "out"]
    assert main([*words, "--refine", "-3"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "refine: auto, or a whole number" in printed
    assert main(words) == 2  # without --refine there is nothing to do without a model
    assert "'none' goes with --refine" in capsys.readouterr().err
    assert main([*words, "--refine", "8"]) == 0
    record = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert record["settings"]["refine"] == 8


def test_the_record_is_plain(texture):
    record = refine(begin(texture, texture), texture, texture, 3)[1]
    json.dumps(dataclasses.asdict(record))
