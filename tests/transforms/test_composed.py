"""The network's outputs in the world."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg import ops
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.sampling import world_points
from tf_lungreg.transforms.composed import composed_transform
from tf_lungreg.transforms.transform_files import write_affine


@pytest.fixture
def outputs(tools, rng):
    fixed, moving = network_frame(
        tools.make_frame((15, 17, 13), "RSP", (3, -9, 400)),
        tools.make_frame((10, 9, 8), "LPS", (12, 4, 431)),
        (5.0, 6.0, 4.0),
    )
    gradients = np.stack([1 + 0.3 * tools.smooth_noise(rng, fixed.shape) for _ in range(3)], -1)
    return fixed, moving, tools.SOME_AFFINE, np.clip(gradients, 0, 2).astype(np.float32)


@pytest.mark.parametrize("anchor", ops.ANCHORS)
def test_it_is_the_composed_grid_at_the_networks_voxels(outputs, anchor):
    fixed, moving, affine, gradients = outputs
    second = ops.integrate(gradients[None], anchor)
    first = ops.affine_grid(np.float32(affine)[None], fixed.shape)
    grid = ops.compose(first, second)[0].numpy()
    transform = composed_transform(affine, second[0].numpy(), fixed, moving)
    points = world_points(fixed, slice(0, fixed.shape[0]))
    expected = apply_affine(moving.affine, grid)
    assert np.abs(expected - points).max() > 20
    found = transform.on(fixed)
    np.testing.assert_allclose(found.data + points, expected, atol=2e-3)


def test_affine_and_deformation_in_turn_give_the_whole(tools, outputs, tmp_path):
    fixed, moving, affine, gradients = outputs
    second = ops.integrate(gradients[None], "ends")[0].numpy()
    affine = affine + 0.3 * np.eye(3, 4)  # leads beyond the network's grid
    transform = composed_transform(affine, second, fixed, moving)
    frame = tools.make_frame((15, 17, 13), "RSP", (3, -9, 400))
    whole = transform.on(frame)
    whole.save(tmp_path / "whole.nii.gz")
    transform.deformation_over(frame).save(tmp_path / "rest.nii.gz")
    write_affine(tmp_path / "affine.tfm", transform.affine)
    turn = sitk.CompositeTransform(3)  # what was added last is applied first
    turn.AddTransform(tools.read_field(tmp_path / "rest.nii.gz"))
    turn.AddTransform(sitk.ReadTransform(str(tmp_path / "affine.tfm")))
    voxels = np.array(list(np.ndindex(3, 3, 3))) / 2 * (np.array(frame.shape) - 1)
    points = apply_affine(frame.affine, np.round(voxels))  # corners and borders too
    expected = tools.itk_points(turn, points)
    np.testing.assert_allclose(whole.map_points(points), expected, atol=1e-3)
    alone = tools.itk_points(sitk.ReadTransform(str(tmp_path / "affine.tfm")), points)
    assert np.linalg.norm(alone - expected, axis=1).min() > 5  # neither part is idle


def test_the_identity_is_the_initial_translation(tools):
    fixed = tools.make_frame((15, 17, 13), "RSP", (3, -9, 400))
    one, other = network_frame(fixed, Frame((9, 9, 9), np.eye(4)), (5.0, 6.0, 4.0))
    still = ops.identity_grid(one.shape)[0].numpy()
    transform = composed_transform(np.eye(3, 4), still, one, other)
    np.testing.assert_allclose(transform.affine, np.eye(4), atol=1e-12)
    moved = transform.on(fixed).data
    np.testing.assert_allclose(moved, np.broadcast_to([1, 13, -396], moved.shape), atol=1e-3)


def test_a_transform_that_is_broken_off_is_not_kept(tmp_path, monkeypatch):
    """As by a full disk, of which ITK says nothing when it writes text."""
    write = sitk.WriteTransform

    def break_off(transform, name):
        write(transform, name)
        text = Path(name).read_text()
        Path(name).write_text(text[: text.index("FixedParameters") - 9])

    monkeypatch.setattr(sitk, "WriteTransform", break_off)
    with pytest.raises(InputError, match="affine.tfm: cannot be written"):
        write_affine(tmp_path / "affine.tfm", np.eye(4) + 0.123456789)
    assert list(tmp_path.iterdir()) == []
