"""Small grids at an angle, and cases made of arrays."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tf_lungreg.cohorts.cohort import Scan
from tf_lungreg.images.geometry import DIRECTIONS, Frame
from tf_lungreg.images.image import Image
from tf_lungreg.reproduction.pair_measures import Case
from tf_lungreg.tables.table import read_table, write_table


def make_frame(shape, spacing, center, angles=(0, 0, 0)):
    """A grid in the package's axis order, turned by some degrees, about a world point."""
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ (DIRECTIONS * np.asarray(spacing))
    affine[:3, 3] = np.array(center) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


def make_case(frame, image=None, mask=None, phase="inhale", participant="a", truth=None, **files):
    image = np.zeros(frame.shape, np.float32) if image is None else image
    return Case(
        Scan(participant, phase, image="none", **files),
        Image(image.astype(np.float32), frame, "none"),
        None if mask is None else Image(mask, frame, "none"),
        truth,
    )


@pytest.fixture
def tools():
    return SimpleNamespace(make_frame=make_frame, make_case=make_case)


@pytest.fixture
def small_cohort(cohort, tmp_path):
    """A function that writes tables with some patients and columns of the phantom's."""

    def write(patients=3, columns=("mask", "landmarks", "truth"), name="three"):
        folder = tmp_path / name
        people = read_table(cohort / "participants.tsv")[:patients]
        kept = {row["participant_id"] for row in people}
        scans = [r for r in read_table(cohort / "images.tsv") if r["participant_id"] in kept]
        for row in scans:
            for column in ("image", "mask", "landmarks", "truth"):
                if column not in ("image", *columns):
                    row[column] = "n/a"
                elif row[column] != "n/a":
                    row[column] = str(cohort / row[column])
        write_table(folder / "participants.tsv", people, overwrite=True)
        write_table(folder / "images.tsv", scans, overwrite=True)
        return folder

    return write
