"""The chest at full inspiration: a patient's measures, and where lungs and organs lie.

The body frame is RAS, millimetres, with its origin between the lungs at half their height. The
functions take an ``anatomy`` and points of it as three arrays ``x``, ``y``, ``z`` of one shape, and
give signed distances in mm; ``side`` is 1 for the patient's right, -1 for the left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom.shapes import ellipsoid, intersection, union


@dataclass(frozen=True)
class Anatomy:
    """Measures of one patient, millimetres unless stated.

    Attributes:
        height: lungs, from the deepest recess to the apex.
        width: half of the pleural cavity, left to right.
        depth: half of the pleural cavity, front to back.
        dome: height of the right and of the left hemidiaphragm above the recess.
        tilt: rise of the diaphragm per mm towards the front.
        lean: how far the apices lie towards the midline, as a share of ``width``.
        waist: width of the lungs' base relative to their widest part, below 1 is narrower.
        fat: thickness of the fat under the skin.
        muscle: thickness of the chest wall under the fat.
        heart: (3,) semi-axes of the heart.
        heart_shift: (3,) of its centre from the usual place.
        mediastinum: half-width of the great vessels' column.
        belly: semi-axes of the abdomen relative to the chest's.
        shoulder: half-width over the shoulders.
        arm: radius of the upper arm.
        liver: scale of the liver.
    """

    height: float
    width: float
    depth: float
    dome: tuple[float, float]
    tilt: float
    lean: float
    waist: float
    fat: float
    muscle: float
    heart: tuple[float, float, float]
    heart_shift: tuple[float, float, float]
    mediastinum: float
    belly: float
    shoulder: float
    arm: float
    liver: float

    @property
    def apex(self) -> float:
        """Height of the lungs' highest point, mm."""
        return self.height / 2

    @property
    def base(self) -> float:
        """Height of the deepest recess, mm."""
        return -self.height / 2

    @property
    def heart_center(self) -> Array:
        """Middle of the heart, (3,) mm: left of the midline, on the diaphragm."""
        usual = (-26.0, 0.22 * self.depth, self.base + self.dome[1] + 0.72 * self.heart[2])
        return np.add(usual, self.heart_shift)

    @property
    def spine_y(self) -> float:
        """Front-to-back position of the middle of the vertebral bodies, mm."""
        return -self.depth + 14.0

    def hilum(self, side: int) -> Array:
        """Where the vessels enter a lung, (3,) mm; ``side`` is 1 for right, −1 for left."""
        return np.array([side * 0.29 * self.width, -8.0, self.base + 0.53 * self.height])


def draw_anatomy(rng: np.random.Generator, sex: str) -> Anatomy:
    """A random patient; the sex sets the mean size only.

    Args:
        rng: random generator of the patient's anatomy.
        sex: ``"F"`` or ``"M"``.
    """

    def draw(mean: float, spread: float, low: float = -np.inf, high: float = np.inf) -> float:
        return float(np.clip(rng.normal(mean, spread), low, high))

    size = draw(1.03 if sex == "M" else 0.97, 0.045, 0.86, 1.16)
    dome = draw(62, 11, 35, 90)
    fat = float(np.clip(rng.lognormal(np.log(15), 0.45), 5, 38))
    long, short, tall = (size * draw(mean, 4.5, mean - 11, mean + 14) for mean in (55, 45, 54))
    return Anatomy(
        height=size * draw(258, 26, 195, 325),
        width=size * draw(131, 9, 108, 156),
        depth=size * draw(77, 7.5, 59, 94),
        dome=(dome, dome * draw(0.78, 0.08, 0.55, 0.95)),
        tilt=draw(0.28, 0.08, 0.1, 0.45),
        lean=draw(0.12, 0.03, 0.05, 0.2),
        waist=draw(0.97, 0.05, 0.84, 1.07),
        fat=fat,
        muscle=draw(15, 2, 11, 20),
        heart=(long, short, tall),
        heart_shift=(draw(0, 5, -12, 10), draw(0, 4, -8, 8), draw(0, 6, -12, 12)),
        mediastinum=draw(29, 3.5, 22, 38),
        belly=draw(0.98, 0.04, 0.88, 1.1),
        shoulder=size * draw(190, 9, 170, 212),
        arm=draw(36, 3, 30, 43) + 0.4 * fat,
        liver=draw(1.0, 0.07, 0.85, 1.15),
    )


def lung_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Signed distance in mm to the lungs' surface, negative inside either lung."""
    middle = mediastinum_distance(anatomy, x, y, z)
    right = _one_lung(anatomy, x, y, z, 1, middle)
    left = _one_lung(anatomy, x, y, z, -1, middle)
    return np.minimum(right, left)  # they never touch: the mediastinum lies between


def _one_lung(anatomy: Anatomy, x: Array, y: Array, z: Array, side: int, middle: Array) -> Array:
    walls = pleura_distance(anatomy, x, y, z, side)
    above = diaphragm_distance(anatomy, x, y, z, side)
    inside = intersection(walls, above, smooth=22.0)
    return intersection(inside, -middle, smooth=18.0)


