"""A SavedModel is a program: what it could do is read before it is loaded."""

import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.export.operations import check_operations
from tf_lungreg.inference.default_model import pretrained_model


@pytest.fixture
def version(exported, tmp_path):
    """A copy of the model."""
    return shutil.copytree(exported.version, tmp_path / "1")


def change(version, edit):
    file = version / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    edit(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())


def function(meta, word):
    (each,) = (f for f in meta.graph_def.library.function if word in f.signature.name)
    return each


def test_this_packages_models_are_allowed(exported):
    check_operations(exported.version)
    versions = [p.parent for p in pretrained_model().glob("*/saved_model.pb")]
    assert versions
    for version in versions:
        check_operations(version)


def test_a_model_that_writes_a_file_is_refused_before_it_runs(tmp_path):
    mark = tmp_path / "mark"

    class Evil(tf.Module):
        @tf.function(input_signature=[])
        def act(self):
            tf.io.write_file(str(mark), tf.io.read_file("/etc/hostname"))
            return {"done": tf.constant(1)}

    evil = Evil()
    tf.saved_model.save(evil, str(tmp_path / "1"), {"serving_default": evil.act})
    mark.unlink(missing_ok=True)
    with pytest.raises(InputError, match="ReadFile, WriteFile.*trust=True.*--trust") as caught:
        check_operations(tmp_path / "1")
    assert "\n" not in str(caught.value) and not mark.exists()


@pytest.mark.parametrize("operation", ["ReadFile", "PyFunc", "RestoreV2", "NobodyKnowsMe"])
@pytest.mark.parametrize("where", ["graph", "register"])
def test_an_operation_is_found_wherever_it_stands(version, operation, where):
    def edit(meta):
        graph = meta.graph_def
        nodes = graph.node if where == "graph" else function(meta, "signature_wrapper_register")
        (nodes if where == "graph" else nodes.node_def).add(name="evil", op=operation)

    change(version, edit)
    with pytest.raises(InputError, match=f"holds {operation}, which"):
        load_model(version)


def test_the_savers_functions_are_the_savers_alone(version):
    def edit(meta):
        node = meta.graph_def.node.add(name="evil", op="StatefulPartitionedCall")
        node.attr["f"].func.name = function(meta, "traced_save").signature.name

    change(version, edit)
    with pytest.raises(InputError, match="SaveV2"):
        load_model(version)


def test_the_saver_reads_the_models_own_files(version):
    def edit(meta):
        for node in function(meta, "traced_restore").node_def:
            if node.op == "RestoreV2":
                node.input[0] = "elsewhere:output:0"

    change(version, edit)
    with pytest.raises(InputError, match="RestoreV2"):
        load_model(version)


def test_who_trusts_a_model_loads_it(version):
    def edit(meta):
        node = meta.graph_def.node.add(name="odd", op="Timestamp")
        node.attr["_output_shapes"].list.shape.add()

    change(version, edit)
    with pytest.raises(InputError, match="Timestamp"):
        load_model(version)
    assert load_model(version, trust=True).card


def test_a_file_that_is_none(version):
    (version / "saved_model.pb").write_bytes(b"nothing")
    with pytest.raises(InputError, match="saved_model.pb cannot be read"):
        check_operations(version)
