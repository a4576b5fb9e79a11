import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError
from tf_lungreg.export import read_weights
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import to_network
from tf_lungreg.inference.default_model import pretrained_model
from tf_lungreg.models import build_registration_model, encoder_decoder, find_preset, presets
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.pretraining.fine_levels import correction_model

CT = Path(__file__).parents[1] / "ct"
SHAPE = (16, 24, 20)
OUTPUTS = {
    "warped": (2, *SHAPE, 1),
    "grid": (2, *SHAPE, 3),
    "affine": (2, 3, 4),
    "spatial_gradients": (2, *SHAPE, 3),
}


@pytest.fixture
def pair(rng):
    return {
        name: tf.constant(rng.uniform(size=(2, *SHAPE, 1)).astype(np.float32))
        for name in ("moving", "fixed")
    }


@pytest.fixture
def large_pair(pair):
    """With a margin that the finer levels leave out."""
    return {name: np.pad(v, [(0, 0), *[(8, 8)] * 3, (0, 0)], "edge") for name, v in pair.items()}


def disturb(model, scale=0.05):
    """Gives the zero-initialised last layers weights, so that the model moves something."""
    for name in ("gradient_logits", "affine_parameters"):
        if name in [layer.name for layer in model.layers]:
            kernel = model.get_layer(name).kernel
            kernel.assign(tf.random.stateless_normal(kernel.shape, (1, 2), stddev=scale))
    return model


def test_general_has_the_same_outputs_and_branches(pair):
    """It is no identity when untrained: random features match somewhere."""
    for affine, deformable in ((True, True), (False, True), (True, False)):
        outputs = build_registration_model("general", affine, deformable)(pair)
        assert {name: tuple(v.shape) for name, v in outputs.items()} == OUTPUTS
        assert all(np.isfinite(value).all() for value in outputs.values())
        moved = np.abs(outputs["affine"] - np.eye(3, 4)).max()
        stretched = np.abs(outputs["spatial_gradients"] - 1).max()
        assert (moved > 0) == affine and (stretched > 1e-5) == deformable


def test_fine_has_the_same_outputs_and_branches(large_pair):
    pair = large_pair
    for affine, deformable in ((True, True), (False, True), (True, False)):
        outputs = build_registration_model("fine", affine, deformable)(pair)
        assert {name: v.shape[-1] for name, v in outputs.items()} == {
            name: shape[-1] for name, shape in OUTPUTS.items()
        }
        assert outputs["grid"].shape[:4] == pair["fixed"].shape[:4]
        assert all(np.isfinite(value).all() for value in outputs.values())
        moved = np.abs(outputs["affine"] - np.eye(3, 4)).max()
        stretched = np.abs(outputs["spatial_gradients"] - 1).max()
        assert (moved > 0) == affine and (stretched > 1e-5) == deformable


def test_the_levels_of_fine_begin_by_correcting_nothing(large_pair):
    """Untrained, they hand on what the comparison of features found, on finer voxels."""
    pair = large_pair
    model = build_registration_model("fine")
    names = ("fine_sum", "full_displacement_2", "displacement")
    outputs = {name: model.get_layer(name).output for name in names}
    found = tf.keras.Model(model.inputs, outputs)(pair)
    coarse = found["fine_sum"]  # of blocks of four voxels, in blocks
    assert coarse.shape == (2, 8, 10, 9, 3) and np.abs(coarse).max() > 0.1
    halves = 2 * ops.upsample(coarse)[:, 4:-4, 4:-4, 4:-4]
    expected = 2 * ops.upsample(halves)
    np.testing.assert_allclose(found["full_displacement_2"], expected, atol=1e-5)
    sides = [(0, 0), *[(8, 8)] * 3, (0, 0)]
    np.testing.assert_allclose(found["displacement"], np.pad(expected, sides, "edge"), atol=1e-5)


