"""Gradient checkpointing: the paper's network keeps few maps for the backward pass.

Of every convolution, its normalization and its LeakyReLU only the last map is kept; what lies
between two of them, a segment, is computed once more when its gradients are due. The segments are
cut out of the functional model and share its layers, so that there is one network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

_IMAGES = ("moving", "fixed")


class _RecomputingModel(tf.keras.Model):
    """A functional model that is run by ``self.run``, a function of its inputs."""

    def call(
        self, inputs: dict[str, tf.Tensor], training: object = None, mask: object = None
    ) -> dict[str, tf.Tensor]:
        """The model's outputs; no layer of it depends on ``training``."""
        return self.run(inputs)


def recomputing(model: tf.keras.Model) -> tf.keras.Model:
    """The same model, with the same layers, that computes maps again in its backward pass.

    The outputs and gradients stay the same. ``layer.output`` of the layers is ambiguous
    afterwards, because the segments call them too.

    Args:
        model: of :mod:`tf_lungreg.models.encoder_decoder`, ended by its grids.
    """
    names = [layer.name for layer in model.layers]
    steps, last = _cut(names)
    kept = {name: model.get_layer(name).output for name in (*_IMAGES, *(end for _, end in steps))}
    segments = [(needs, end, _segment(kept, needs, kept[end])) for needs, end in steps]
    outputs = model.output
    final = _segment(kept, last, outputs)

    def run(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        maps = {name: inputs[name] for name in _IMAGES}
        for needs, end, segment in segments:
            maps[end] = tf.recompute_grad(segment)(*(maps[name] for name in needs))
        return final(*(maps[name] for name in last))

    same = _RecomputingModel({name: kept[name] for name in _IMAGES}, outputs, name=model.name)
    same.run = run
    return same


def _cut(names: Sequence[str]) -> tuple[list[tuple[Sequence[str], str]], list[str]]:
    """The segments, each the layers it needs and the one it ends in; what follows needs the last.

    Args:
        names: of the model's layers, in the order in which they are computed.
    """
    encoder, decoder = (
        [name for name in names if re.fullmatch(rf"{part}_\d+_relu", name)]
        for part in ("encoder", "decoder")
    )
    merged = [*_IMAGES, *encoder]
    steps: list[tuple[Sequence[str], str]] = []
    for needs, ends in ((_IMAGES, encoder), (merged, decoder)):
        for end in ends:
            steps.append((needs, end))
            needs = (end,)
    return steps, [*(merged if "affine_parameters" in names else _IMAGES), *decoder[-1:]]


def _segment(kept: dict[str, tf.Tensor], needs: Sequence[str], outputs: Any) -> Callable[..., Any]:
    """A function from the maps of the layers that are needed to the outputs."""
    model = tf.keras.Model([kept[name] for name in needs], outputs)
    return lambda *maps: model(list(maps))
