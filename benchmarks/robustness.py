r"""How methods stand rotation, shift, coarse voxels, half a field of view, noise, other contrast.

One pair of a cohort is changed in one respect at a time and registered by each method. Prints a
table in Markdown: Dice in percent and the mean landmark error in mm, each on the fixed image that
the method was given.

    python benchmarks/robustness.py --cohort data/phantom --patient sub-001 --methods syn \
        --models pretrained=saved_models/lungreg_pretrained --out robustness
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import SimpleITK as sitk

from tf_lungreg.cli.named_values import named_values
from tf_lungreg.cohorts.cohort import Scan, load_cohort
from tf_lungreg.files import write_json
from tf_lungreg.images.geometry import ras_to_lps
from tf_lungreg.reproduction.methods import make_methods
from tf_lungreg.reproduction.pair_measures import measure_pair, read_case
from tf_lungreg.tables.landmarks import read_landmarks
from tf_lungreg.tables.table import write_table

PHASES = ("inhale", "exhale")  # fixed, moving
AXIS = (1.0, 1.0, 1.0)  # of the rotations: all planes take part


@dataclass(frozen=True)
class Picture:
    """An image with its mask and its landmarks, points (n, 3) in RAS mm by name."""

    image: sitk.Image
    mask: sitk.Image
    points: dict[str, np.ndarray]

    @property
    def air(self) -> float:
        """The darkest value, which fills what was not seen."""
        return float(sitk.GetArrayViewFromImage(self.image).min())


def moved(degrees: float, shift: float) -> Callable[[Picture], Picture]:
    """The content turned about the image's centre, then shifted upwards, in the same field."""

    def change(picture: Picture) -> Picture:
        size = np.array(picture.image.GetSize())
        center = picture.image.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist())
        pull = sitk.VersorRigid3DTransform()
        pull.SetCenter(center)
        pull.SetRotation(AXIS, np.radians(degrees))
        pull.SetTranslation((0.0, 0.0, -float(shift)))
        push = pull.GetInverse()

        def resample(image, interpolator, outside):
            return sitk.Resample(image, image, pull, interpolator, outside)

        points = {
            name: ras_to_lps(np.array(push.TransformPoint(ras_to_lps(point).tolist())))
            for name, point in picture.points.items()
        }
        image = resample(picture.image, sitk.sitkLinear, picture.air)
        return Picture(image, resample(picture.mask, sitk.sitkNearestNeighbor, 0), points)

    return change


def resized(spacing: float) -> Callable[[Picture], Picture]:
    """Cubic voxels of that size in mm, smoothed before they become larger."""

    def change(picture: Picture) -> Picture:
        old = np.array(picture.image.GetSpacing())
        size = np.maximum(2, np.round(np.array(picture.image.GetSize()) * old / spacing))
        # The first voxel's outer corner stays where it is.
        corner = picture.image.TransformContinuousIndexToPhysicalPoint(
            (-0.5 + 0.5 * spacing / old).tolist()
        )

        def resample(image, interpolator, outside):
            frame = (corner, [spacing] * 3, image.GetDirection())
            size_ = [int(n) for n in size]
            return sitk.Resample(image, size_, sitk.Transform(), interpolator, *frame, outside)

        sigma = np.where(spacing > old, spacing / 2.355, 1e-3)
        smooth = sitk.SmoothingRecursiveGaussian(
            sitk.Cast(picture.image, sitk.sitkFloat32), sigma.tolist()
        )
        image = resample(smooth, sitk.sitkLinear, picture.air)
        mask = resample(picture.mask, sitk.sitkNearestNeighbor, 0)
        return replace(picture, image=image, mask=mask)

    return change


def halved(picture: Picture) -> Picture:
    """The middle half along the axis that runs along the body."""
    axis = int(np.argmax(np.abs(np.array(picture.image.GetDirection()).reshape(3, 3)[2])))
    quarter = picture.image.GetSize()[axis] // 4
    window = [slice(None)] * 3
    window[axis] = slice(quarter, picture.image.GetSize()[axis] - quarter)
    image, mask = (each[tuple(window)] for each in (picture.image, picture.mask))
    size = np.array(image.GetSize())

    def within(point):
        lps = ras_to_lps(point).tolist()
        index = np.array(image.TransformPhysicalPointToContinuousIndex(lps))
        return np.all((index >= 0) & (index <= size - 1))

    return Picture(image, mask, {n: p for n, p in picture.points.items() if within(p)})