def test_the_levels_of_fine_correct_what_they_are_given(pair):
    """Alone, as they are trained, they have the weights that the whole network has."""
    levels, whole = correction_model(), build_registration_model("fine")
    own = named_weights(levels)
    assert own and set(own) < set(named_weights(whole))
    start = tf.ones((2, *(n // 2 for n in SHAPE), 3)) * 0.25
    shifts = levels({**pair, "start": start})
    assert [tuple(s.shape[1:4]) for s in shifts] == [tuple(start.shape[1:4])] * 3 + [SHAPE] * 2
    for shift, expected in zip(shifts, [0.25] * 3 + [0.5] * 2):
        np.testing.assert_allclose(shift, expected, atol=1e-6)


def test_a_second_pass_reaches_farther_than_the_first_compares(monkeypatch):
    """A patient's CT and the same moved by 15 voxels, where the comparison ends at 12."""
    image = Image.read(CT / "popi_inhale.nii.gz", AXIS_CODES)
    (frame, _) = network_frame(image.frame, image.frame, (5, 5, 5), margin=4)
    seen = to_network(image, frame, "auto")
    axis, shift = 2, 15
    pair = {"fixed": seen, "moving": np.roll(seen, shift, axis)}
    pair = {name: tf.constant(volume[None, ..., None]) for name, volume in pair.items()}
    errors = []
    for passes in (1, 2):
        sizes = dataclasses.replace(presets.PRESETS["general"].network, passes=passes)
        preset = dataclasses.replace(presets.PRESETS["general"], network=sizes)
        monkeypatch.setitem(presets.PRESETS, "general", preset)
        model = build_registration_model("general", deformable=False)
        weights = read_weights(pretrained_model("general"))
        assign_weights(model, {n: weights[n] for n in named_weights(model)}, "test")
        moved = model(pair)["grid"][0, ..., axis] - np.arange(seen.shape[axis])
        errors.append(np.abs(moved - shift).mean())
    assert errors[1] < 0.5 * errors[0], errors


@pytest.mark.parametrize("preset", ("general", "fine"))
def test_it_takes_sizes_that_are_no_multiple_of_its_blocks(rng, preset):
    volumes = rng.uniform(size=(2, 1, 33, 38, 35, 1)).astype(np.float32)
    outputs = build_registration_model(preset)({"moving": volumes[0], "fixed": volumes[1]})
    assert outputs["grid"].shape == (1, 33, 38, 35, 3)
    assert np.isfinite(outputs["warped"]).all()


@pytest.mark.parametrize("affine, deformable", [(True, True), (False, True), (True, False)])
def test_untrained_it_is_the_identity(pair, affine, deformable):
    model = build_registration_model("small", affine, deformable)
    outputs = model(pair)
    assert {name: tuple(v.shape) for name, v in outputs.items()} == OUTPUTS
    np.testing.assert_allclose(outputs["warped"], pair["moving"], atol=1e-5)
    np.testing.assert_allclose(outputs["spatial_gradients"], 1, atol=1e-5)
    expected = np.broadcast_to(np.eye(3, 4), (2, 3, 4))
    np.testing.assert_allclose(outputs["affine"], expected, atol=1e-5)
    assert set(model.output_names) == set(OUTPUTS)
    assert set(OUTPUTS) <= {layer.name for layer in model.layers}


def test_the_branches_do_what_they_say(pair):
    from tf_lungreg import ops

    both = disturb(build_registration_model("small"))(pair)
    identity = np.eye(3, 4)
    assert np.abs(both["affine"] - identity).max() > 1e-3
    assert np.abs(both["spatial_gradients"] - 1).max() > 1e-2
    composed = ops.compose(
        ops.affine_grid(both["affine"], SHAPE), ops.integrate(both["spatial_gradients"], "ends")
    )
    np.testing.assert_allclose(both["grid"], composed, atol=1e-4)
    np.testing.assert_allclose(both["warped"], ops.warp(pair["moving"], both["grid"]), atol=1e-5)

    linear = disturb(build_registration_model("small", deformable=False))(pair)
    np.testing.assert_array_equal(linear["spatial_gradients"], np.ones((2, *SHAPE, 3)))
    np.testing.assert_allclose(linear["grid"], ops.affine_grid(linear["affine"], SHAPE), atol=1e-4)
    smooth = disturb(build_registration_model("small", affine=False, anchor="corner"))(pair)
    np.testing.assert_array_equal(smooth["affine"], np.broadcast_to(identity, (2, 3, 4)))
    expected = ops.integrate(smooth["spatial_gradients"], "corner")
    np.testing.assert_allclose(smooth["grid"], expected, atol=1e-4)


def test_the_paper_network_has_the_papers_counts():
    model = build_registration_model("paper")
    encoder = [model.get_layer(f"encoder_{n}") for n in range(1, 6)]
    assert [layer.filters for layer in encoder] == [32, 64, 128, 32, 32]
    assert {layer.kernel_size for layer in encoder} == {(3, 3, 3)}
    assert model.get_layer("merged").output.shape[-1] == 290
    assert model.get_layer("affine_parameters").units == 12
    assert model.count_params() == 1_769_027


def test_the_encoders_receptive_field_is_25_voxels(monkeypatch):
    """By the footprint of a voxel's gradient; instance statistics would reach everywhere."""
    monkeypatch.setattr(
        encoder_decoder,
        "instance_normalization",
        lambda name: tf.keras.layers.Activation("linear", name=name),
    )
    moving, fixed = (tf.keras.Input((None, None, None, 1)) for _ in range(2))
    narrow = find_preset("small")
    assert narrow.network.dilations == find_preset("paper").network.dilations
    features = encoder_decoder._encode(moving, fixed, narrow.network)
    encoder = tf.keras.Model([moving, fixed], features)
    inputs = tf.random.normal((1, 33, 33, 33, 1))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(encoder([inputs, inputs])[0, 16, 16, 16] ** 2)
    footprint = np.abs(tape.gradient(total, inputs)[0, ..., 0]) > 0
    for axis in range(3):
        reached = np.flatnonzero(footprint.any(axis=tuple(a for a in range(3) if a != axis)))
        assert (reached[0], reached[-1]) == (16 - 12, 16 + 12)


def test_any_size_and_the_compiled_graph_agree(rng):
    model = disturb(build_registration_model("small"))
    graph = tf.function(model, reduce_retracing=True)
    for shape in ((8, 16, 24), (17, 9, 11)):
        volumes = {n: tf.random.uniform((1, *shape, 1)) for n in ("moving", "fixed")}
        eager, traced = model(volumes), graph(volumes)
        for name in OUTPUTS:
            np.testing.assert_allclose(eager[name], traced[name], atol=1e-4)


def test_mixed_precision_keeps_grids_in_full(pair):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        outputs = disturb(build_registration_model("small"))(pair)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert {v.dtype for v in outputs.values()} == {tf.float32}
    assert np.isfinite(outputs["grid"]).all()


def test_weights_travel_by_name(pair):
    one, other = disturb(build_registration_model("small")), build_registration_model("small")
    values = {name: v.numpy() for name, v in named_weights(one).items()}
    assign_weights(other, values, "here")
    np.testing.assert_allclose(other(pair)["grid"], one(pair)["grid"], atol=1e-5)
    with pytest.raises(InputError, match="here"):
        assign_weights(build_registration_model("small", affine=False), values, "here")


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"preset": "huge"}, "paper, small"),
        ({"affine": False, "deformable": False}, "at least one"),
        ({"preset": "small", "anchor": "top"}, "anchor"),
    ],
)
def test_unusable_arguments_are_named(arguments, word):
    with pytest.raises(InputError, match=word):
        build_registration_model(**arguments)
