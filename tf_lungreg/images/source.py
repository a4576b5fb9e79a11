"""What a reader of image files finds in a header, and the checks that every format shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsInt

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError

DEFLATE_LIMIT = 1032  # zlib cannot compress better than this: a larger claim is a damaged header


@dataclass(frozen=True)
class Source:
    """What a header says, in the file's own axis order, and how to read the voxels.

    Attributes:
        shape: of the voxels.
        affine: (4, 4) from voxel coordinates to RAS mm.
        read: gives the voxels, of that shape: rescaled, exactly as numbers of the file's own type
            where ``exact``, otherwise of any type that float32 can hold.
    """

    shape: tuple[int, ...]
    affine: Array
    read: Callable[[bool], Array]


def checked_shape(
    path: str | Path, shape: Iterable[SupportsInt], kind: str | None
) -> tuple[int, ...]:
    """The three axes of a header's shape, without trailing ones after the third.

    Args:
        path: the file or the image's name, for messages.
        shape: what the header says.
        kind: what the voxels are if they are no numbers, such as ``RGB``.
    """
    sizes = tuple(int(n) for n in shape)
    if kind:
        raise InputError(f"{path}: the voxels are {kind} values; a scalar image is needed.")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) != 3:
        raise InputError(f"{path}: a {len(sizes)}D image of shape {sizes}; a 3D image is needed.")
    if min(sizes) < 2:
        raise InputError(
            f"{path}: an image of shape {sizes}; a 3D image with at least 2 voxels along every "
            "axis is needed."
        )
    return sizes


def check_size(path: Path, needed: int, held: int) -> None:
    """Refuses a header that claims more bytes than the file can hold, before they are allocated.

    Args:
        path: the file.
        needed: bytes of all voxels.
        held: the most bytes of voxels that the file can hold.
    """
    if needed > held:
        raise InputError(
            f"{path}: the header asks for {needed} bytes of voxels, the file can hold {held} at "
            "most; it is truncated or damaged, a whole file is needed."
        )
