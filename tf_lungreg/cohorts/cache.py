"""Scans made ready for the network, once: kept in memory and, if asked, in a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from tf_lungreg.arrays import Array
from tf_lungreg.cohorts.cohort import Scan
from tf_lungreg.errors import InputError
from tf_lungreg.files import replacing, stamp
from tf_lungreg.images.geometry import AXIS_CODES, Frame
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import Window, mask_to_network, to_network

_VERSION = 1  # of what is computed and stored; a change of either makes old files invisible


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan on the network's grid.

    Attributes:
        scan: which one.
        image: (D, H, W) float32 in [0, 1].
        mask: (D, H, W) bool, or None when the scan has none.
        frame: the network's grid, of ``image`` and ``mask``.
        native_frame: the file's grid.
    """

    scan: Scan
    image: Array
    mask: Array | None
    frame: Frame
    native_frame: Frame


PreparedPair = tuple[PreparedScan, PreparedScan]  # fixed, moving


@dataclass(frozen=True)
class _Preparation:
    """How scans are prepared; see :func:`prepare_scans`."""

    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    window: str | tuple[float, ...]


def prepare_scans(
    scans: Iterable[Scan],
    spacing: Sequence[float],
    shape: Sequence[int] | None,
    window: Window = "auto",
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[PreparedScan]:
    """Loads, windows and resamples scans, each about its own volume centre.

    Args:
        scans: what to prepare.
        spacing: the network's voxel size in mm along D, H, W.
        shape: the network's size in voxels, cropping or padding about the centre.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        cache: a folder for the results, one file a scan, found again while the scan's files, the
            grid and the window are the same. A damaged file is made anew.
        progress: show a bar when something has to be computed.

    Returns:
        The prepared scans, in the order of ``scans``.

    Raises:
        MissingFileError: a scan's file does not exist.
        InputError: a scan's file cannot be used, or no voxel of its mask is in the network's grid;
            or no shape is given.
    """
    if shape is None:
        raise InputError("shape: the network's size in voxels is needed to prepare scans.")
    scans = list(scans)
    how = _Preparation(
        tuple(float(step) for step in spacing),
        tuple(int(n) for n in shape),
        window if isinstance(window, str) else tuple(float(limit) for limit in window),
    )
    files = [None if cache is None else _cache_file(Path(cache), scan, how) for scan in scans]
    stored = [None if file is None else _load(file, scan) for file, scan in zip(files, scans)]
    missing = [i for i, prepared in enumerate(stored) if prepared is None]
    hidden = None if progress and missing else True  # None: shown on a terminal only
    made: dict[int, PreparedScan] = {}
    for i in tqdm(missing, "Preparing scans", unit="scan", disable=hidden):
        made[i] = _prepare(scans[i], how)
        file = files[i]
        if file is not None:
            _save(file, made[i])
    return [made[i] if prepared is None else prepared for i, prepared in enumerate(stored)]


def _prepare(scan: Scan, how: _Preparation) -> PreparedScan:
    volume = Image.read(scan.image, AXIS_CODES)
    native = volume.frame
    frame = network_frame(native, native, how.spacing, how.shape)[0]
    mask = None
    if scan.mask is not None:
        mask = mask_to_network(read_mask(scan.mask, like=volume), frame)
        if not mask.any():
            raise InputError(
                f"{scan.mask}: no voxel of the mask is in the network's grid, {frame.shape} voxels "
                f"of {list(how.spacing)} mm about the image's centre; a larger grid is needed."
            )
    return PreparedScan(scan, to_network(volume, frame, how.window), mask, frame, native)


def _cache_file(folder: Path, scan: Scan, how: _Preparation) -> Path:
    files = [stamp(scan.image), scan.mask and stamp(scan.mask)]
    settings = {"files": files, "version": _VERSION, **dataclasses.asdict(how)}
    key = json.dumps(settings, sort_keys=True)
    return folder / f"{scan.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _save(file: Path, prepared: PreparedScan) -> None:
    arrays: dict[str, Any] = {
        "image": prepared.image,
        "affine": prepared.frame.affine,
        "native_shape": np.array(prepared.native_frame.shape),
        "native_affine": prepared.native_frame.affine,
    }
    if prepared.mask is not None:
        arrays["mask"] = np.packbits(prepared.mask)
    with replacing(file, overwrite=True) as temporary:
        np.savez(temporary, **arrays)


def _load(file: Path, scan: Scan) -> PreparedScan | None:
    """The stored scan; None when it is not there or cannot be read."""
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            image, mask = stored["image"], None
            if scan.mask is not None:
                mask = np.unpackbits(stored["mask"], count=image.size).astype(bool)
                mask = mask.reshape(image.shape)
            frame = Frame(image.shape, stored["affine"])
            native = Frame(tuple(stored["native_shape"]), stored["native_affine"])
    except Exception:  # however a damaged file fails, the scan is prepared again
        return None
    return PreparedScan(scan, image, mask, frame, native)
