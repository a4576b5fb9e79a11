import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg.quality.scores import dice
from tf_lungreg.synthetic import bodies as bodies_module
from tf_lungreg.synthetic import draw_crop, draw_pair, load_bodies
from tf_lungreg.synthetic.appearance import random_contrast
from tf_lungreg.synthetic.deformation import random_rotation, smooth_field

SHAPE = (32, 56, 48)


@pytest.fixture(scope="module")
def bodies():
    return load_bodies(2, seed=5)


def warp(volume, grid, order=1):
    places = np.moveaxis(grid, -1, 0)
    return ndimage.map_coordinates(volume, places, order=order, mode="nearest")


def test_bodies_are_found_again_and_breathing_has_an_inverse(bodies, tmp_path, monkeypatch):
    first = load_bodies(1, seed=5, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    load_bodies(1, seed=5, cache=tmp_path)  # a damaged file is made anew
    monkeypatch.setattr(bodies_module, "_render", None)
    again = load_bodies(1, seed=5, cache=tmp_path)
    for name in ("images", "lungs", "distance", "exhale", "inhale"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bodies, name)[:1])
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))

    inside = np.argwhere(bodies.lungs[0])[::997] * bodies_module.IMAGE_STEP
    there = inside + bodies_module.sample(bodies.exhale[0], inside, bodies_module.MOTION_STEP)
    back = there + bodies_module.sample(bodies.inhale[0], there, bodies_module.MOTION_STEP)
    assert np.abs(there - inside).max() > 5
    assert np.linalg.norm(back - inside, axis=1).max() < 1.0  # mm, of fields with 8 mm voxels


def test_a_pair_is_a_function_of_its_seed(bodies):
    first, again, other = (draw_pair(bodies, seed, SHAPE) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.fixed, again.fixed)
    np.testing.assert_array_equal(first.grid, again.grid)
    assert np.abs(first.fixed - other.fixed).mean() > 0.01


def test_the_grid_brings_the_moving_image_onto_the_fixed_one(bodies, monkeypatch):
    monkeypatch.setattr("tf_lungreg.synthetic.pairs._OTHER", 0)  # one contrast in both
    before, after = [], []
    for seed in range(8):
        pair = draw_pair(bodies, seed, SHAPE)
        for image in (pair.fixed, pair.moving):
            assert image.shape == SHAPE and image.dtype == np.float32
            assert image.min() >= 0 and image.max() <= 1
        share = pair.weight / pair.weight.sum()
        before.append(np.sum(share * np.abs(pair.moving - pair.fixed)))
        after.append(np.sum(share * np.abs(warp(pair.moving, pair.grid) - pair.fixed)))
    assert np.mean(after) < 0.6 * np.mean(before)


def test_lungs_agree_under_the_truth(bodies, monkeypatch):
    """With a contrast in which the lungs alone are dark, thresholds give both masks."""
    contrast = np.ones(15)
    contrast[2:5] = 0
    monkeypatch.setattr("tf_lungreg.synthetic.pairs.random_contrast", lambda rng: contrast)
    monkeypatch.setattr(
        "tf_lungreg.synthetic.pairs.acquire",
        lambda rng, tissue, values, spacing: ((tissue > 40) & (tissue < 180)).astype(np.float32),
    )
    overlaps = []
    for seed in range(6):
        pair = draw_pair(bodies, seed, SHAPE)
        counted = pair.weight > 1
        overlaps.append(
            dice(pair.fixed[counted] > 0.5, warp(pair.moving, pair.grid)[counted] > 0.5)
        )
    assert np.mean(overlaps) > 0.9


def test_the_margin_continues_the_image_and_counts_nothing(bodies):
    pair = draw_pair(bodies, 2, SHAPE, margin=4)
    inner = (slice(4, -4),) * 3
    outside = np.ones(SHAPE, bool)
    outside[inner] = False
    assert pair.weight[inner].min() > 0 and not pair.weight[outside].any()


def test_smooth_fields_are_smooth_and_of_the_size_asked_for(rng):
    field = smooth_field(rng, (40, 60, 50), (5.0, 5.0, 5.0), 60.0, 10.0)
    assert field.shape == (40, 60, 50, 3)
    assert 3 < field.std() < 10
    assert np.abs(np.diff(field, axis=1)).max() < 4
    np.testing.assert_allclose(smooth_field(rng, (9, 9, 9), (1.0,) * 3, 4.0, 0.0), 0)


def test_rotations_are_rotations(rng):
    for _ in range(5):
        matrix = random_rotation(rng, 20)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_contrasts_differ(rng):
    values = np.stack([random_contrast(rng) for _ in range(40)])
    assert values.shape == (40, 15) and np.isfinite(values).all()
    assert values.std(axis=0).min() > 0.03


def test_the_true_displacement_of_a_crop_brings_the_images_together(bodies, monkeypatch):
    """Seen without noise, in one contrast; the start is closer than nothing and not the truth."""
    monkeypatch.setattr(
        "tf_lungreg.synthetic.crops.acquire",
        lambda rng, tissue, values, spacing: tissue / np.float32(1000),
    )
    monkeypatch.setattr("tf_lungreg.synthetic.crops._blur", lambda rng, image: image)
    ratios, starts = [], []
    for seed in range(8):
        crop = draw_crop(bodies, seed, (32, 32, 32))
        assert crop.fixed.dtype == crop.moving.dtype == crop.start.dtype == np.float32
        assert crop.start.shape == (16, 16, 16, 3)
        identity = np.stack(np.indices(crop.fixed.shape), axis=-1)
        share = crop.weight * (crop.weight > 0.4) / crop.weight.sum()
        before = np.sum(share * np.abs(crop.moving - crop.fixed))
        warped = warp(crop.moving, identity + crop.displacement)
        ratios.append(np.sum(share * np.abs(warped - crop.fixed)) / before)
        start = np.repeat(np.repeat(np.repeat(2 * crop.start, 2, 0), 2, 1), 2, 2)
        error = np.linalg.norm(start - crop.displacement, axis=-1)
        starts.append(np.sum(share * error))
    assert np.median(ratios) < 0.4
    assert min(starts) > 0.02 and np.median(starts) < 2  # voxels


def test_a_crop_is_a_function_of_its_seed(bodies):
    first, again, other = (draw_crop(bodies, seed, (16, 16, 16)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.moving, again.moving)
    np.testing.assert_array_equal(first.start, again.start)
    assert np.abs(first.fixed - other.fixed).mean() > 0.01
