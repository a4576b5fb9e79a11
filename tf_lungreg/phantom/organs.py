"""Paints the tissues of a body at inspiration, from the skin inwards.

Each function paints on a :class:`Canvas` in the order in which ``tissue`` calls them. Numbers in
the code are millimetres in the body frame (x right, y front, z head), or intensities. ``canvas`` is
painted on, ``anatomy`` is the patient's. ``skin`` and ``lungs`` are signed distances in mm,
``ribs``, ``airways`` and ``vessels`` the shares that they fill, one value a point, (n,). ``bowel``
is that of a ``Tissue``, ``value`` the intensity of the lungs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom import anatomy as body
from tf_lungreg.phantom.anatomy import Anatomy
from tf_lungreg.phantom.shapes import ellipsoid, intersection, occupancy, union

FAT, MUSCLE, BLOOD, LIVER, SPLEEN = 960.0, 470.0, 560.0, 640.0, 520.0
MARROW, DISC, CORD, CORTEX, BRAIN = 600.0, 420.0, 380.0, 240.0, 540.0
AIR, LUNG, VESSEL, BRONCHUS = 12.0, 95.0, 660.0, 30.0


class Canvas:
    """Points of the body with the intensity painted so far.

    Attributes:
        x, y, z: (n,) body frame, mm.
        coarse, fine: (n,) random fields of unit variance.
        image: (n,) intensity.

    Args:
        x, y, z, coarse, fine: as above.
        edge: width in mm of the soft edge of what is painted.
    """

    def __init__(self, x: Array, y: Array, z: Array, coarse: Array, fine: Array, edge: float):
        self.x, self.y, self.z = x, y, z
        self.coarse, self.fine = coarse, fine
        self.image: Array = np.full_like(x, AIR)
        self._edge = edge

    def cover(self, distance: Array, value: float | Array) -> None:
        """Paints a value inside of a signed distance, (n,) mm, with a soft edge."""
        self.mix(occupancy(distance, self._edge), value)

    def mix(self, share: Array, value: float | Array) -> None:
        """Paints a value on a share, (n,) in [0, 1], of each point."""
        self.image = self.image + share * (value - self.image)

    def ellipsoid(
        self,
        center: Iterable[float],
        radii: Iterable[float],
        power: float = 2.0,
        both_sides: bool = False,
    ) -> Array:
        """Signed distance to a superellipsoid, mirrored at the midline for ``both_sides``.

        Args:
            center: x, y, z in mm.
            radii: along x, y, z in mm.
            power: 2 for an ellipsoid, more for a box with round edges.
            both_sides: whether the left side is the right one's mirror image.
        """
        x = np.abs(self.x) if both_sides else self.x
        return ellipsoid(x, self.y, self.z, center, radii, power)

    def rod(
        self, x: float, y: float, radius_x: float, radius_y: float, both_sides: bool = False
    ) -> Array:
        """Signed distance to an endless elliptic cylinder along the body.

        Args:
            x: of its axis, mm.
            y: of its axis, mm.
            radius_x: mm.
            radius_y: mm.
            both_sides: as for :meth:`ellipsoid`.
        """
        return self.ellipsoid((x, y, 0.0), (radius_x, radius_y, np.inf), both_sides=both_sides)


def paint_skin_and_muscle(canvas: Canvas, anatomy: Anatomy, skin: Array) -> None:
    """Fat under the skin, muscle under the fat; ``skin`` is the distance to the surface."""
    canvas.cover(skin, FAT + 25.0 * canvas.coarse)
    muscle = skin + anatomy.fat + 3.0 * canvas.coarse
    canvas.cover(muscle, MUSCLE + 30.0 * canvas.coarse + 25.0 * canvas.fine)


def paint_limbs_and_head(canvas: Canvas, anatomy: Anatomy) -> None:
    """Muscle and bone of the arms, the shoulders' joints, skull and brain."""
    arm = body.arm_distance(anatomy, canvas.x, canvas.y, canvas.z)
    canvas.cover(arm + 0.45 * anatomy.fat, MUSCLE)
    joint = (anatomy.shoulder - 24.0, -14.0, anatomy.apex - 42.0)
    joint = canvas.ellipsoid(joint, (23.0, 23.0, 24.0), both_sides=True)
    for bone in (arm + anatomy.arm - 10.0, joint):
        canvas.cover(bone, CORTEX)
        canvas.cover(bone + 4.0, MARROW)
    brain = canvas.ellipsoid((0.0, -6.0, anatomy.apex + 205.0), (66.0, 82.0, 92.0))
    canvas.cover(brain - 5.0, CORTEX)
    canvas.cover(brain, BRAIN)


