"""What must hold of every frame, not only of those that an author thinks of."""

import nibabel as nib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel import orientations
from scipy.spatial.transform import Rotation

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

always = settings(deadline=None, derandomize=True)  # the same examples every time

lengths = st.floats(0.3, 12)
positions = st.floats(-2000, 2000)
angles = st.floats(-180, 180)


@st.composite
def frames(draw):
    """Any shape, voxel size, position, rotation and handedness."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", [draw(angles) for _ in range(3)], degrees=True)
    mirror = np.diag([draw(st.sampled_from([-1, 1])), 1, 1])
    affine[:3, :3] = rotation.as_matrix() @ mirror * [draw(lengths) for _ in range(3)]
    affine[:3, 3] = [draw(positions) for _ in range(3)]
    return Frame(tuple(draw(st.integers(2, 300)) for _ in range(3)), affine)


points = st.lists(positions, min_size=3, max_size=3).map(np.array)


@always
@given(frames())
def test_no_rigid_frame_is_refused_and_its_spacing_is_the_voxel_size(frame):
    check_affine(frame.affine, "a file")
    steps = frame.affine[:3, :3] / frame.spacing
    np.testing.assert_allclose(steps.T @ steps, np.eye(3), atol=1e-9)
    assert frame.same_grid(Frame(frame.shape, frame.affine.copy()), tolerance=0)


@always
@given(frames(), frames(), points)
def test_there_and_back_between_two_frames(one, other, point):
    there = apply_affine(one.voxel_to(other), point)
    np.testing.assert_allclose(
        apply_affine(other.affine, there), apply_affine(one.affine, point), rtol=1e-9, atol=1e-6
    )
    back = apply_affine(other.voxel_to(one), there)
    np.testing.assert_allclose(back, point, rtol=1e-9, atol=1e-6)


@always
@given(points)
def test_ras_and_lps_are_each_others_inverse(point):
    np.testing.assert_array_equal(ras_to_lps(ras_to_lps(point)), point)


@always
@given(frames(), st.permutations("RAS"), st.lists(st.booleans(), min_size=3, max_size=3))
def test_an_orientation_there_and_back(frame, axes, mirrored):
    opposite = dict(zip("RAS", "LPI"))
    codes = tuple(opposite[a] if m else a for a, m in zip(axes, mirrored))
    shape = np.array(frame.shape) % 5 + 2
    data = np.arange(np.prod(shape)).reshape(shape)
    there = to_axis_codes(frame.affine, codes)
    turned = orientations.apply_orientation(data, there)
    affine = frame.affine @ orientations.inv_ornt_aff(there, shape)
    assert nib.aff2axcodes(affine) == codes
    back = to_axis_codes(affine, nib.aff2axcodes(frame.affine))
    np.testing.assert_array_equal(orientations.apply_orientation(turned, back), data)
    returned = affine @ orientations.inv_ornt_aff(back, turned.shape)
    np.testing.assert_allclose(returned, frame.affine, atol=1e-6)
    # A voxel keeps its value and its place in the world.
    index = tuple(shape // 2)
    place = np.linalg.solve(affine, frame.affine @ [*index, 1])[:3]
    assert turned[tuple(np.rint(place).astype(int))] == data[index]


@always
@given(
    frames(),
    frames(),
    st.tuples(lengths, lengths, lengths),
    st.sampled_from(["center", "world"]),
    st.sampled_from([1, 8]),
    st.integers(0, 6),
)
def test_the_networks_frames(fixed, moving, spacing, init, multiple, margin):
    one, two = network_frame(fixed, moving, spacing, init=init, multiple=multiple, margin=margin)
    assert one.shape == two.shape and all(n > 0 and n % multiple == 0 for n in one.shape)
    for frame in (one, two):
        assert nib.aff2axcodes(frame.affine) == AXIS_CODES
        np.testing.assert_allclose(frame.affine[:3, :3], DIRECTIONS * np.array(spacing))
    np.testing.assert_allclose(one.center, fixed.center, atol=1e-6)
    center = moving.center if init == "center" else fixed.center
    np.testing.assert_allclose(two.center, center, atol=1e-6)
    # Every corner of the fixed image lies inside, with the margin around it.
    ends = [(-0.5, n - 0.5) for n in fixed.shape]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = apply_affine(fixed.voxel_to(one), corners)
    assert (inside >= margin - 0.5 - 1e-3).all()
    assert (inside <= np.array(one.shape) - margin - 0.5 + 1e-3).all()
