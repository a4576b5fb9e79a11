"""A whole registration of one pair, files in and files out, beside other software.

The folder has the two images and their masks, NAME.nii.gz and NAME_mask.nii.gz, and
landmarks.csv with the columns name, NAME_x, NAME_y, NAME_z of both, RAS mm.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from timing import alternate

import tf_lungreg as lr
from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.inference.default_model import default_model
from tf_lungreg.quality.scores import dice, folded_fraction, landmark_errors
from tf_lungreg.transforms.transform import Transform

ROLES = (("fixed", "baseline", "inhale"), ("moving", "followup", "exhale"))
WARPED, DISPLACEMENT = "warped.nii.gz", "displacement.nii.gz"


@dataclass(frozen=True)
class PairFolder:
    """The files of a pair.

    Attributes:
        names: of the fixed and of the moving image.
        images: their files.
        masks: their masks' files.
        points: landmarks in both, (N, 3) RAS mm each; None where there are none.
    """

    names: list[str]
    images: list[str]
    masks: list[str]
    points: list[np.ndarray] | None


def read_folder(folder: str | os.PathLike) -> PairFolder:
    """The pair of a folder.

    Args:
        folder: see the module.

    Raises:
        InputError: an image or a mask is missing.
    """
    folder = Path(folder)
    names = [next((n for n in known if (folder / f"{n}.nii.gz").is_file()), "") for known in ROLES]
    files = [folder / f"{name}{end}" for end in (".nii.gz", "_mask.nii.gz") for name in names]
    if not all(names) or not all(file.is_file() for file in files):
        known = " or ".join(f"{a}.nii.gz and {b}.nii.gz" for a, b in zip(*ROLES))
        raise InputError(f"{folder}: {known}, and NAME_mask.nii.gz of both are needed.")
    points = None
    if (folder / "landmarks.csv").is_file():
        with open(folder / "landmarks.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        points = [np.array([[float(r[f"{n}_{x}"]) for x in "xyz"] for r in rows]) for n in names]
    images = [str(file) for file in files]
    return PairFolder(names, images[:2], images[2:], points)


def measure(
    data: str | os.PathLike,
    work: Path,
    runs: int = 5,
    fast_model: str | os.PathLike | None = None,
    refine: Sequence[int] = (80, 160),
    others: bool = True,
) -> list[dict]:
    """Time and quality of each method.

    Args:
        data: the pair's folder.
        work: folder for the results' files, which are replaced.
        runs: that are counted, the methods in turn.
        fast_model: exported model of the preset ``fast``; without one there is no such row.
        refine: steps of the rows with refinement.
        others: whether SyN, elastix and greedy take part.

    Returns:
        Rows of ``method`` and ``seconds``, median, which is None where a package is not installed;
        ``tre`` and ``tre_median`` in mm, ``dice`` in percent and ``folds``, share of the volume.
    """
    pair = read_folder(data)
    methods, absent = _methods(pair, work, fast_model, refine, others)
    seconds = alternate(methods, runs)
    quality = {name: _quality(pair, work / _slug(name)) for name in methods}
    cold = "command, cold start, with report"
    seconds[cold] = statistics.median(_cold_start(pair, work / "cold") for _ in range(runs))
    quality[cold] = _quality(pair, work / "cold")
    rows = [{"method": name, "seconds": taken, **quality[name]} for name, taken in seconds.items()]
    return rows + [{"method": f"{name} (not installed)", "seconds": None} for name in absent]


def _methods(pair, work, fast_model, refine, others):
    """Name → function that registers and writes, and the names of what is not installed."""
    pretrained = load_model(default_model())
    ours = {"pretrained": (pretrained, 0)}
    ours.update({f"pretrained, --refine {steps}": (pretrained, steps) for steps in refine})
    if fast_model is not None:
        ours["fast"] = (load_model(fast_model), 0)
    methods: dict[str, Callable] = {
        name: partial(_register, pair, _folder(work, name), *each) for name, each in ours.items()
    }
    absent = []
    for name, (module, function) in (OTHERS if others else {}).items():
        if importlib.util.find_spec(module) is None:
            absent.append(name)
        else:
            methods[name] = partial(function, pair, _folder(work, name))
    return methods, absent


def _register(pair, out, model, refine):
    result = lr.register(*pair.images, model=model, refine=refine)
    lr.save_result(result, out, overwrite=True)


def _syn(pair, out):
    import ants

    fixed, moving = map(ants.image_read, pair.images)
    found = ants.registration(fixed, moving, "SyN", outprefix=str(out / "syn"))
    ants.image_write(found["warpedmovout"], str(out / WARPED))
    composed = ants.apply_transforms(
        fixed, moving, found["fwdtransforms"], compose=str(out / "composed")
    )
    shutil.move(composed, out / DISPLACEMENT)


def _elastix(pair, out):
    import itk

    fixed, moving = (itk.imread(file, itk.F) for file in pair.images)
    settings = itk.ParameterObject.New()
    for stage in ("affine", "bspline"):
        values = settings.GetDefaultParameterMap(stage, 4, 10.0)  # levels; mm between the knots
        values["AutomaticTransformInitialization"] = ["true" if stage == "affine" else "false"]
        values["AutomaticTransformInitializationMethod"] = ["GeometricalCenter"]
        settings.AddParameterMap(values)
    warped, found = itk.elastix_registration_method(
        fixed, moving, parameter_object=settings, log_to_console=False
    )
    itk.imwrite(warped, str(out / WARPED))
    field = itk.transformix_deformation_field(
        moving, found, output_directory=str(out), log_to_console=False
    )
    itk.imwrite(field, str(out / DISPLACEMENT))


def _greedy(pair, out):
    from picsl_greedy import Greedy3D

    fixed, moving = pair.images
    affine, warp = out / "affine.mat", out / "warp.nii.gz"
    quiet, images = "-V 0", f"-i {fixed} {moving}"
    greedy = Greedy3D()
    greedy.execute(f"{quiet} {images} -a -dof 12 -ia-image-centers -m NMI -n 100x50x10 -o {affine}")
    greedy.execute(f"{quiet} {images} -it {affine} -m NCC 2x2x2 -n 100x50x10 -o {warp}")
    written = f"-rm {moving} {out / WARPED} -rc {out / DISPLACEMENT}"
    greedy.execute(f"{quiet} -rf {fixed} {written} -r {warp} {affine}")


# greedy before elastix: once itk is loaded, a greedy that is new to the process can read no file.
OTHERS = {
    "SyN (antspyx)": ("ants", _syn),
    "greedy (picsl-greedy)": ("picsl_greedy", _greedy),
    "elastix (itk-elastix)": ("itk", _elastix),
}


def _cold_start(pair, out):
    """Seconds of the command from its start to its end."""
    words = [sys.executable, "-m", "tf_lungreg", "register", *pair.images, "--overwrite"]
    start = time.perf_counter()
    subprocess.run([*words, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _quality(pair, out):
    """What is measured of a displacement file, alike for all methods."""
    field = Transform.read(out / DISPLACEMENT)
    fixed = Image.read(pair.images[0], AXIS_CODES)
    fixed_mask = read_mask(pair.masks[0], like=fixed)
    moving_mask = read_mask(pair.masks[1], like=Image.read(pair.images[1], AXIS_CODES))
    warped = field.warp(moving_mask, reference=fixed.frame)
    row = {
        "dice": 100 * dice(fixed_mask.data, warped.data),
        "folds": folded_fraction(field.jacobian()),
    }
    if pair.points is not None:
        errors = landmark_errors(pair.points[1], field.map_points(pair.points[0]))[:, 3]
        row["tre"], row["tre_median"] = float(errors.mean()), float(np.median(errors))
    return row


def _folder(work, name):
    folder = work / _slug(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _slug(name):
    return "".join(letter if letter.isalnum() else "_" for letter in name)
