"""Writes the network's forward pass for a machine with a GPU, JAX and no TensorFlow.

XLA compiles for both, so the TensorFlow graph travels as StableHLO, one file a precision: how
exactly a convolution multiplies is an attribute of it, which nothing changes afterwards. Needs
``pip install jax`` beside this package on Python 3.12 or later, no GPU; gpu_time.py then measures.

    python benchmarks/gpu_export.py --preset paper --out exported
    python benchmarks/gpu_export.py --model saved_models/lungreg --out exported
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
import tensorflow as tf
from forward import convolution_operations
from jax.experimental import jax2tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tf_lungreg.errors import USER_ERRORS
from tf_lungreg.export import read_card, read_weights
from tf_lungreg.files import replacing_folder, write_json
from tf_lungreg.images.preparation import apply_window, window_limits
from tf_lungreg.models import build_registration_model, find_preset
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.phantom import make_subject

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
PLATFORMS = ("cpu", "cuda")
DESCRIPTION, PAIR = "export.json", "pair.npz"
FILES = (DESCRIPTION, PAIR, *(f"{name}.stablehlo" for name in PRECISIONS))
_STDDEV = 0.05  # of weights that begin at zero


def draw_weights(settings: dict) -> dict[str, np.ndarray]:
    """Weights of an untrained network by name, those of kernels that begin at zero drawn as well.

    With them at zero the grid is the identity, in any precision.

    Args:
        settings: arguments of :func:`tf_lungreg.models.build_registration_model`.
    """
    tf.keras.utils.set_random_seed(0)
    draw, weights = np.random.default_rng(0), {}
    for name, variable in named_weights(build_registration_model(**settings)).items():
        value = variable.numpy()
        if value.ndim > 1 and not value.any():
            value = draw.normal(0, _STDDEV, value.shape).astype(value.dtype)
        weights[name] = value
    return weights


def draw_pair(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Both phases of a patient of the phantom in [0, 1], (1, D, H, W, 1) each.

    Args:
        shape: D, H, W.
    """
    subject = make_subject(np.random.SeedSequence(0), "healthy", shape)
    pair = {}
    for name, phase in (("moving", "exhale"), ("fixed", "inhale")):
        image = subject.image_and_mask(phase)[0].astype(np.float32)
        pair[name] = apply_window(image, window_limits(image))[None, ..., None]
    return pair


def build_model(settings: dict, weights: dict, precision: str) -> tf.keras.Model:
    """The network in a precision, which also holds for what is traced of it from now on.

    Args:
        settings: arguments of :func:`tf_lungreg.models.build_registration_model`.
        weights: by name.
        precision: ``"float32"``, ``"tensorfloat32"`` (a GPU rounds what convolutions multiply to
            10 bits), or ``"bfloat16"`` (mixed precision; the convolutions that it leaves in
            float32 are as in tensorfloat32).
    """
    tf.config.experimental.enable_tensor_float_32_execution(precision != "float32")
    model = build_registration_model(**settings, mixed_precision=precision == "bfloat16")
    assign_weights(model, weights, "weights")
    return model


def frozen_pass(model: tf.keras.Model, shape: tuple[int, int, int]) -> Callable:
    """The function of moving and fixed, (1, D, H, W, 1) each, to warped and grid, weights inside.

    Weights that stay variables are refused for another platform.

    Args:
        model: a registration network.
        shape: D, H, W.
    """
    volume = tf.TensorSpec((1, *shape, 1), tf.float32)

    @tf.function
    def forward(moving, fixed):
        outputs = model({"moving": moving, "fixed": fixed}, training=False)
        return outputs["warped"], outputs["grid"]

    # XLA knows loops as functions only.
    return convert_variables_to_constants_v2(
        forward.get_concrete_function(volume, volume), lower_control_flow=False
    )


def serialize(function: Callable, shape: tuple[int, int, int]) -> bytes:
    """A TensorFlow function of two volumes as a JAX export, for the platforms.

    Args:
        function: of :func:`frozen_pass`.
        shape: D, H, W.
    """
    volume = jax.ShapeDtypeStruct((1, *shape, 1), np.float32)
    called = jax2tf.call_tf(lambda *pair: tuple(function(*pair)), has_side_effects=False)
    exported = jax.export.export(jax.jit(called), platforms=PLATFORMS)(volume, volume)
    return bytes(exported.serialize())


def export(out: Path, settings: dict, weights: dict, shape: tuple[int, int, int]) -> None:
    """Writes the folder that gpu_time.py reads.

    Args:
        out: the folder, replaced where it holds an earlier export.
        settings: see :func:`build_model`.
        weights: see :func:`build_model`.
        shape: D, H, W.
    """
    with replacing_folder(out, overwrite=True, names=FILES) as folder:
        for precision in PRECISIONS:
            model = build_model(settings, weights, precision)
            data = serialize(frozen_pass(model, shape), shape)
            (folder / f"{precision}.stablehlo").write_bytes(data)
        np.savez(folder / PAIR, **draw_pair(shape))
        description = {
            "preset": settings["preset"],
            "shape": list(shape),
            "operations": convolution_operations(model, (1, *shape)),
            "precisions": list(PRECISIONS),
            "tensorflow": tf.__version__,
        }
        write_json(folder / DESCRIPTION, description)


def main() -> None:
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--preset", default="paper", help="an untrained network (%(default)s)")
    which.add_argument("--model", type=Path, help="an exported model instead")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("D", "H", "W"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    options = parser.parse_args()
    try:
        if options.model is None:
            settings = {"preset": options.preset}
            weights = draw_weights(settings)
        else:
            card = read_card(options.model)["settings"]
            settings = {name: card[name] for name in ("preset", "affine", "deformable", "anchor")}
            weights = read_weights(options.model)
        shape = tuple(options.shape or find_preset(settings["preset"]).shape)
        export(options.out, settings, weights, shape)
    except USER_ERRORS as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(options.out)


if __name__ == "__main__":
    main()
