"""The graph that is exported, run as TensorFlow Serving runs it: a session that feeds tensors."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from tf_lungreg.errors import InputError
from tf_lungreg.export import export_model, load_model, read_card

NEEDS_PYTHON = {"PyFunc", "EagerPyFunc", "PyFuncStateless"}


@pytest.fixture
def session():
    """Loads a model into a session; the feeds are not compared with the signatures' shapes."""
    with contextlib.ExitStack() as stack:

        def load(exported):
            with tf.Graph().as_default() as graph:
                session = tf.compat.v1.Session(graph=graph)
                stack.callback(session.close)
                load = tf.compat.v1.saved_model.load
                signatures = load(session, ["serve"], str(exported.version)).signature_def

            def run(signature, **inputs):
                definition = signatures[signature]
                assert set(definition.inputs) == set(inputs)
                options = config_pb2.CallableOptions(
                    feed=[definition.inputs[name].name for name in inputs],
                    fetch=[info.name for info in definition.outputs.values()],
                )
                values = session._make_callable_from_options(options)(*inputs.values())
                return dict(zip(definition.outputs, values))

            return run

        yield load


@pytest.fixture
def serve(exported, session):
    """Runs a signature of the exported model."""
    return session(exported)


@pytest.fixture
def pair(rng):
    return {n: rng.uniform(size=(2, 9, 17, 12, 1)).astype(np.float32) for n in ("moving", "fixed")}


def test_a_session_gives_the_models_outputs(exported, serve, pair):
    found = serve("serving_default", **pair)
    expected = exported.model({k: tf.constant(v) for k, v in pair.items()})
    assert set(found) == {"warped", "grid", "affine", "spatial_gradients"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-5, atol=1e-5)


def test_the_card_comes_as_json(exported, serve):
    file = exported.version / "assets.extra" / "model_card.json"
    first, second = serve("card", query=np.zeros(2, np.int32))["card"]
    assert first == second
    assert json.loads(first) == json.loads(file.read_text(encoding="utf-8"))


def broken(pair, how):
    moving, fixed = pair["moving"], pair["fixed"].copy()
    if how in ("nan", "inf"):
        fixed[1, 3, 4, 5, 0] = float(how)
    if how in ("hounsfield", "z-scores"):
        low, high = {"hounsfield": (-1000, 300), "z-scores": (-2, 2)}[how]
        moving = (low + (high - low) * moving).astype(np.float32)
    if how == "255":
        fixed[0] *= 255  # of a batch one volume is enough
    return {
        "other shape": {"moving": moving, "fixed": fixed[:, :, :9]},
        "other batch": {"moving": moving, "fixed": fixed[:1]},
        "no channel": {"moving": moving[..., 0], "fixed": fixed[..., 0]},
        "two channels": {k: np.repeat(v, 2, axis=-1) for k, v in pair.items()},
        "empty": {k: v[:, :0] for k, v in pair.items()},
    }.get(how, {"moving": moving, "fixed": fixed})


@pytest.mark.parametrize(
    "how, word",
    [
        ("nan", "fixed: not all values are finite"),
        ("inf", "fixed: not all values are finite"),
        ("other shape", "one shape is needed"),
        ("other batch", "one shape is needed"),
        ("no channel", "expected shape"),
        ("two channels", "expected shape"),
        ("empty", "every axis needs a voxel"),
        ("hounsfield", r"moving: intensities in \[0, 1\] are needed.*\[-9\d\d[.\d]*\] \[to\] \[29"),
        ("z-scores", r"moving: intensities in \[0, 1\] are needed"),
        ("255", r"fixed: intensities in \[0, 1\] are needed"),
    ],
)
def test_the_graph_itself_refuses_what_it_cannot_register(serve, pair, how, word):
    with pytest.raises(tf.errors.InvalidArgumentError, match=word):
        serve("serving_default", **broken(pair, how))
    assert np.isfinite(serve("serving_default", **pair)["warped"]).all()


def test_the_overshoot_of_a_spline_is_taken(serve, rng):
    cube = np.zeros((1, 12, 12, 12, 1), np.float32)
    cube[:, 3:9, 3:9, 3:9] = 1
    places = rng.uniform(2, 9, (3, 12, 12, 12))
    moving = ndimage.map_coordinates(cube[0, ..., 0], places, order=3)[None, ..., None]
    assert moving.max() > 1.2
    outputs = serve("serving_default", moving=moving.astype(np.float32), fixed=cube)
    assert np.isfinite(outputs["grid"]).all()


