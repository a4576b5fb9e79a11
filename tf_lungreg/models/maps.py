"""Feature maps that are read slab by slab along D, and kept in a file where they are computed.

What each voxel needs only itself for is computed when it is read, again each time; so a
normalization, an activation or a concatenation takes the memory of a slab, never of the volume.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError

_BYTES = 4  # of a float32

# What a slab takes while a layer works on it, as a multiple of its input and output: the maps
# before and after what is computed on reading, padding, and the convolution's own workspace. It is
# measured, with the preset paper in thin and in deep slabs (docs/registration.md).
_COPIES = 6


@dataclass(frozen=True)
class Maps:
    """Maps of a volume.

    Attributes:
        shape: (batch, D, H, W, C).
        read: from ``start`` and ``stop`` along D to a tensor (batch, stop - start, H, W, C).
    """

    shape: tuple[int, ...]
    read: Callable[[int, int], tf.Tensor]

    def whole(self) -> tf.Tensor:
        """All of it, (batch, D, H, W, C)."""
        return self.read(0, self.shape[1])

    def slabs(self, memory: float, channels: int = 0, halo: int = 0) -> Iterator[tuple[int, int]]:
        """``start`` and ``stop`` of slabs that together are the volume.

        Args:
            memory: bytes for the work on a slab; it is at least one voxel deep all the same.
            channels: of what is computed from it.
            halo: voxels that are read beyond the slab on both sides.
        """
        batch, size, height, width, own = self.shape
        slice_bytes = _BYTES * batch * height * width * (own + channels)
        depth = max(1, int(memory / (_COPIES * slice_bytes)) - 2 * halo)
        return ((start, min(start + depth, size)) for start in range(0, size, depth))


def maps_in_memory(volume: tf.Tensor) -> Maps:
    """A tensor (batch, D, H, W, C) as maps."""
    return Maps(tuple(volume.shape), lambda start, stop: volume[:, start:stop])


def maps_in_file(shape: tuple[int, ...], slabs: Iterable[tf.Tensor]) -> Maps:
    """Maps in a temporary file, which goes when they do.

    It is no memory map: a page of one that finds the disk full ends the process.

    Args:
        shape: of the maps, (batch, D, H, W, C).
        slabs: of them, in order; together they are the volume.

    Raises:
        InputError: there is no room for the file.
    """
    file = tempfile.TemporaryFile()
    batch, _, *rest = shape
    try:
        for slab in slabs:  # D first, so that a slab is one piece of the file
            np.ascontiguousarray(np.moveaxis(slab.numpy(), 1, 0)).tofile(file)
    except OSError as error:
        needed = math.prod(shape) * _BYTES / 1e9
        raise InputError(
            f"{tempfile.gettempdir()}: no room for {needed:.1f} GB of the network's maps "
            f"({error}); $TMPDIR names another folder."
        ) from error

    def read(start: int, stop: int) -> tf.Tensor:
        slice_size = batch * math.prod(rest)
        file.seek(start * slice_size * _BYTES)
        values = np.fromfile(file, np.float32, (stop - start) * slice_size)
        return tf.constant(np.moveaxis(values.reshape(stop - start, batch, *rest), 0, 1))

    return Maps(shape, read)


def moments(maps: Maps, memory: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of each map over the whole volume, (batch, C) each, from all its slabs.

    Args:
        maps: of a volume.
        memory: bytes for a slab.
    """
    count, mean, squares = 0, 0.0, 0.0  # squares: the sum of those of the differences from mean
    for start, stop in maps.slabs(memory):
        found = tf.nn.moments(maps.read(start, stop), axes=(1, 2, 3))
        slab_mean, slab_variance = (value.numpy().astype(np.float64) for value in found)
        more, difference = stop - start, slab_mean - mean
        squares = squares + more * slab_variance + difference**2 * count * more / (count + more)
        mean = mean + difference * more / (count + more)
        count += more
    return tf.constant(mean, tf.float32), tf.constant(squares / count, tf.float32)
