"""A transform in the world: maps points, warps images, is inverted, composed, read and saved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tf_lungreg.arrays import Array, as_array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.image import AnyImage, Image, as_image
from tf_lungreg.images.sampling import Sampler, over_slabs, sample_linear, world_points
from tf_lungreg.transforms.inversion import inverse_displacement
from tf_lungreg.transforms.transform_files import (
    read_displacement,
    write_displacement,
    write_itk_transform,
)

_EXACT = 2**53  # the largest integer up to which float64 has them all


@dataclass(frozen=True, eq=False)
class Transform:
    """``T(p) = p + d(p)`` for world points p of the fixed image; ``warped(p) = moving(T(p))``.

    Between voxels d is interpolated linearly; outside the grid the displacement of the nearest
    border point continues.

    Attributes:
        data: d, (X, Y, Z, 3) float32, RAS mm, in the order of the frame's axes.
        frame: the grid.
    """

    data: Array
    frame: Frame

    @classmethod
    def translation(cls, vector: Array) -> Transform:
        """The same displacement, RAS mm, everywhere.

        Args:
            vector: (3,).

        Raises:
            InputError: it is no such vector of finite numbers.
        """
        vector = _checked_points(vector, "vector")
        if vector.shape != (3,):
            raise InputError(f"vector: shape {vector.shape}; one of shape (3,) is needed.")
        data = vector.astype(np.float32).reshape(1, 1, 1, 3)
        return cls(data, Frame((1, 1, 1), np.eye(4)))

    @classmethod
    def read(cls, path: str | os.PathLike[str], nifti_frame: str = "sform") -> Transform:
        """Reads the displacement field that a registration saved, or one that ANTs wrote.

        Args:
            path: the file, or the folder of a registration's results.
            nifti_frame: see :meth:`tf_lungreg.images.image.Image.read`.

        Raises:
            MissingFileError: there is no such file.
            InputError: it is no displacement field of intent 1007, or damaged.
        """
        return cls(*read_displacement(path, nifti_frame))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the field for ITK and ANTs (``.nii``, ``.nii.gz``) or 3D Slicer (``.h5``).

        Args:
            path: replaced where it exists.

        Returns:
            The path.

        Raises:
            InputError: another ending.
        """
        path = Path(path)
        if path.name.lower().endswith((".nii", ".nii.gz")):
            write_displacement(path, self.data, self.frame)
        elif path.suffix.lower() == ".h5":
            write_itk_transform(path, self.data, self.frame)
        else:
            raise InputError(f"{path}: end a transform's name in .nii, .nii.gz or .h5.")
        return path

    def displacement(self, points: Array) -> Array:
        """D at world points (..., 3), RAS mm: of the same shape, float64.

        Raises:
            InputError: the last axis has another length than 3, or a coordinate is no finite
                number.
        """
        return self._sample(_checked_points(points))

    def map_points(self, points: Array) -> Array:
        """T at fixed world points (..., 3), RAS mm: points of the moving image.

        Raises:
            InputError: as :meth:`displacement`.
        """
        points = _checked_points(points)
        return points + self._sample(points)

    def warp(
        self,
        image: AnyImage,
        interpolation: str = "linear",
        reference: Frame | None = None,
        outside: float | None = None,
    ) -> Image:
        """An image of the moving space, sampled once from its own voxels: ``image(T(p))``.

        Args:
            image: an image, mask or label map, on any grid; given in the same ways as to
                :func:`tf_lungreg.register`.
            interpolation: ``"linear"``, ``"nearest"`` for labels, or ``"cubic"``.
            reference: the grid of the result; by default the field's.
            outside: the value of points outside the image; by default 0, no label, with
                ``"nearest"``, and otherwise the image's smallest value.

        Returns:
            The image on the grid of ``reference``. A mask stays one and is always sampled with
            ``"nearest"``. Integers stay integers with ``"nearest"``, of a larger type where
            ``outside`` needs it, and become float32 otherwise.

        Raises:
            MissingFileError, InputError: the image cannot be used, an unknown interpolation, or
                ``outside`` is no finite number; of integers with ``"nearest"``, none that a type
                can hold together with them.
        """
        if outside is not None and not np.isfinite(outside):
            raise InputError(f"outside: a finite number is needed, not {outside}.")
        if not isinstance(image, Image):
            image = as_image(image, "image", exact=interpolation == "nearest")
        frame = self.frame if reference is None else reference
        mask = image.data.dtype == bool
        if mask:
            interpolation, data, outside = "nearest", image.data.view(np.uint8), 0
        elif interpolation == "nearest":
            outside = 0 if outside is None else outside
            data = _that_holds(outside, image.data)
        else:
            data = image.data
            if data.dtype.kind in "iu":  # or else the samples would be cut to whole numbers
                data = data.astype(np.float32)
            outside = data.min() if outside is None else outside
        sampler = Sampler(data, interpolation, outside)
        to_voxel = np.linalg.inv(image.frame.affine)
        out = np.empty(frame.shape, data.dtype)

        def fill(slab: slice) -> None:
            out[slab] = sampler(apply_affine(to_voxel, self._map_slab(frame, slab)))

        over_slabs(frame.shape, fill)
        return Image(out.view(bool) if mask else out, frame, image.name)

    def jacobian(self) -> Array:
        """Determinant of dT/dp by central differences, one-sided at the borders.

        Returns:
            (X, Y, Z) float32: the volume in the moving image of a unit volume of the fixed one;
            at or below 0 where T folds.
        """
        linear = self.frame.affine[:3, :3]
        out = np.empty(self.frame.shape, np.float32)
        last = self.frame.shape[0]

        def fill(slab: slice) -> None:
            start, stop = max(slab.start - 1, 0), min(slab.stop + 1, last)  # what differences need
            inner = slice(slab.start - start, slab.stop - start)
            # How far T moves, in mm, for a step of one voxel along each axis: (d, H, W, 3) each.
            differences = np.gradient(self.data[start:stop], axis=(0, 1, 2))
            a, b, c = (d[inner] + v for d, v in zip(differences, linear.T.astype(np.float32)))
            out[slab] = np.sum(a * np.cross(b, c), axis=-1)

        over_slabs(self.frame.shape, fill)
        out /= np.linalg.det(linear)
        return out

    def inverse(self, frame: Frame) -> Transform:
        """``T⁻¹`` on a grid of the moving image's world; warns where T is not one to one.

        Args:
            frame: grid of the result.
        """
        return Transform(inverse_displacement(self, frame), frame)

    def compose(self, first: Transform) -> Transform:
        """``T(first(p))`` on the grid of ``first``.

        Args:
            first: the transform that comes first; its results are this one's points.
        """
        out = np.empty_like(first.data)

        def fill(slab: slice) -> None:
            points = world_points(first.frame, slab)
            out[slab] = self.map_points(points + first.data[slab]) - points

        over_slabs(first.frame.shape, fill)
        return Transform(out, first.frame)

    def _map_slab(self, frame: Frame, slab: slice) -> Array:
        """T at the voxels of a slab of a grid, (d, H, W, 3)."""
        points = world_points(frame, slab)
        if frame is self.frame:  # what is stored needs no interpolation
            points += self.data[slab]
        else:
            points += self._sample(points)
        return points

    def _sample(self, points: Array) -> Array:
        """D at points (..., 3) of float64."""
        voxels = apply_affine(np.linalg.inv(self.frame.affine), points.reshape(-1, 3))
        return sample_linear(self.data, voxels, np.float64).reshape(points.shape)


