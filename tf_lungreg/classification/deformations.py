"""The deformations of a cohort, registered once and kept: one patient, one array."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tf_lungreg.classification.features import SHAPE, Sampled, check_mask, sample
from tf_lungreg.cohorts.cohort import Scan, ScanPair
from tf_lungreg.errors import InputError
from tf_lungreg.files import replacing, stamp
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.images.preparation import Window
from tf_lungreg.reproduction.methods import Method
from tf_lungreg.reproduction.pair_measures import has_truth
from tf_lungreg.transforms.transform import Transform

TRUTH = "truth"  # a method: the cohort's own true displacements
BOXES = ("lungs", "volume")


def find_box(pairs: Sequence[ScanPair]) -> str:
    """``"lungs"`` where every fixed image has a mask, else ``"volume"`` for all of them."""
    without = [fixed.name for fixed, _ in pairs if fixed.mask is None]
    if without and len(without) < len(pairs):
        warnings.warn(
            f"no mask of {', '.join(without)}: the box is the whole volume for everyone.",
            stacklevel=2,
        )
    return "volume" if without else "lungs"


def sample_pairs(
    method: Method | None,
    pairs: Sequence[ScanPair],
    root: Path,
    folder: str | os.PathLike[str],
    box: str,
    window: Window,
) -> list[Sampled]:
    """The displacement of each pair over its fixed image's lungs; what is in the folder is read.

    Args:
        method: how the pairs are registered; None for the truth.
        pairs: (fixed, moving).
        root: the cohort's folder, to which the column ``truth`` of images.tsv is relative.
        folder: where arrays are kept, each under a name that depends on all that decides it.
        box: of ``BOXES``.
        window: what the method was made with.

    Raises:
        MissingFileError, InputError: a file cannot be used, or a truth is asked for and not there.
    """
    files = [_array_file(Path(folder), method, pair, root, box, window) for pair in pairs]
    kept = [_read(file) for file in files]
    new = [number for number, sampled in enumerate(kept) if sampled is None]
    for number in new:  # a bad mask is told before the first of many registrations
        _load_mask(pairs[number][0], box)
    made: dict[int, Sampled] = {}
    with tqdm(new, unit="pair", disable=None) as bar:
        bar.set_description(TRUTH if method is None else method.name)
        for number in bar:
            made[number] = _sample_pair(method, pairs[number], root, box)
            _write(files[number], made[number])
    return [made[n] if sampled is None else sampled for n, sampled in enumerate(kept)]


def _sample_pair(method: Method | None, pair: ScanPair, root: Path, box: str) -> Sampled:
    fixed = pair[0]
    mask = _load_mask(fixed, box)
    if method is None:
        field = Transform.read(_truth_file(fixed, root))
    else:
        field, _ = method.register(*(Image.read(scan.image, AXIS_CODES) for scan in pair))
    return sample(field, Image.read(fixed.image, AXIS_CODES).frame, mask)


def _load_mask(fixed: Scan, box: str) -> Image | None:
    if box != "lungs":
        return None
    mask = read_mask(_mask_file(fixed))
    check_mask(mask, Image.read(fixed.image, AXIS_CODES).frame)
    return mask


def _mask_file(fixed: Scan) -> Path:
    assert fixed.mask is not None  # find_box and predict_cohort look for it
    return fixed.mask


def _array_file(
    folder: Path, method: Method | None, pair: ScanPair, root: Path, box: str, window: Window
) -> Path:
    """A name that changes whenever the array would."""
    files = [_truth_file(pair[0], root)] if method is None else [scan.image for scan in pair]
    files += [_mask_file(pair[0])] if box == "lungs" else []
    identity = None if method is None else [method.name, method.identity, window]
    text = json.dumps([identity, [stamp(file) for file in files], box, SHAPE])
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    name = TRUTH if method is None else method.name
    return folder / name / f"{pair[0].participant}_{key}.npz"


def _truth_file(fixed: Scan, root: Path) -> Path:
    if not has_truth(fixed):
        raise InputError(
            f"{root / 'images.tsv'}: no truth for {fixed.name!r}; a cohort with the column truth, "
            "or another method, is needed."
        )
    path = root / fixed.columns["truth"]
    if not path.exists():
        Transform.read(path)  # says that it is missing
    return path


def _write(file: Path, sampled: Sampled) -> None:
    with replacing(file) as temporary:
        np.savez(temporary, displacement=sampled.displacement, extent=sampled.extent)


def _read(file: Path) -> Sampled | None:
    """None where there is no such file, or a damaged one: it is made again."""
    try:
        with np.load(file) as arrays:
            return Sampled(arrays["displacement"], arrays["extent"])
    except Exception:  # zipfile and numpy raise anything on a damaged file
        return None