def paint_back(canvas: Canvas, anatomy: Anatomy, skin: Array) -> None:
    """The fatty seam between the wall's muscles, and the muscles along the spine."""
    torso = body.torso_distance(anatomy, canvas.x, canvas.y, canvas.z)
    seam = np.abs(torso + anatomy.fat + 0.62 * anatomy.muscle)
    canvas.cover(seam - 1.2 - 0.9 * canvas.coarse, 0.6 * FAT + 0.4 * MUSCLE)
    column = canvas.rod(30.0, anatomy.spine_y - 34.0, 25.0, 15.0, both_sides=True)
    canvas.cover(np.maximum(column, skin + anatomy.fat), MUSCLE - 20.0)


def paint_abdomen(canvas: Canvas, anatomy: Anatomy, bowel: Array) -> None:
    """Everything under the diaphragm, up to the highest place that the lungs leave free."""
    torso = body.torso_distance(anatomy, canvas.x, canvas.y, canvas.z)
    back = 14.0 * np.clip(-canvas.y / anatomy.depth, 0, 1)  # the wall is thicker there
    wall = torso + anatomy.fat + anatomy.muscle + back
    top = anatomy.base + max(anatomy.dome) + 25.0
    cavity = intersection(wall, canvas.z - top, 10.0)
    canvas.cover(cavity, FAT - 80.0 + 45.0 * canvas.coarse)
    for loop in bowel:
        distance = canvas.ellipsoid(loop[:3], loop[3:6])
        canvas.cover(np.maximum(distance + 3.0 * canvas.coarse, cavity), loop[6])
    psoas = canvas.rod(38.0, anatomy.spine_y + 6.0, 18.0, 21.0, both_sides=True)
    canvas.cover(np.maximum(psoas, canvas.z - anatomy.base + 50.0), MUSCLE)
    kidney = (64.0, anatomy.spine_y + 24.0, anatomy.base - 80.0)
    kidney = canvas.ellipsoid(kidney, (26.0, 22.0, 50.0), both_sides=True)
    canvas.cover(kidney, 500.0)
    canvas.cover(kidney + 13.0, 700.0)
    _paint_upper_organs(canvas, anatomy, cavity)


def _paint_upper_organs(canvas: Canvas, anatomy: Anatomy, cavity: Array) -> None:
    """Stomach, spleen, liver; they reach into the lungs' place, which is painted later."""
    width, depth, floor, scale = anatomy.width, anatomy.depth, anatomy.base, anatomy.liver
    stomach = canvas.ellipsoid(
        (-0.42 * width, 0.2 * depth, floor), (0.42 * width, 0.62 * depth, 66.0)
    )
    stomach = np.maximum(stomach, cavity)
    canvas.cover(stomach, 450.0 + 30.0 * canvas.coarse)
    # A bubble of gas floats at the front.
    canvas.cover(np.maximum(stomach + 8.0, 0.5 * depth - canvas.y), 60.0)
    spleen = canvas.ellipsoid(
        (-0.7 * width, -0.4 * depth, floor - 8.0), (0.34 * width, 0.5 * depth, 64.0), 2.5
    )
    canvas.cover(np.maximum(spleen, cavity), SPLEEN + 10.0 * canvas.coarse)
    center = (0.44 * width, 0.02 * depth, floor - 2.0)
    edge = canvas.z + 0.22 * (canvas.x - center[0])  # the lower edge rises to the left
    radii = (0.86 * width * scale, 1.1 * depth * scale, 92.0 * scale)
    lobe = canvas.ellipsoid(
        (-0.1 * width, 0.4 * depth, floor + 0.3 * anatomy.dome[0]),
        (0.5 * width * scale, 0.5 * depth, 46.0 * scale),
    )
    liver = union(ellipsoid(canvas.x, canvas.y, edge, center, radii, 3), lobe, 16.0)
    veins = 80.0 * np.maximum(canvas.fine - 1.2, 0.0)
    canvas.cover(np.maximum(liver, cavity), LIVER + 12.0 * canvas.coarse + veins)


def paint_lung_wall(canvas: Canvas, anatomy: Anatomy, ribs: Array) -> Array:
    """A layer of muscle round the lungs (diaphragm, intercostals), then the ribs.

    Returns:
        Signed distance to the lungs, (n,) mm.
    """
    lungs = body.lung_distance(anatomy, canvas.x, canvas.y, canvas.z)
    canvas.cover(lungs - 3.5, MUSCLE)
    canvas.mix(ribs, CORTEX + 40.0 * canvas.fine)
    return lungs


