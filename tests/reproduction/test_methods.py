import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel
from tf_lungreg.images.geometry import DIRECTIONS
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import to_network
from tf_lungreg.inference.network_pass import run_network
from tf_lungreg.refinement.optimisation import refine
from tf_lungreg.reproduction import methods
from tf_lungreg.reproduction.baselines.result import BaselineResult, identity_grid
from tf_lungreg.reproduction.methods import baseline_spacing, make_methods


@pytest.fixture
def pair(tools, rng):
    """Volumes on unlike grids, their centres 20 mm and more apart."""
    frames = (
        tools.make_frame((12, 14, 13), (5.0, 4.0, 6.0), (10, 20, -30), (4, 8, -5)),
        tools.make_frame((13, 12, 15), (4.0, 5.0, 5.5), (-5, 32, -10), (9, 2, 3)),
    )
    return [Image(rng.normal(size=f.shape).astype(np.float32), f, "none") for f in frames]


def test_a_grid_becomes_a_displacement_in_the_world(pair, monkeypatch):
    steps = np.array([1.5, -2.0, 0.25])  # voxels along D, H, W
    given = []

    def shifting(fixed, moving, spacing):
        given.append((fixed, moving, spacing))
        return BaselineResult(identity_grid(fixed.shape) + steps.astype(np.float32), 12.5)

    monkeypatch.setattr(methods, "find_baseline", {"syn": shifting}.__getitem__)
    (method,) = make_methods(["syn"], {}, spacing=(6.0, 7.0, 8.0))
    field, seconds = method.register(*pair)
    assert seconds == 12.5 and method.slow and method.card is None
    assert field.frame is pair[0].frame
    # A step along D is towards the back, -y; along H down, -z; along W to the left, -x.
    expected = DIRECTIONS @ (steps * [6, 7, 8]) + pair[1].frame.center - pair[0].frame.center
    np.testing.assert_allclose(field.data, np.broadcast_to(expected, field.data.shape), atol=1e-3)
    fixed, moving, spacing = given[0]
    assert spacing == (6.0, 7.0, 8.0) and fixed.shape == moving.shape
    frames = network_frame(pair[0].frame, pair[1].frame, (6.0, 7.0, 8.0))
    for volume, expected, frame in zip((fixed, moving), pair, frames):
        np.testing.assert_array_equal(volume, to_network(expected, frame))
    assert fixed.dtype == np.float32 and 0 <= fixed.min() < fixed.max() <= 1
    assert method.identity != make_methods(["syn"], {})[0].identity


def test_baselines_are_no_finer_than_the_paper_or_the_image(tools):
    fine = tools.make_frame((9, 9, 9), (1.0, 5.0, 2.0), (0, 0, 0))
    assert baseline_spacing(fine) == pytest.approx((3.75, 5.0, 3.21))


def turning_model(calls):
    """A model whose pass is counted: an affine and spatial gradients of its own."""
    matrix = tf.constant([[[1.02, 0.05, 0, 0.1], [-0.04, 0.97, 0, 0], [0, 0, 1.0, -0.2]]])

    def call(moving, fixed):
        calls.append(tuple(fixed.shape))
        gradients = 1 + 0.2 * (fixed - tf.reduce_mean(fixed)) * tf.ones((1, 1, 1, 1, 3))
        grid = ops.compose(
            ops.affine_grid(matrix, tf.shape(fixed)[1:4]), ops.integrate(gradients, "ends")
        )
        return {
            "warped": ops.warp(moving, grid),
            "grid": grid,
            "affine": matrix,
            "spatial_gradients": gradients,
        }

    settings = {"spacing": [8.0, 9.0, 10.0], "anchor": "ends"}
    return ExportedModel("known", {"settings": settings}, {}, {"serving_default": call})


def test_a_model_is_traced_before_it_is_timed(pair, monkeypatch):
    calls = []
    model = turning_model(calls)
    monkeypatch.setattr(methods, "load_model", lambda path: model)
    (method,) = make_methods([], {"mine": "somewhere"})
    assert not method.slow and method.card is model.card
    field, seconds = method.register(*pair)
    assert len(calls) == 2 and 0 < seconds < 60
    method.register(*pair)
    assert len(calls) == 3
    expected = run_network(model, *pair).transform.on(pair[0].frame)
    np.testing.assert_allclose(field.data, expected.data, atol=1e-5)
    assert field.data.std() > 1


def test_a_row_is_refined(pair, monkeypatch):
    model = turning_model([])
    monkeypatch.setattr(methods, "load_model", lambda path: model)
    plain, refined = make_methods([], {"a": "x", "b": "x"}, refine={"b": 3})
    assert refined.slow and not plain.slow and refined.identity != plain.identity
    field, _ = refined.register(*pair)
    expected, _ = refine(run_network(model, *pair), *pair, 3)
    np.testing.assert_allclose(field.data, expected.transform.on(pair[0].frame).data, atol=1e-4)


@pytest.mark.parametrize(("rows", "message"), [({"c": 3}, "no model's row"), ({"b": 0}, "1 step")])
def test_what_cannot_be_refined(rows, message, monkeypatch):
    monkeypatch.setattr(methods, "load_model", lambda path: turning_model([]))
    with pytest.raises(InputError, match=f"--refine: .*{message}"):
        make_methods([], {"b": "x"}, refine=rows)


def test_rows_come_in_the_order_asked_for(monkeypatch):
    monkeypatch.setattr(methods, "find_baseline", lambda name: None)
    monkeypatch.setattr(methods, "load_model", lambda path: turning_model([]))
    models = {"proposed": "a", "more": "b"}
    rows = make_methods(["proposed", "syn", "unregistered"], models)
    assert [row.name for row in rows] == ["proposed", "syn", "unregistered", "more"]
    assert [row.slow for row in rows] == [False, True, False, False]


@pytest.mark.parametrize(
    ("names", "models", "message"),
    [
        (["proposed"], {}, "--models proposed=PATH"),
        (["nonsense"], {}, "unknown method 'nonsense'.*unregistered, syn.*proposed-no-affine"),
        (["syn", "syn"], {}, "named twice"),
        ([], {"syn": "x"}, "a baseline's name"),
        ([], {"a/b": "x"}, "file's name"),
        ([], {}, "one method at least"),
    ],
)
def test_names_that_cannot_be(names, models, message):
    with pytest.raises(InputError, match=message):
        make_methods(names, models)


def test_other_weights_are_another_model(monkeypatch):
    models = [turning_model([]) for _ in range(3)]
    models[0].weights["a"] = np.ones(3)
    models[1].weights["a"] = np.ones(3)
    models[2].weights["a"] = np.full(3, 1.5)
    monkeypatch.setattr(methods, "load_model", lambda path: models[int(path)])
    identities = [make_methods([], {"m": str(i)})[0].identity for i in range(3)]
    assert identities[0] == identities[1] != identities[2]
