"""A network on a volume whose maps are larger than the memory: layer by layer, each in slabs.

The layers are the Keras model's own. A convolution reads each slab with as many voxels around it as
its kernel reaches, and writes its maps to a file. What needs the whole volume, the statistics of
the normalizations and the pooled means, is summed over all slabs before anything is scaled by it.
Φ is assembled and integrated in one piece; so is whatever this module does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Union

import tensorflow as tf

from tf_lungreg.layers import SpatialGradients, SqueezeExcitation3D
from tf_lungreg.layers.normalization import InstanceNormalization, normalize
from tf_lungreg.models.maps import Maps, maps_in_file, maps_in_memory, moments

_Value = Union[Maps, tf.Tensor]  # what a layer gives; of the pooled means there is but one slab


def run_in_slabs(
    model: tf.keras.Model, inputs: Mapping[str, tf.Tensor], memory: float
) -> dict[str, tf.Tensor]:
    """The model's outputs, to rounding, with bounded memory.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`, in float32.
        inputs: ``moving`` and ``fixed``, (batch, D, H, W, 1).
        memory: bytes for the work on a slab. Slabs are as deep as that allows, and at least one
            voxel. The inputs, the outputs and the work on the grid come on top of it.

    Returns:
        The outputs by name, as the model gives them.
    """
    calls, outputs = list(_calls(model)), model.output
    last = {id(x): number for number, (_, sources, _) in enumerate(calls) for x in sources}
    last.update((id(x), len(calls)) for x in outputs.values())
    values = {id(x): maps_in_memory(inputs[name]) for name, x in model.input.items()}
    for number, (layer, sources, result) in enumerate(calls):
        run = _RUN.get(type(layer), _run_whole)
        values[id(result)] = run(layer, [values[id(x)] for x in sources], memory)
        values = {key: value for key, value in values.items() if last[key] > number}
    return {name: _whole(values[id(x)]) for name, x in outputs.items()}


def _calls(
    model: tf.keras.Model,
) -> Iterator[tuple[tf.keras.layers.Layer, list[tf.Tensor], tf.Tensor]]:
    """Each call of a layer in an order in which they can run: layer, its inputs, its output.

    The tensors are symbolic, Keras' own. This much of the graph both stacks know by one name.
    """
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            if not node.is_input:
                (result,) = tf.nest.flatten(node.outputs)
                yield result._keras_history[0], tf.nest.flatten(node.input_tensors), result


def _run_whole(layer: tf.keras.layers.Layer, sources: Sequence[_Value], memory: float) -> _Value:
    """The layer on all of its inputs at once; maps stay in memory."""
    result = _call(layer, [_whole(source) for source in sources])
    return maps_in_memory(result) if result.shape.rank == 5 else result


def _run_each_voxel(layer: tf.keras.layers.Layer, sources: Sequence[Maps], memory: float) -> Maps:
    """A layer whose result at a voxel depends on that voxel alone: computed when it is read."""

    def read(start: int, stop: int) -> tf.Tensor:
        return _call(layer, [source.read(start, stop) for source in sources])

    # The number of maps is what the layer makes of one slice.
    return Maps((*sources[0].shape[:4], read(0, 1).shape[-1]), read)


def _convolve(layer: tf.keras.layers.Layer, sources: Sequence[Maps], memory: float) -> _Value:
    """Reads each slab with its surroundings; beyond the volume there are zeros."""
    (source,) = sources
    kernel = layer.kernel.shape[:3]
    if layer.padding != "same" or set(layer.strides) != {1} or any(n % 2 == 0 for n in kernel):
        return _run_whole(layer, sources, memory)
    halo, *sides = (d * (n - 1) // 2 for d, n in zip(layer.dilation_rate, kernel))
    size = source.shape[1]

    def convolve(start: int, stop: int) -> tf.Tensor:
        first, last = max(start - halo, 0), min(stop + halo, size)
        ends = (first - (start - halo), stop + halo - last)
        maps = tf.pad(source.read(first, last), [(0, 0), ends, *((n, n) for n in sides), (0, 0)])
        maps = tf.nn.convolution(maps, layer.kernel, dilations=layer.dilation_rate)
        return layer.activation(maps + layer.bias)

    slabs = source.slabs(memory, layer.filters, halo)
    return maps_in_file((*source.shape[:4], layer.filters), (convolve(*slab) for slab in slabs))


def _normalize(layer: tf.keras.layers.Layer, sources: Sequence[Maps], memory: float) -> Maps:
    """Mean and variance from all slabs first."""
    (source,) = sources
    mean, variance = (_beside_voxels(value) for value in moments(source, memory))
    return Maps(
        source.shape,
        lambda start, stop: normalize(layer, source.read(start, stop), mean, variance),
    )


def _excite(layer: SqueezeExcitation3D, sources: Sequence[Maps], memory: float) -> Maps:
    """The channels' weights from the means of all slabs first."""
    (source,) = sources
    weights = _beside_voxels(layer.channel_weights(moments(source, memory)[0]))
    return Maps(source.shape, lambda start, stop: source.read(start, stop) * weights)


def _pool(layer: tf.keras.layers.Layer, sources: Sequence[Maps], memory: float) -> tf.Tensor:
    """The mean of each map, (batch, C)."""
    return moments(sources[0], memory)[0]


_RUN: dict[type, Callable[[Any, Sequence[Any], float], _Value]] = {
    tf.keras.layers.Conv3D: _convolve,
    tf.keras.layers.LeakyReLU: _run_each_voxel,
    tf.keras.layers.Concatenate: _run_each_voxel,
    tf.keras.layers.GlobalAveragePooling3D: _pool,
    InstanceNormalization: _normalize,
    SqueezeExcitation3D: _excite,
    SpatialGradients: _run_each_voxel,
}


def _call(layer: tf.keras.layers.Layer, tensors: list[tf.Tensor]) -> tf.Tensor:
    return layer(tensors if len(tensors) > 1 else tensors[0])


def _whole(value: _Value) -> tf.Tensor:
    return value.whole() if isinstance(value, Maps) else value


def _beside_voxels(numbers: tf.Tensor) -> tf.Tensor:
    """(batch, C) to (batch, 1, 1, 1, C)."""
    return numbers[:, tf.newaxis, tf.newaxis, tf.newaxis, :]
