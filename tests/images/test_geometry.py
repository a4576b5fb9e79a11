"""geometry.py against nibabel, SimpleITK and hand-made numbers."""

import itertools
import math

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import (
    AXIS_CODES,
    DIRECTIONS,
    Frame,
    apply_affine,
    check_affine,
    ras_to_lps,
    to_axis_codes,
)
from tf_lungreg.images.network_frame import network_frame


def make_frame(shape=(11, 17, 23), spacing=(2.5, 1.1, 0.7), angles=(0, 0, 0), origin=(-31, 47, 90)):
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ DIRECTIONS * np.array(spacing)
    affine[:3, 3] = origin
    return Frame(shape, affine)


def corners(frame):
    """World positions of the outer corners of the corner voxels."""
    ends = [(-0.5, n - 0.5) for n in frame.shape]
    return np.array(
        [frame.affine[:3, :3] @ c + frame.affine[:3, 3] for c in itertools.product(*ends)]
    )


def test_directions_are_the_axis_codes_of_nibabel():
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS
    assert nib.aff2axcodes(affine) == AXIS_CODES == ("P", "I", "L")


def test_frame_keeps_plain_types_and_its_own_copy():
    affine = np.eye(4, dtype=np.float32)
    frame = Frame(np.array([4, 5, 6]), affine)
    affine[0, 0] = 9
    assert frame.shape == (4, 5, 6) and all(type(n) is int for n in frame.shape)
    assert frame.affine.dtype == np.float64 and frame.affine[0, 0] == 1


def test_spacing_and_center_of_an_oblique_frame():
    frame = make_frame(angles=(20, -35, 50))
    np.testing.assert_allclose(frame.spacing, (2.5, 1.1, 0.7))
    np.testing.assert_allclose(frame.center, corners(frame).mean(axis=0))
    np.testing.assert_allclose(frame.center, (frame.affine @ [5, 8, 11, 1])[:3])


def test_corners_are_the_outer_ones_that_itk_finds():
    frame = make_frame(angles=(20, -35, 50))
    image = sitk.Image(*frame.shape, sitk.sitkUInt8)
    image.SetSpacing(frame.spacing.tolist())
    image.SetOrigin(ras_to_lps(frame.affine[:3, 3]).tolist())
    axes = np.diag([-1.0, -1.0, 1.0]) @ frame.affine[:3, :3] / frame.spacing
    image.SetDirection(axes.ravel().tolist())
    ends = itertools.product(*((-0.5, n - 0.5) for n in frame.shape))
    found = [image.TransformContinuousIndexToPhysicalPoint(end) for end in ends]
    np.testing.assert_allclose(frame.corners, ras_to_lps(found), atol=1e-9)
    np.testing.assert_allclose(frame.corners, corners(frame), atol=1e-9)


def test_voxel_to_keeps_the_world_point():
    one = make_frame(angles=(20, -35, 50))
    other = make_frame((8, 9, 10), (3, 4, 5), (-70, 10, 5), (3, -20, 11))
    point = np.array([3.3, 7.1, -2.0, 1])
    there = one.voxel_to(other) @ point
    np.testing.assert_allclose(other.affine @ there, one.affine @ point)
    image = sitk.Image(other.shape, sitk.sitkFloat32)  # ITK's own inverse of the affine
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(other.spacing.tolist())
    image.SetDirection((flip @ other.affine[:3, :3] / other.spacing).ravel().tolist())
    image.SetOrigin((flip @ other.affine[:3, 3]).tolist())
    world = flip @ (one.affine @ point)[:3]
    index = image.TransformPhysicalPointToContinuousIndex(world.tolist())
    np.testing.assert_allclose(there[:3], index, atol=1e-9)