def paint_mediastinum(canvas: Canvas, anatomy: Anatomy, airways: Array) -> None:
    """Fat between the lungs, and the great vessels and airways in it."""
    x, y, z = canvas.x, canvas.y, canvas.z
    floor = anatomy.base + anatomy.dome[1] - 5.0
    middle = body.mediastinum_distance(anatomy, x, y, z) - 5.0
    top = anatomy.apex - 4.0 - 0.012 * x * x + 5.0 * canvas.coarse
    for limit in (floor - z, z - top, np.abs(y) - anatomy.depth):
        middle = np.maximum(middle, limit)
    canvas.cover(middle, 0.72 * FAT + 35.0 * canvas.coarse)
    behind = anatomy.spine_y + 20.0
    for (at_x, at_y), radius, low, high in (
        ((14.0, 14.0), 15.0, 0.45, 0.72),  # ascending aorta
        ((-10.0, 22.0), 15.0, 0.45, 0.62),  # pulmonary trunk
        ((24.0, 6.0), 9.5, 0.5, 0.95),  # superior vena cava
        ((-18.0, 0.0), 6.0, 0.74, 1.0),  # arteries of the left arm and
        ((9.0, 16.0), 7.0, 0.74, 1.0),  # of the right
        ((-19.0, behind), 11.5, -0.9, 0.72),  # descending aorta
    ):
        rise = (z - anatomy.base) / anatomy.height
        ends = anatomy.height * np.maximum(low - rise, rise - high)
        canvas.cover(intersection(canvas.rod(at_x, at_y, radius, radius), ends, 8.0), BLOOD + 40.0)
    canvas.cover(_arch_distance(canvas, anatomy), BLOOD + 40.0)
    canvas.mix(airways, BRONCHUS)


def _arch_distance(canvas: Canvas, anatomy: Anatomy) -> Array:
    """Signed distance to the aortic arch: half a ring over the two aortas."""
    top = anatomy.base + 0.74 * anatomy.height
    ends = np.array([[14.0, 14.0], [-19.0, anatomy.spine_y + 20.0]])
    (middle_x, middle_y), half = ends.mean(axis=0), np.linalg.norm(ends[1] - ends[0]) / 2
    unit_x, unit_y = (ends[0] - ends[1]) / (2.0 * half)
    dx, dy = canvas.x - middle_x, canvas.y - middle_y
    along, aside = dx * unit_x + dy * unit_y, dx * unit_y - dy * unit_x
    rise = np.maximum(canvas.z - top + 6.0, 0.0)
    bow = 22.0 * (np.sqrt((along / half) ** 2 + (rise / 22.0) ** 2) - 1.0)
    return np.maximum(np.sqrt(bow**2 + aside**2) - 12.0, top - 12.0 - canvas.z)


def paint_heart(canvas: Canvas, anatomy: Anatomy) -> None:
    """The heart's muscle and the blood of both sides."""
    heart = body.heart_distance(anatomy, canvas.x, canvas.y, canvas.z)
    canvas.cover(heart, MUSCLE + 50.0)
    points = zip((canvas.x, canvas.y, canvas.z), anatomy.heart_center)
    dx, dy, dz = (value - middle for value, middle in points)
    # The septum: an oblique, bowed wall between the chambers.
    across = dx - 6.0 + 0.45 * dz - 0.35 * dy + 0.004 * dy * dy + 3.0 * canvas.coarse
    left = np.maximum(heart + 12.0 + 3.0 * canvas.coarse, across + 5.0)
    right = np.maximum(heart + 5.0 + 2.0 * canvas.coarse, 5.0 - across)
    canvas.cover(left, BLOOD + 55.0)
    canvas.cover(right, BLOOD + 35.0)


def paint_spine(canvas: Canvas, anatomy: Anatomy, skin: Array) -> None:
    """Vertebrae and discs, the canal with the cord, the processes behind it."""
    end = canvas.z - anatomy.apex - 120.0  # in the neck
    vertebra = np.maximum(canvas.rod(0.0, anatomy.spine_y, 18.0, 17.0), end)
    disc = np.cos(2.0 * np.pi * canvas.z / 27.0) > 0.8  # one every 27 mm
    canvas.cover(vertebra - 2.5, CORTEX + 60.0)
    canvas.cover(vertebra, np.where(disc, DISC, MARROW + 25.0 * canvas.fine))
    canal = np.maximum(canvas.rod(0.0, anatomy.spine_y - 25.0, 9.5, 8.0), end)
    canvas.cover(canal - 4.0, 0.6 * FAT)
    canvas.cover(canal, CORD)
    process = np.maximum(canvas.rod(0.0, anatomy.spine_y - 40.0, 3.5, 11.0), end)
    canvas.cover(np.maximum(process, skin + 0.8 * anatomy.fat), CORTEX + 120.0)


def paint_lungs(
    canvas: Canvas,
    anatomy: Anatomy,
    lungs: Array,
    vessels: Array,
    airways: Array,
    value: float,
) -> None:
    """Lung tissue, denser towards the back by gravity, with its vessels and airways."""
    inner = value * (1.0 - 0.28 * canvas.y / anatomy.depth)
    inner = inner * (1.0 + 0.07 * canvas.coarse + 0.09 * canvas.fine)
    inner = inner + vessels * (VESSEL - inner)
    canvas.cover(lungs, inner + airways * (BRONCHUS - inner))