def pleura_distance(anatomy: Anatomy, x: Array, y: Array, z: Array, side: int) -> Array:
    """Signed distance to the chest wall of one half of the cavity, open at the bottom."""
    waist = anatomy.base + 0.34 * anatomy.height
    rise = (z - waist) / (anatomy.apex - waist)  # 0 at the widest part, 1 at the apex
    lean = anatomy.lean * np.clip(rise, 0, 1) ** 2
    narrow = 1.0 - (1.0 - anatomy.waist) * np.clip(-2.0 * rise, 0, 1)
    center = (side * anatomy.width * (0.46 * narrow - lean), 2.0, waist)
    radii = (0.54 * anatomy.width * narrow, anatomy.depth * narrow, anatomy.apex - waist)
    return ellipsoid(x, y, np.maximum(z, waist), center, radii, power=2.5)


def diaphragm_distance(anatomy: Anatomy, x: Array, y: Array, z: Array, side: int) -> Array:
    """Signed distance to one hemidiaphragm, negative above it."""
    dome = anatomy.dome[0 if side > 0 else 1]
    dx = (x - side * 0.45 * anatomy.width) / (0.56 * anatomy.width)
    dy = (y - 0.1 * anatomy.depth) / (1.05 * anatomy.depth)
    height = anatomy.base + dome * (1.0 - dx * dx - dy * dy) + anatomy.tilt * y
    slope_x = 2.0 * dome * dx / (0.56 * anatomy.width)
    slope_y = 2.0 * dome * dy / (1.05 * anatomy.depth) - anatomy.tilt
    return (height - z) / np.sqrt(1.0 + slope_x**2 + slope_y**2)


def mediastinum_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Signed distance to everything between the lungs: septum, great vessels, heart, spine."""
    rise = np.clip((z - anatomy.base) / anatomy.height, 0, 1)
    septum = np.abs(x + 6.0 * (1.0 - rise)) - 7.0
    waist = anatomy.mediastinum * (1.0 + 0.35 * np.clip(rise - 0.75, 0, 1) / 0.25)
    column = ellipsoid(x, y, z, (-3.0, 8.0, 0.0), (waist, 0.52 * anatomy.depth, np.inf))
    spine = ellipsoid(x, y, z, (0.0, anatomy.spine_y - 8.0, 0.0), (27.0, 30.0, np.inf))
    aorta = ellipsoid(x, y, z, (-19.0, anatomy.spine_y + 20.0, 0.0), (13.0, 13.0, np.inf))
    middle = union(union(septum, column, 14.0), union(spine, aorta, 8.0), 12.0)
    return union(middle, heart_distance(anatomy, x, y, z) - 3.0, 10.0)


def heart_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Signed distance to the heart, an egg with its tip to the left, the front and the feet."""
    dx, dy, dz = (value - middle for value, middle in zip((x, y, z), anatomy.heart_center))
    # Turned about the front-to-back axis: the left side hangs.
    c, s = np.cos(np.radians(28)), np.sin(np.radians(28))
    along, across = c * dx + s * dz, -s * dx + c * dz
    long, short, tall = anatomy.heart
    taper = 1.0 - 0.18 * np.clip(-along / long, -1, 1)
    return ellipsoid(along, dy / taper, across / taper, (0, 0, 0), (long, short, tall))


def torso_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Signed distance to the skin of trunk, shoulders, neck and head, without the arms."""
    wall = anatomy.muscle + anatomy.fat
    rise = np.clip((z - anatomy.base) / anatomy.height, -1, 1)
    lower = np.clip(-rise * 2.0 + 0.4, 0, 1)
    shape = 1.0 + (anatomy.belly - 1.0) * lower
    radii = (
        (anatomy.width + wall + 4.0) * shape,
        (anatomy.depth + 0.55 * wall + 17.0) * shape,
        130.0,
    )
    top = anatomy.apex - 70.0
    trunk = ellipsoid(x, y, np.maximum(z, top), (0.0, -11.0, top), radii, power=3)
    slope = 0.0009 * x * x  # the shoulders hang
    across = ellipsoid(
        x,
        y,
        z + slope,
        (0.0, -12.0, anatomy.apex - 15.0),
        (anatomy.shoulder, 62.0 + 0.5 * anatomy.fat, 58.0),
        power=3,
    )
    neck = ellipsoid(x, y, z, (0.0, -14.0, 0.0), (58.0, 58.0, np.inf))
    neck = intersection(neck, anatomy.apex - 30.0 - z)
    head = ellipsoid(x, y, z, (0.0, -2.0, anatomy.apex + 190.0), (76.0, 96.0, 112.0))
    return union(union(trunk, across, 30.0), union(neck, head, 20.0), 40.0)


def arm_distance(anatomy: Anatomy, x: Array, y: Array, z: Array) -> Array:
    """Signed distance to the arms, which lie along the body."""
    top = anatomy.apex - 40.0
    drop = np.clip((top - z) / 400.0, 0, 1)
    middle = anatomy.shoulder - 8.0 + 52.0 * drop
    radius = anatomy.arm * (1.0 - 0.22 * drop)
    radial = np.sqrt((np.abs(x) - middle) ** 2 + (y + 16.0) ** 2 + np.maximum(z - top, 0) ** 2)
    return radial - radius