def test_same_grid():
    frame = make_frame(angles=(10, 20, 30))
    assert frame.same_grid(Frame(frame.shape, frame.affine))
    for other in ((11, 17, 24), (11, 17, 22), (10, 17, 23), (12, 17, 23)):
        assert not frame.same_grid(Frame(other, frame.affine))
    for row, column in itertools.product(range(3), range(4)):
        moved = frame.affine.copy()
        moved[row, column] += 2e-3
        assert not frame.same_grid(Frame(frame.shape, moved))
        assert frame.same_grid(Frame(frame.shape, moved), tolerance=0.1)
        moved[row, column] = frame.affine[row, column] + 1e-5
        assert frame.same_grid(Frame(frame.shape, moved))


@pytest.mark.parametrize("axis", range(3))
def test_same_grid_measures_at_the_outermost_centres(axis):
    """A voxel that is longer by e moves the last centre by (n - 1) e, whatever n."""
    frame = make_frame()
    last = frame.shape[axis] - 1
    for share, same in ((0.99, True), (1.01, False)):
        longer = frame.affine.copy()
        step = frame.affine[:3, axis] / frame.spacing[axis]
        longer[:3, axis] += share * 1e-3 / last * step
        assert frame.same_grid(Frame(frame.shape, longer)) == same


def test_apply_affine_on_any_leading_shape():
    rng = np.random.default_rng(0)
    matrix, points = rng.normal(size=(4, 4)), rng.normal(size=(2, 5, 3))
    matrix[3] = 0, 0, 0, 1
    expected = [[(matrix @ [*p, 1])[:3] for p in row] for row in points]
    np.testing.assert_allclose(apply_affine(matrix, points), expected)


def test_ras_to_lps_is_what_itk_reads(tmp_path):
    affine = make_frame(angles=(20, -35, 50)).affine
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), affine), tmp_path / "a.nii")
    image = sitk.ReadImage(str(tmp_path / "a.nii"))
    ras = apply_affine(affine, [1, 2, 3])
    np.testing.assert_allclose(
        ras_to_lps(ras), image.TransformIndexToPhysicalPoint((1, 2, 3)), atol=1e-3
    )
    np.testing.assert_array_equal(ras_to_lps(ras_to_lps(ras)), ras)


def test_check_affine_accepts_rotations_and_reflections():
    frame = make_frame(angles=(20, -35, 50))
    check_affine(frame.affine, "a.nii")
    check_affine(frame.affine @ np.diag([-1, 1, 1, 1]), "a.nii")
    rounded = frame.affine + 1e-6 * np.random.default_rng(0).normal(size=(4, 4))
    check_affine(rounded, "a.nii")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda a: a[:3, 0].__imul__(0), "singular"),
        (lambda a: a.__setitem__((1, 3), np.nan), "singular"),
        (lambda a: a.__imul__(500), "mm large"),
        (lambda a: a.__setitem__((slice(3), 2), a[:3, 1]), "sheared"),
        (lambda a: a[:3, 2].__iadd__(0.01 * a[:3, 1]), "sheared"),
        (lambda a: a.__setitem__((3, 0), 1), "last row"),
        (lambda a: a.__setitem__(slice(None), a.T.copy()), "last row"),
        (lambda a: a.__setitem__((3, 3), 2), "last row"),
    ],
)
def test_check_affine_refuses(change, word):
    affine = make_frame(angles=(20, -35, 50)).affine.copy()
    change(affine)
    with pytest.raises(InputError, match=rf"^scan\.nii: .*{word}"):
        check_affine(affine, "scan.nii")


@pytest.mark.parametrize(
    "affine",
    [
        np.eye(3),
        np.eye(4)[:3],
        None,
        [[1, 0], [0]],
        np.eye(4).astype(complex),
        np.eye(4).astype(str),
    ],
)
def test_check_affine_wants_a_matrix_of_numbers(affine):
    with pytest.raises(InputError, match=r"^scan\.nii: .*a \(4, 4\) matrix of numbers"):
        check_affine(affine, "scan.nii")


def test_check_affine_gives_float64():
    assert check_affine(np.eye(4, dtype=np.float32).tolist(), "a.nii").dtype == np.float64


