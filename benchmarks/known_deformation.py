r"""A pair whose deformation is known, of one image: ``fixed(p) = image(p + d(p))``, moving = image.

d is a breath, which grows from the top of the lungs to their bottom, and random smooth motion of
two scales. Noise in both images hides that one was made of the other. The folder that is written is
one for registration.py, with random points of the fixed image's lungs as landmarks:

    python benchmarks/known_deformation.py --data ../shared/data/ct_elastix --role moving \
        --out known/a
    python benchmarks/run.py --only registration --data known/a
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from pathlib import Path

import numpy as np
from registration import read_folder
from scipy import ndimage

from tf_lungreg.errors import USER_ERRORS
from tf_lungreg.images.geometry import AXIS_CODES, apply_affine
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.transforms.transform import Transform

BREATH = (1.0, -4.0, 14.0)  # mm along R, A, S at the bottom of the lungs
MOTIONS = ((30.0, 3.0), (12.0, 1.0))  # scale of the random motion and its standard deviation, mm
POINTS = 4000


def known_displacement(
    mask: Image, seed: int, amount: float = 1.0, sliding: bool = False
) -> Transform:
    """A random breath on the grid of a mask.

    Args:
        mask: of the lungs.
        seed: of the random motion.
        amount: factor of the whole.
        sliding: the breath ends at the lungs' border, within 3 mm; otherwise within 20 mm.

    Returns:
        The displacement, RAS mm.
    """
    frame, draw = mask.frame, np.random.default_rng(seed)
    data = np.zeros((*frame.shape, 3))
    for scale, deviation in MOTIONS:
        for axis in range(3):
            noise = draw.standard_normal(frame.shape)
            smooth = ndimage.gaussian_filter(noise, scale / frame.spacing, mode="reflect")
            data[..., axis] += deviation * smooth / smooth.std()
    data += _depth(mask, 3.0 if sliding else 20.0)[..., np.newaxis] * BREATH
    return Transform((amount * data).astype(np.float32), frame)


def _depth(mask: Image, fall: float) -> np.ndarray:
    """0 at the top of the lungs, 1 at their bottom; outside them it falls within ``fall`` mm."""
    frame = mask.frame
    index = np.stack(np.meshgrid(*map(np.arange, frame.shape), indexing="ij"), axis=-1)
    height = apply_affine(frame.affine, index)[..., 2]
    low, high = np.percentile(height[mask.data], (1, 99))
    outside = ndimage.distance_transform_edt(~mask.data, sampling=frame.spacing)
    return np.clip((high - height) / (high - low), 0, 1) * np.exp(-((outside / fall) ** 2))


def add_noise(volume: Image, deviation: float, grain: float, seed: int) -> Image:
    """The image with Gaussian noise.

    Args:
        volume: an image.
        deviation: of the noise, in the image's unit.
        grain: standard deviation in voxels of what it was smoothed with; 0 for white noise.
        seed: of the noise.
    """
    noise = np.random.default_rng(seed).standard_normal(volume.data.shape)
    if grain:
        noise = ndimage.gaussian_filter(noise, grain, mode="wrap")
    noise *= deviation / noise.std()
    return Image((volume.data + noise).astype(np.float32), volume.frame, volume.name)


def lung_points(mask: Image, seed: int) -> np.ndarray:
    """Random points of a mask, off the voxels' centres, (POINTS, 3) RAS mm."""
    draw, voxels = np.random.default_rng(seed), np.argwhere(mask.data)
    chosen = voxels[draw.integers(len(voxels), size=POINTS)]
    return apply_affine(mask.frame.affine, chosen + draw.uniform(-0.5, 0.5, chosen.shape))


def make_pair(image: Image, mask: Image, out: Path, options: argparse.Namespace) -> None:
    """Writes the folder of a pair, see the module.

    Args:
        image: in Hounsfield units.
        mask: of its lungs.
        out: the folder, which must not be there.
        options: ``seed``, ``amount``, ``sliding``, ``noise``, ``grain``.
    """
    field = known_displacement(mask, options.seed, options.amount, options.sliding)
    pair = {"baseline": field.warp(image, "cubic"), "followup": image}
    masks = {"baseline": field.warp(mask), "followup": mask}
    out.mkdir(parents=True)
    for number, (name, volume) in enumerate(pair.items(), start=1):
        noise_seed = 10 * options.seed + number
        noisy = add_noise(volume, options.noise, options.grain, noise_seed)
        Image(noisy.data.round().astype(np.int16), noisy.frame).save(out / f"{name}.nii.gz")
        Image(masks[name].data, noisy.frame).save(out / f"{name}_mask.nii.gz")
    fixed = lung_points(masks["baseline"], options.seed)
    _write_points(out / "landmarks.csv", fixed, field.map_points(fixed))


def _write_points(file, fixed, moving):
    with open(file, "w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["name", *(f"{n}_{x}" for n in ("baseline", "followup") for x in "xyz")])
        for number, points in enumerate(np.hstack([fixed, moving]).round(4), start=1):
            writer.writerow([f"p{number}", *points])


def main() -> None:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of a pair")
    parser.add_argument("--role", choices=("fixed", "moving"), default="moving", help="which image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amount", type=float, default=1.0, help="factor of d (%(default)s)")
    parser.add_argument("--sliding", action="store_true", help="the breath ends at the lungs")
    parser.add_argument("--noise", type=float, default=30.0, help="deviation, HU (%(default)s)")
    parser.add_argument("--grain", type=float, default=0.0, help="of the noise, voxels")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    options = parser.parse_args()
    try:
        folder, index = read_folder(options.data), ("fixed", "moving").index(options.role)
        image = Image.read(folder.images[index], AXIS_CODES)
        make_pair(image, read_mask(folder.masks[index], like=image), options.out, options)
    except (*USER_ERRORS, FileExistsError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(os.fspath(options.out))


if __name__ == "__main__":
    main()