@pytest.mark.parametrize("signature", ["warp", "warp_labels"])
def test_sampling_refuses_what_does_not_fit(serve, rng, signature):
    kind = np.int64 if signature == "warp_labels" else np.float32
    volume = rng.uniform(size=(2, 5, 6, 7, 1)).astype(kind)
    grid = rng.uniform(0, 4, (2, 3, 4, 5, 3)).astype(np.float32)
    assert serve(signature, volume=volume, grid=grid)["warped"].shape == (2, 3, 4, 5, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one batch size is needed"):
        serve(signature, volume=volume, grid=grid[:1])
    grid[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="grid: not all values are finite"):
        serve(signature, volume=volume, grid=grid)


@pytest.fixture
def limited(exported, tmp_path):
    """The model with a limit of 5000 voxels."""
    return SimpleNamespace(version=export_model(exported.model, tmp_path / "m", {}, voxels=5000))


def refuse(serve, word, signature, **inputs):
    with pytest.raises(tf.errors.InvalidArgumentError, match=word):
        serve(signature, **inputs)


@pytest.mark.parametrize("shape", [(10**6,), (65,), (8, 8), ()])
def test_a_query_is_short(serve, shape):
    refuse(serve, "at most 64 values|expected shape", "card", query=np.zeros(shape, np.int32))
    assert len(serve("card", query=np.zeros(64, np.int32))["card"]) == 64


def test_a_request_has_as_many_voxels_as_the_card_says(limited, session):
    assert read_card(limited.version)["limits"] == {"voxels": 5000}
    serve = session(limited)
    most, more = (np.zeros((1, 10, 20, n, 1), np.float32) for n in (25, 26))
    assert serve("serving_default", moving=most, fixed=most)["grid"].shape == (1, 10, 20, 25, 3)
    refuse(serve, "at most 5000 voxels", "serving_default", moving=more, fixed=most)
    refuse(serve, "at most 5000 voxels", "serving_default", moving=most, fixed=more)
    batch = np.zeros((2, 10, 20, 13, 1), np.float32)
    refuse(serve, r"of a batch.*\[5200\]", "serving_default", moving=batch, fixed=batch)
    for signature, kind in (("warp", np.float32), ("warp_labels", np.int64)):
        volume = np.zeros((1, 10, 20, 100, 1), kind)  # four times the voxels of a grid
        grid, larger = (np.zeros((*v.shape[:4], 3), np.float32) for v in (most, more))
        assert serve(signature, volume=volume, grid=grid)["warped"].shape == most.shape
        refuse(serve, "grid: at most 5000", signature, volume=volume, grid=larger)
        volume = np.zeros((1, 10, 20, 101, 1), kind)
        refuse(serve, "volume: at most 20000", signature, volume=volume, grid=grid)


def test_the_limit_is_the_cards_unless_another_is_given(exported, limited, tmp_path):
    assert read_card(exported.version)["limits"] == {"voxels": 32_000_000}
    card = read_card(limited.version)
    again = export_model(exported.model, tmp_path / "m", card)
    assert read_card(again)["limits"] == {"voxels": 5000}
    with pytest.raises(InputError, match="max-voxels: 4096 or more are needed, not 0"):
        export_model(exported.model, tmp_path / "m", card, voxels=0)


def read_graph(exported):
    file = exported.version / "saved_model.pb"
    return saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs[0]


def test_every_operation_is_tensorflows_own(exported):
    graph = read_graph(exported).graph_def
    functions = {f.signature.name for f in graph.library.function}
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    operations = {node.op for node in nodes} - functions
    assert "Conv3D" in operations and "CheckNumerics" in operations
    own = {name for name in dir(tf.raw_ops) if not name.startswith("_")}
    assert operations <= own, operations - own
    assert not operations & NEEDS_PYTHON
    assert not [name for name in operations if name.startswith("Xla")]
    compiled = [n.name for n in nodes if n.attr["_XlaMustCompile"].b]
    compiled += [f.signature.name for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert compiled == []


def test_batch_and_extent_are_free(exported):
    signatures = read_graph(exported).signature_def
    for name in ("moving", "fixed"):
        shape = tf.TensorShape(signatures["serving_default"].inputs[name].tensor_shape)
        assert shape.as_list() == [None, None, None, None, 1]


def test_no_gradients_travel_and_loading_says_nothing_of_them(exported, caplog):
    names = [f.signature.name for f in read_graph(exported).graph_def.library.function]
    assert [name for name in names if "register" in name]
    assert not [name for name in names if "grad_fn" in name]
    load_model(exported.version)
    assert "gradient" not in caplog.text
