"""What a patient is painted with, and the picture of any set of points.

Modelled on an ultrashort-echo, low flip angle 3T sequence: bright fat, grey muscle and blood, dark
lungs with visible vessels, black air. Painting goes back to front: a later organ covers the earlier
ones by its occupancy, so that every edge is soft over about a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom import organs
from tf_lungreg.phantom.anatomy import Anatomy, arm_distance, torso_distance
from tf_lungreg.phantom.organs import AIR, LUNG, Canvas
from tf_lungreg.phantom.shapes import Texture, random_texture, tube_texture
from tf_lungreg.phantom.tubes import Samples, airway_samples, rib_samples
from tf_lungreg.phantom.vessels import Tree

_REGION = np.array([260.0, 130.0, 360.0])  # half of the box with random texture, body frame, mm


@dataclass(frozen=True)
class Tissue:
    """All that an image of a patient is painted with, at a given resolution.

    Attributes:
        anatomy: the patient.
        vessels, ribs, airways: share of volume they fill.
        coarse, fine: random fields of unit variance for the irregularity of tissues.
        bowel: (n, 7) random loops in the abdomen: centre, semi-axes (mm), intensity.
        edge: width in mm over which edges pass.
    """

    anatomy: Anatomy
    vessels: Texture
    ribs: Texture
    airways: Texture
    coarse: Texture
    fine: Texture
    bowel: Array
    edge: float


def make_tissue(
    rng: np.random.Generator, anatomy: Anatomy, trees: list[Tree], spacing: Array
) -> Tissue:
    """Draws what is random in the tissues and renders the tubes for a voxel size.

    Args:
        rng: random generator of the patient's tissues.
        anatomy: the patient.
        trees: vessels of the lungs.
        spacing: (3,) voxel size of the images to come, mm.
    """
    voxel = float(np.mean(spacing))
    reach = np.array([anatomy.width + 25.0, anatomy.depth + 30.0, anatomy.apex + 30.0])
    step = float(np.clip(0.7 * voxel, 2.0, 6.0))

    def render(samples: Samples, high: Array) -> Texture:
        return tube_texture(*samples, low=-reach, high=high, step=step, blur=0.42 * voxel)

    points, radii, lengths = map(np.concatenate, zip(*(tree.samples() for tree in trees)))
    return Tissue(
        anatomy=anatomy,
        vessels=render((points, radii, lengths), reach),
        ribs=render(rib_samples(anatomy), reach),
        airways=render(airway_samples(anatomy), reach + (0.0, 0.0, 60.0)),  # up the neck
        coarse=random_texture(rng, -_REGION, _REGION, 14.0),
        fine=random_texture(rng, -_REGION, _REGION, 5.0),
        bowel=_draw_bowel(rng, anatomy),
        edge=0.75 * voxel,
    )


def paint(tissue: Tissue, x: Array, y: Array, z: Array, lung_value: float = LUNG) -> Array:
    """Intensity at points of the body at inspiration, without noise or bias.

    Args:
        tissue: the patient's.
        x: body frame, mm.
        y: body frame, mm.
        z: body frame, mm.
        lung_value: intensity of the lung tissue between the vessels.

    Returns:
        float32 array of the points' shape.
    """
    x, y, z = (np.asarray(value, dtype=np.float32) for value in (x, y, z))
    skin = np.minimum(
        torso_distance(tissue.anatomy, x, y, z), arm_distance(tissue.anatomy, x, y, z)
    )
    image = np.full(x.shape, AIR, dtype=np.float32)
    near = skin < 2.0 * tissue.edge
    image[near] = _paint_body(tissue, (x[near], y[near], z[near]), skin[near], lung_value)
    return image


def _paint_body(
    tissue: Tissue, points: tuple[Array, Array, Array], skin: Array, lung_value: float
) -> Array:
    anatomy = tissue.anatomy
    canvas = Canvas(*points, tissue.coarse(*points), tissue.fine(*points), tissue.edge)
    organs.paint_skin_and_muscle(canvas, anatomy, skin)
    organs.paint_limbs_and_head(canvas, anatomy)
    organs.paint_back(canvas, anatomy, skin)
    organs.paint_abdomen(canvas, anatomy, tissue.bowel)
    lungs = organs.paint_lung_wall(canvas, anatomy, tissue.ribs(*points))
    vessels, airways = tissue.vessels(*points), tissue.airways(*points)
    organs.paint_mediastinum(canvas, anatomy, airways)
    organs.paint_heart(canvas, anatomy)
    organs.paint_spine(canvas, anatomy, skin)
    organs.paint_lungs(canvas, anatomy, lungs, vessels, airways, lung_value)
    return canvas.image


def _draw_bowel(rng: np.random.Generator, anatomy: Anatomy) -> Array:
    """Loops of random size, place and content below liver and stomach, (70, 7)."""
    count = 70
    low = (-0.85 * anatomy.width, -0.35 * anatomy.depth, anatomy.base - 260.0)
    high = (0.85 * anatomy.width, 0.85 * anatomy.depth, anatomy.base - 40.0)
    return np.column_stack(
        [
            rng.uniform(low, high, size=(count, 3)),
            rng.uniform((16, 14, 12), (40, 28, 24), size=(count, 3)),
            rng.choice([430.0, 480.0, 560.0, 350.0], size=count),
        ]
    )