def noisy(share: float, seed: int) -> Callable[[Picture], Picture]:
    """Gaussian noise; the share is of the range from the 1st to the 99th percentile."""

    def change(picture: Picture) -> Picture:
        data = sitk.GetArrayFromImage(picture.image).astype(np.float32)
        low, high = np.percentile(data, (1, 99))
        noise = np.random.default_rng(seed).normal(size=data.shape) * share * (high - low)
        image = sitk.GetImageFromArray((data + noise).astype(np.float32))
        image.CopyInformation(picture.image)
        return replace(picture, image=image)

    return change


def inverted(picture: Picture) -> Picture:
    """Bright becomes dark, in the same range."""
    data = sitk.GetArrayFromImage(picture.image).astype(np.float32)
    low, high = np.percentile(data, (0.5, 99.5))
    image = sitk.GetImageFromArray(low + high - np.clip(data, low, high))
    image.CopyInformation(picture.image)
    return replace(picture, image=image)


def unchanged(picture: Picture) -> Picture:
    """The picture itself."""
    return picture


# Name → what becomes of the fixed and of the moving picture.
CONDITIONS = {
    "as it is": (unchanged, unchanged),
    "rotated by 10°": (unchanged, moved(10, 0)),
    "rotated by 20°": (unchanged, moved(20, 0)),
    "shifted by 20 mm": (unchanged, moved(0, 20)),
    "shifted by 40 mm": (unchanged, moved(0, 40)),
    "voxels of 1 mm": (resized(1), resized(1)),
    "voxels of 3 mm": (resized(3), resized(3)),
    "voxels of 5 mm": (resized(5), resized(5)),
    "half the field (fixed)": (halved, unchanged),
    "half the field (both)": (halved, halved),
    "noise, 5 % of the range": (noisy(0.05, 1), noisy(0.05, 2)),
    "noise, 10 % of the range": (noisy(0.10, 1), noisy(0.10, 2)),
    "inverted contrast (both)": (inverted, inverted),
    "inverted contrast (moving)": (unchanged, inverted),
}


def read_picture(scan: Scan) -> Picture:
    """A scan of a cohort, with the first observer's landmarks where it has some."""
    points = {}
    if scan.landmarks is not None:
        points = next(iter(read_landmarks(scan.landmarks).points.values()))
    return Picture(sitk.ReadImage(str(scan.image)), sitk.ReadImage(str(scan.mask)), points)


def write_scan(picture: Picture, folder: Path, participant: str, phase: str) -> Scan:
    """Writes a picture's files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{phase}{end}" for end in (".nii.gz", "_mask.nii.gz", "_landmarks.csv")]
    sitk.WriteImage(picture.image, str(files[0]))
    sitk.WriteImage(picture.mask, str(files[1]))
    rows = [
        {"name": name, **dict(zip("xyz", map(float, point)))}
        for name, point in picture.points.items()
    ]
    write_table(files[2], rows, overwrite=True)
    return Scan(participant, phase, files[0], files[1], files[2] if rows else None)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--patient", required=True)
    parser.add_argument("--methods", default="unregistered,syn", help="as of tf-lungreg evaluate")
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=PATH")
    parser.add_argument("--refine", nargs="+", default=[], metavar="NAME=STEPS")
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), metavar="NAME")
    parser.add_argument("--out", required=True, type=Path, help="folder of images and results")
    options = parser.parse_args()

    steps = {n: int(s) for n, s in named_values("--refine", options.refine, "STEPS").items()}
    models = named_values("--models", options.models)
    methods = make_methods(options.methods.split(","), models, refine=steps)
    listed = [s for s in load_cohort(options.cohort).scans if s.participant == options.patient]
    pictures = [read_picture(s) for phase in PHASES for s in listed if s.phase == phase]

    print("| | " + " | ".join(f"{m.name}: Dice (%), landmarks (mm)" for m in methods) + " |")
    print("|---" * (len(methods) + 1) + "|", flush=True)
    results = {}
    for number, name in enumerate(options.conditions):
        changed = [change(p) for change, p in zip(CONDITIONS[name], pictures)]
        folder = options.out / f"{number:02d}"
        pair = [write_scan(p, folder, options.patient, phase) for p, phase in zip(changed, PHASES)]
        fixed, moving = (read_case(scan, folder) for scan in pair)
        results[name] = {}
        for method in methods:
            field, seconds = method.register(fixed.image, moving.image)
            row = {**measure_pair(field, fixed, moving), "seconds": seconds}
            results[name][method.name] = row
        print(f"| {name} | " + " | ".join(map(_cell, results[name].values())) + " |", flush=True)
        write_json(options.out / "results.json", results)


def _cell(row: dict) -> str:
    error = f", {row['ds']:.2f}" if "ds" in row else ""
    folds = f" ({100 * row['folds_lung']:.2g} % folded)" if row.get("folds_lung") else ""
    return f"{row['dice']:.1f}{error}{folds}"


if __name__ == "__main__":
    main()
