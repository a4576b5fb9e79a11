"""Convolutions in bfloat16: what leaves the network, its weights and its export stay float32."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.cli import main
from tf_lungreg.export import load_model, read_weights
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import to_network
from tf_lungreg.inference.default_model import pretrained_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import assign_weights

CT = Path(__file__).parents[1] / "ct"


def test_the_trained_models_grid_is_that_of_float32_along_192_voxels():
    """On the CT of a patient; that the rest of the grid is farther off is in docs/devices.md."""
    images = [Image.read(CT / f"popi_{phase}.nii.gz", AXIS_CODES) for phase in ("inhale", "exhale")]
    frames = network_frame(*(image.frame for image in images), spacing=(5, 5, 2.7), margin=4)
    pair = {
        name: tf.constant(to_network(image, frame, "auto")[None, ..., None])
        for name, image, frame in zip(("fixed", "moving"), images, frames)
    }
    weights = read_weights(pretrained_model("general"))
    full, mixed = (build_registration_model("general", mixed_precision=m) for m in (False, True))
    for model in (full, mixed):
        assign_weights(model, weights, "test")
    expected, found = full(pair), mixed(pair)
    assert expected["grid"].shape[3] >= 180
    error = np.abs(found["grid"] - expected["grid"])
    assert 0 < np.quantile(error, 0.999) < 0.05 and error.max() < 0.2  # voxels


@pytest.mark.parametrize("preset", ["small", "fast"])
def test_the_outputs_and_the_weights_of_a_random_model_are_float32(rng, share_weights, preset):
    """The weights are random where they begin at zero, and move the grid by some voxels."""
    full, mixed = (build_registration_model(preset, mixed_precision=m) for m in (False, True))
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    share_weights((full, mixed), scale=0.01)
    pair = {name: tf.constant(smooth(rng), tf.float32) for name in ("moving", "fixed")}
    expected, found = full(pair), mixed(pair)
    assert np.abs(expected["grid"] - identity((8, 8, 192))).max() > 2
    assert 0 < np.abs(found["grid"] - expected["grid"]).mean() < 0.01  # voxels
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert {tf.as_dtype(weight.dtype) for weight in mixed.weights} == {tf.float32}


def test_convolutions_are_in_bfloat16_and_what_follows_is_not():
    model = build_registration_model("small", mixed_precision=True)
    types = {layer.name: layer.compute_dtype for layer in model.layers}
    for name in ("encoder_1", "encoder_5", "decoder_1", "decoder_5"):
        assert types[name] == "bfloat16" and types[f"{name}_norm"] == "float32"
    last = ("gradient_logits", "spatial_gradients", "deformable_grid", "affine_grid", "grid")
    assert {types[name] for name in (*last, "affine_parameters", "affine", "warped")} == {"float32"}


@pytest.mark.long
def test_a_training_records_it_and_exports_float32(cohort, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = ["--epochs", "1", "--steps", "2", "--name", "half"]
    words = ["train", "--cohort", str(cohort), "--preset", tiny, *counts]
    assert main([*words, "--mixed-precision"]) == 0
    record = json.loads((tmp_path / "runs" / "half" / "metrics.json").read_text(encoding="utf-8"))
    model = load_model(tmp_path / "saved_models" / "lungreg")
    assert record["settings"]["mixed_precision"] and model.card["settings"]["mixed_precision"]
    types = [
        function.graph.as_graph_def().SerializeToString()
        for function in tf.saved_model.load(str(model.path)).signatures.values()
    ]
    assert types and not any(b"bfloat16" in graph or b"DT_BFLOAT16" in graph for graph in types)
    assert {value.dtype for value in model.weights.values()} == {np.dtype(np.float32)}


def smooth(rng):
    """A volume (1, 8, 8, 192, 1) in [0, 1] whose structures are some voxels wide."""
    coarse = rng.uniform(size=(1, 3, 3, 48, 1)).astype(np.float32)
    for axis, size in ((1, 8), (2, 8), (3, 192)):
        at = np.linspace(0, coarse.shape[axis] - 1, size)
        low = np.minimum(at.astype(int), coarse.shape[axis] - 2)
        share = (at - low).reshape([-1 if n == axis else 1 for n in range(5)])
        below, above = (np.take(coarse, low + n, axis) for n in (0, 1))
        coarse = below * (1 - share) + above * share
    return coarse


def identity(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)[None]