def test_to_axis_codes_brings_any_order_to_ours():
    for codes in itertools.permutations([("R", "L"), ("A", "P"), ("S", "I")]):
        for ends in itertools.product(*codes):
            ornt = nib.orientations.axcodes2ornt(ends)
            affine = nib.orientations.inv_ornt_aff(ornt, (4, 5, 6)) @ np.diag([2, 3, 4, 1])
            image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), affine)
            turned = image.as_reoriented(to_axis_codes(image.affine))
            assert nib.aff2axcodes(turned.affine) == ("P", "I", "L")


SPACING = (3.0, 2.0, 2.5)


def test_network_frame_takes_the_fixed_extent_in_multiples():
    fixed = make_frame((20, 31, 24), (3.0, 4.0, 5.0))  # 60 × 124 × 120 mm: 20, 62, 48 steps
    moving = make_frame((9, 9, 9), origin=(500, 0, 0))
    one, two = network_frame(fixed, moving, SPACING)
    assert one.shape == two.shape == (24, 64, 48)
    assert network_frame(fixed, moving, SPACING, multiple=16)[0].shape == (32, 64, 48)
    assert network_frame(fixed, moving, SPACING, multiple=1)[0].shape == (20, 62, 48)
    assert network_frame(fixed, moving, SPACING, (8, 10, 12))[1].shape == (8, 10, 12)


def test_network_frame_grows_its_voxels_until_they_are_few_enough():
    fixed = make_frame((20, 31, 24), (3.0, 4.0, 5.0))
    whole = network_frame(fixed, fixed, SPACING, margin=8)[0]
    inner = math.prod(n - 16 for n in whole.shape)
    assert inner > 10_000
    frame = network_frame(fixed, fixed, SPACING, margin=8, voxels=10_000)[0]
    assert 5_000 < math.prod(n - 16 for n in frame.shape) <= 10_000
    factor = frame.spacing / SPACING
    np.testing.assert_allclose(factor, factor[0])
    assert factor[0] > 1
    # The margin is there on every side, in the larger voxels.
    extent = np.array([60, 124, 120])
    assert (np.array(frame.shape) * frame.spacing >= extent + 16 * frame.spacing - 1e-6).all()
    same = network_frame(fixed, fixed, SPACING, margin=8, voxels=10**9)[0]
    assert same.same_grid(whole)
    with pytest.raises(InputError, match="voxels"):
        network_frame(fixed, fixed, SPACING, margin=8, voxels=500)


def test_network_frame_axes_and_centers():
    fixed = make_frame(angles=(10, 20, 30))
    moving = make_frame((9, 12, 8), (2, 3, 4), (5, -6, 7), (40, -90, 10))
    one, two = network_frame(fixed, moving, SPACING)
    for frame, center in ((one, fixed.center), (two, moving.center)):
        assert nib.aff2axcodes(frame.affine) == ("P", "I", "L")
        np.testing.assert_allclose(frame.affine[:3, :3], DIRECTIONS * np.array(SPACING))
        np.testing.assert_allclose(frame.center, center)


def test_network_frame_world_keeps_world_positions():
    fixed, moving = make_frame(), make_frame(origin=(40, -90, 10))
    one, two = network_frame(fixed, moving, SPACING, init="world")
    assert one.same_grid(two, 1e-9)
    np.testing.assert_allclose(one.center, fixed.center)
    with pytest.raises(InputError, match="'middle'"):
        network_frame(fixed, moving, SPACING, init="middle")


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, -35, 50), (90, 0, 45), (180, 10, -80)])
def test_network_frame_holds_the_whole_fixed_volume(angles):
    fixed = make_frame((11, 40, 23), (2.5, 1.1, 3.7), angles)
    frame = network_frame(fixed, fixed, SPACING, multiple=1)[0]
    index = (np.c_[corners(fixed), np.ones(8)] @ np.linalg.inv(frame.affine).T)[:, :3]
    assert (index > -0.5 - 1e-4).all() and (index < np.array(frame.shape) - 0.5 + 1e-4).all()
    # ... and not more than that: less than a voxel to spare
    assert (np.ptp(index, axis=0) > np.array(frame.shape) - 1).all()