def _checked_points(points: ArrayLike, name: str = "points") -> Array:
    """Points (..., 3) as float64.

    Raises:
        InputError: they are none.
    """
    array = as_array(points)
    if array.dtype.kind not in "iuf" or array.shape[-1:] != (3,):
        turned = "; transpose the array" if array.ndim == 2 and len(array) == 3 else ""
        raise InputError(
            f"{name}: an array of shape {array.shape} and type {array.dtype}; numbers of shape "
            f"(..., 3) are needed, x, y and z in RAS mm along the last axis{turned}."
        )
    array = array.astype(np.float64, copy=False)
    bad = np.count_nonzero(~np.isfinite(array).all(axis=-1))
    if bad:
        raise InputError(
            f"{name}: {bad} of {array.size // 3} hold NaN or infinity; leave them out, or replace "
            "them with finite coordinates."
        )
    return array


def _that_holds(value: float, data: Array) -> Array:
    """The data, of a type that can also hold a value: an integer type if there is one.

    Raises:
        InputError: no type holds the value and the data, which are integers, exactly.
    """
    if data.dtype.kind not in "iu":
        return data
    numbers = (value, data.min(), data.max())
    if float(value).is_integer():
        low, high = min(map(int, numbers)), max(map(int, numbers))
        for dtype in (data.dtype, np.int32, np.uint32, np.int64, np.uint64):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return data.astype(dtype, copy=False)
    if -_EXACT <= numbers[1] and numbers[2] <= _EXACT:
        return data.astype(np.float64)
    raise InputError(
        f"outside: a whole number that fits the labels {numbers[1]} to {numbers[2]} is needed, "
        f"not {value:g}."
    )
