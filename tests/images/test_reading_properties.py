"""What is written comes back, whatever its shape, type, voxel size and place."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import AXIS_CODES, Frame, apply_affine
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.tables.table import read_table, write_table

always = settings(deadline=None, derandomize=True, max_examples=60)  # the same examples every time

TYPES = ["bool", "uint8", "int16", "uint16", "int32", "float16", "float32", "float64"]


@st.composite
def frames(draw):
    """A small grid, anywhere and at any angle."""
    turn = [draw(st.floats(-180, 180)) for _ in range(3)]
    mirror = np.diag([draw(st.sampled_from([-1, 1])), 1, 1])
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ mirror
    affine[:3, :3] *= [draw(st.floats(0.3, 12)) for _ in range(3)]
    affine[:3, 3] = [draw(st.floats(-2000, 2000)) for _ in range(3)]
    return Frame(tuple(draw(st.integers(2, 6)) for _ in range(3)), affine)


def values(shape, dtype, seed):
    """Numbers that the type and float32 can both hold."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    low = 0 if dtype.startswith("u") else -100
    return random.integers(low, 100, shape).astype(dtype)


@always
@given(frames(), st.sampled_from(TYPES), st.sampled_from([".nii", ".nii.gz"]), st.integers(0, 99))
def test_a_volume_comes_back(frame, dtype, ending, seed):
    data = values(frame.shape, dtype, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        Image(data, frame).save(path)
        own, volume = Image.read(path), Image.read(path, AXIS_CODES)
        own.data, volume.data  # read while the file is there
        assert [file.name for file in Path(folder).iterdir()] == [path.name]
    np.testing.assert_array_equal(own.data, data.astype(np.float32))
    assert own.frame.same_grid(frame, tolerance=0.01)
    assert volume.data.shape == volume.frame.shape
    assert nib.aff2axcodes(volume.frame.affine) == AXIS_CODES
    # Every voxel keeps its value and its place in the world.
    index = np.stack(np.indices(volume.data.shape), axis=-1).reshape(-1, 3)
    there = apply_affine(volume.frame.voxel_to(own.frame), index)
    nearest = np.rint(there).astype(int)
    np.testing.assert_allclose(there, nearest, atol=1e-3)
    np.testing.assert_array_equal(volume.data[tuple(index.T)], own.data[tuple(nearest.T)])


@always
@given(frames(), st.integers(0, 99))
def test_a_mask_has_the_images_grid(frame, seed):
    inside = values(frame.shape, "bool", seed)
    with tempfile.TemporaryDirectory() as folder:
        image, mask = Path(folder) / "image.nii", Path(folder) / "mask.nii"
        Image(inside.astype(np.float32), frame).save(image)
        Image(inside, frame).save(mask)
        volume = Image.read(image, AXIS_CODES)
        volume.data  # read while the file is there
        try:
            loaded = read_mask(mask, like=volume)
        except InputError as error:
            assert "empty" in str(error) and not inside.any()
            return
    np.testing.assert_array_equal(loaded.data, volume.data > 0.5)


# A cell is text as a spreadsheet has it, without the white space around it that reading takes away.
cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00\ufeff"), max_size=8)
cells = cells.map(str.strip)


@always
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5), st.sampled_from([".tsv", ".csv"]))
def test_a_table_comes_back(rows, ending):
    rows = [{"name": f"n{a}", "text": b} for a, b in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        write_table(path, rows)
        assert read_table(path, ("name", "text")) == rows
