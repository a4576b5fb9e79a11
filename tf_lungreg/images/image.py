"""An image in memory: voxels, and where they lie in the world."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Union

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel import orientations
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike

from tf_lungreg.arrays import Array, as_array
from tf_lungreg.errors import InputError
from tf_lungreg.files import replacing
from tf_lungreg.images.geometry import AXIS_CODES, Frame, check_affine, to_axis_codes
from tf_lungreg.images.itk import itk_grid, source_of_sitk
from tf_lungreg.images.nifti import nifti_image, source_of_nibabel, write_nifti
from tf_lungreg.images.opening import check_image_name, damage_as_error, open_source
from tf_lungreg.images.source import Source

_MASK_ROOM = 0.5  # beyond 0 and 1, by which interpolation may overshoot in a mask
_MOST_LABELS = 256  # different ones; atlases have some hundred at most, an image has thousands
_PROBES = 1 << 17  # voxels that are looked at for labels
_GRID_TOLERANCE = 0.01  # voxels; headers that went through other programs are rounded


class Image:
    """A 3D image, mask or label map: ``data[i, j, k]`` lies at ``affine @ (i, j, k, 1)``, RAS mm.

    Args:
        data: (D, H, W): numbers, or bool for a mask; or a function that returns them, which is
            called when they are first asked for. Of float16 they become float32, of longdouble
            float64.
        frame: the voxel grid; or (4, 4), the affine from voxel coordinates to RAS mm.
        name: the file, or whatever else tells the image apart in messages.

    Raises:
        InputError: the data are no numbers on the frame's grid, or the affine is singular,
            sheared, or no (4, 4) matrix with the last row 0, 0, 0, 1.

    Example:
        >>> image = Image(np.zeros((20, 30, 40)), np.diag([1.5, 1.5, 3.0, 1.0]), "zeros")
        >>> image
        Image(zeros: shape (20, 30, 40), spacing [1.5, 1.5, 3.0] mm, centre [14.25, 21.75, 58.5] mm)
    """

    def __init__(
        self,
        data: Array | Callable[[], Array],
        frame: Frame | Array,
        name: str | os.PathLike[str] = "array",
    ):
        self.name = os.fspath(name)
        if callable(data):
            if not isinstance(frame, Frame):
                raise InputError(f"{self.name}: a frame is needed where a function gives the data.")
            self._read = lambda: _checked_voxels(data(), self.name)
        else:
            voxels = _checked_voxels(data, self.name)
            self._read = lambda: voxels
            if not isinstance(frame, Frame):
                frame = Frame(voxels.shape, check_affine(frame, self.name))
            if voxels.shape != frame.shape:
                raise InputError(
                    f"{self.name}: data of shape {voxels.shape} on a grid of shape {frame.shape}."
                )
        self.frame: Frame = frame

    @cached_property
    def data(self) -> Array:
        """The voxels, (D, H, W)."""
        return self._read()

    @property
    def affine(self) -> Array:
        """(4, 4), from voxel coordinates to RAS mm."""
        return self.frame.affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return self.frame.shape

    @property
    def spacing(self) -> Array:
        """Voxel size in mm along each axis, (3,)."""
        return self.frame.spacing

    def __repr__(self) -> str:
        """The name and the grid."""
        return f"Image({self.name}: {self.frame})"

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        axis_codes: tuple[str, str, str] | None = None,
        exact: bool = False,
        nifti_frame: str = "sform",
    ) -> Image:
        """Reads a file's header now, and its voxels when ``data`` is first asked for.

        Reading only flips and transposes: every voxel keeps its value, with the file's intensity
        scaling applied, and its place in the world.

        Args:
            path: a .nii or .nii.gz file, an .hdr/.img pair of NIfTI, a .mha, .mhd, .nrrd or .nhdr
                file, a folder with one DICOM series, or a multi-frame DICOM file. A fourth axis of
                length 1 is dropped.
            axis_codes: nibabel axis codes, where the array's axes lead, such as
                :data:`~tf_lungreg.images.geometry.AXIS_CODES`; None keeps the file's own order.
            exact: keep integers, and float64, as they are stored, instead of float32, which has no
                whole numbers between 2**24 and 2**24 + 2: labels may be larger.
            nifti_frame: which place of a NIfTI file counts where it states two, ``"sform"`` or
                ``"qform"``; warns where they differ.

        Raises:
            MissingFileError: there is no such file.
            InputError: the file is damaged or no scalar 3D image, an axis has fewer than two
                voxels, the header's affine is sheared or singular, or, when the voxels are read, a
                voxel is NaN or infinite.
        """
        source = open_source(Path(path), nifti_frame)
        return _from_source(source, os.fspath(path), axis_codes, exact)

    @classmethod
    def from_nibabel(
        cls,
        image: SpatialImage,
        name: str = "nibabel image",
        exact: bool = False,
        nifti_frame: str = "sform",
    ) -> Image:
        """An image of nibabel; the same voxels in the same place as its file would give.

        Args:
            image: three-dimensional.
            name: for messages.
            exact: as in :meth:`read`.
            nifti_frame: as in :meth:`read`.

        Raises:
            InputError: as :meth:`read`.
        """
        source = source_of_nibabel(image, name, nifti_frame)
        check_affine(source.affine, name)
        return _from_source(source, name, exact=exact)

    @classmethod
    def from_sitk(
        cls, image: sitk.Image, name: str = "SimpleITK image", exact: bool = False
    ) -> Image:
        """An image of SimpleITK, its axes in the order x, y, z.

        Args:
            image: three-dimensional.
            name: for messages.
            exact: as in :meth:`read`.

        Raises:
            InputError: as :meth:`read`.
        """
        source = source_of_sitk(image, name)
        check_affine(source.affine, name)
        return _from_source(source, name, exact=exact)

    def reoriented(self, axis_codes: tuple[str, str, str]) -> Image:
        """The same voxels in the same places, with the array's axes in another order or direction.

        Args:
            axis_codes: nibabel axis codes, where the array's axes shall lead.
        """
        if orientations.aff2axcodes(self.affine) == tuple(axis_codes):
            return self

        def turned() -> Array:
            orientation = to_axis_codes(self.affine, axis_codes)
            return np.ascontiguousarray(orientations.apply_orientation(self.data, orientation))

        return Image(turned, self.frame.reoriented(axis_codes), self.name)

    def to_nibabel(self) -> nib.Nifti1Image:
        """A NIfTI image with the frame as sform and qform; a mask becomes uint8."""
        return nifti_image(self.data, self.frame)

    def to_sitk(self) -> sitk.Image:
        """An image of SimpleITK, whose x, y, z are this image's axes; a mask becomes uint8."""
        data = self.data.view(np.uint8) if self.data.dtype == bool else self.data
        image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
        grid = itk_grid(self.frame)
        image.SetOrigin(grid["origin"])
        image.SetSpacing(grid["spacing"])
        image.SetDirection(grid["direction"])
        return image

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Writes a NIfTI file, whole or not at all.

        Args:
            path: ends in .nii or .nii.gz; missing folders are made.
            overwrite: whether an existing file may be replaced.

        Returns:
            The path.

        Raises:
            InputError: another ending, or the file exists.
        """
        check_image_name(path)
        with replacing(path, overwrite) as temporary:
            write_nifti(temporary, self.to_nibabel())
        return Path(path)


# Ways in which an image can be given; SimpleITK's and nibabel's are converted.
AnyImage = Union[str, "os.PathLike[str]", Image, SpatialImage, sitk.Image]


def read_mask(
    path: str | os.PathLike[str], like: Image | None = None, nifti_frame: str = "sform"
) -> Image:
    """Reads a mask as bool: inside is where the value is above 0.5.

    Args:
        path: as in :meth:`Image.read`.
        like: the image that the mask belongs to, whose grid it must have; the mask's array takes
            the order of the image's axes. Without it the order is (P, I, L).
        nifti_frame: as in :meth:`Image.read`.

    Raises:
        MissingFileError: there is no such file.
        InputError: as :meth:`Image.read`, and as :func:`to_mask`.
    """
    codes = AXIS_CODES if like is None else orientations.aff2axcodes(like.affine)
    return to_mask(Image.read(path, codes, nifti_frame=nifti_frame), like)


def to_mask(image: Image, like: Image | None = None) -> Image:
    """An image as a mask: inside is where the value is above 0.5.

    Warns of more than 256 different labels: such a mask is rather an image.

    Args:
        image: probabilities from 0 to 1, or labels, which are whole numbers from 0.
        like: the image that the mask belongs to, whose grid it must have, in any order of axes.

    Raises:
        InputError: it holds other values, the mask is empty, or on another grid than ``like``.
    """
    _check_mask_values(image)
    if like is not None:
        image = image.reoriented(orientations.aff2axcodes(like.affine))
    inside = image.data > 0.5
    if not inside.any():
        raise InputError(
            f"{image.name}: the mask is empty; at least one voxel above 0.5 is needed."
        )
    if like is not None:
        tolerance = max(_GRID_TOLERANCE * float(like.spacing.min()), 1e-3)
        if not image.frame.same_grid(like.frame, tolerance):
            raise InputError(
                f"{image.name}: the mask's grid ({image.frame}) is not that of {like.name} "
                f"({like.frame}); resample the mask on the image's grid."
            )
    return Image(inside, image.frame, image.name)


def _check_mask_values(image: Image) -> None:
    """Refuses the values of an image that was given as its own mask, or warns of them."""
    data = image.data
    if data.dtype == bool:
        return
    low, high = float(data.min()), float(data.max())
    if high <= 1 + _MASK_ROOM and low >= -_MASK_ROOM:
        return
    if low < 0 or (data.dtype.kind == "f" and not np.array_equal(data, np.round(data))):
        raise InputError(
            f"{image.name}: the values of a mask are probabilities from 0 to 1, or labels, whole "
            f"numbers from 0; these are an image's, from {low:g} to {high:g}."
        )
    probes = data.ravel()[:: max(1, data.size // _PROBES)]
    labels = len(np.unique(probes))
    if labels > _MOST_LABELS:
        warnings.warn(
            f"{image.name}: has {labels} different values or more, as an image has and no mask; "
            "all voxels above 0.5 are taken to be inside.",
            stacklevel=4,
        )


def as_image(image: AnyImage, role: str, nifti_frame: str = "sform", exact: bool = False) -> Image:
    """An image, whichever way it is given.

    Args:
        image: a file, see :meth:`Image.read`, or an image of this package, nibabel or SimpleITK.
        role: what it is for, such as ``"fixed"``; the name of an image that is no file.
        nifti_frame: as in :meth:`Image.read`.
        exact: as in :meth:`Image.read`.

    Raises:
        MissingFileError, InputError: it cannot be read, or it is something else.
    """
    if isinstance(image, Image):
        check_finite(image.data, image.name)
        if not exact:
            _check_float32(image.data, image.name)
        return image
    if isinstance(image, (str, os.PathLike)):
        return Image.read(image, exact=exact, nifti_frame=nifti_frame)
    if isinstance(image, SpatialImage):
        return Image.from_nibabel(image, role, exact, nifti_frame)
    if isinstance(image, sitk.Image):
        return Image.from_sitk(image, role, exact)
    raise InputError(
        f"{role}: a file, or an image of tf_lungreg, nibabel or SimpleITK is needed, not "
        f"{type(image).__name__}; tf_lungreg.Image(data, affine) makes one of an array."
    )


def _from_source(
    source: Source,
    name: str,
    axis_codes: tuple[str, str, str] | None = None,
    exact: bool = False,
) -> Image:
    frame = Frame(source.shape, source.affine)

    def read() -> Array:
        with damage_as_error(name), np.errstate(all="ignore"):
            data = source.read(exact).reshape(source.shape)
            if axis_codes is not None:
                data = orientations.apply_orientation(data, to_axis_codes(frame.affine, axis_codes))
            # Order and type change at once: a large image is there twice, not three times.
            data = np.array(data, dtype=_common(data.dtype) if exact else np.float32, order="C")
            if not exact and not np.isfinite(data).all():
                _check_float32(source.read(True), name)
        check_finite(data, name)
        return data

    return Image(read, frame if axis_codes is None else frame.reoriented(axis_codes), name)


def check_finite(data: Array, name: str) -> None:
    """Refuses voxels that are no numbers.

    Args:
        data: of any shape.
        name: the image, for messages.

    Raises:
        InputError: a voxel is NaN or infinite.
    """
    bad = data.size - np.count_nonzero(np.isfinite(data))
    if bad:
        raise InputError(
            f"{name}: {bad} of {data.size} voxels are NaN or infinite; replace them with numbers."
        )


def _check_float32(data: Array, name: str) -> None:
    """Refuses finite numbers that float32 cannot hold, in which images are computed."""
    if data.dtype.kind != "f" or data.dtype.itemsize <= 4 or not np.isfinite(data).all():
        return
    largest = max(abs(data.max()), abs(data.min()))
    if largest > np.finfo(np.float32).max:
        raise InputError(
            f"{name}: values as large as {largest:.3g}, which exceeds float32 (3.4e+38); rescale "
            "the image."
        )


def _checked_voxels(data: ArrayLike, name: str) -> Array:
    """Refuses what is no array of numbers with three axes, and converts types that scipy lacks."""
    if np.ma.is_masked(data):
        raise InputError(
            f"{name}: a masked array with {np.ma.count_masked(data)} masked voxels, whose values "
            "count for nothing; fill them first, array.filled(value)."
        )
    data = as_array(data)
    if data.ndim != 3 or data.dtype.kind not in "biuf":
        raise InputError(
            f"{name}: an array of shape {data.shape} and type {data.dtype}; numbers with three "
            "axes are needed."
        )
    return data.astype(_common(data.dtype), copy=False)


def _common(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in this machine's byte order; a floating type of 32 or 64 bits."""
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")
