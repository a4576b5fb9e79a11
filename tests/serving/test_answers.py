"""What another server, or another model, may answer: one line, and nothing is made of it."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tf_lungreg.errors import InputError
from tf_lungreg.serving.answers import ALL, read_card, read_registration

SHAPE = (1, 4, 5, 6)


def answer(**changes):
    outputs = {name: np.zeros((*SHAPE, 3), np.float32) for name in ("grid", "spatial_gradients")}
    outputs["warped"] = np.zeros((*SHAPE, 1), np.float32)
    outputs["affine"] = np.zeros((1, 3, 4), np.float32)
    response = predict_pb2.PredictResponse()
    for name, value in {**outputs, **changes}.items():
        if value is not None:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


def test_what_was_asked_for_is_read():
    found = read_registration(answer(other=np.zeros(3)), ALL, SHAPE)
    assert set(found) == set(ALL) and found["grid"].shape == (*SHAPE, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ALL)
def test_values_that_are_not_finite(name, value):
    bad = tf.make_ndarray(answer().outputs[name]).copy()
    bad.flat[1] = value
    with pytest.raises(InputError, match=f"1 values in {name} that are not finite"):
        read_registration(answer(**{name: bad}), ALL, SHAPE)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"affine": None}, "without 'affine', with grid"),
        ({"affine": np.zeros((1, 4, 4), np.float32)}, r"affine as float32 of \(1, 4, 4\)"),
        ({"grid": np.zeros((1, 4, 5, 5, 3), np.float32)}, "grid as float32"),
        ({"warped": np.zeros((*SHAPE, 1))}, "warped as float64"),
        ({"warped": np.array(["a", "b"])}, "warped as object"),
    ],
)
def test_outputs_that_are_none(changes, words):
    with pytest.raises(InputError, match=words):
        read_registration(answer(**changes), ALL, SHAPE)


def test_a_tensor_that_cannot_be_read():
    response = answer()
    response.outputs["grid"].tensor_content = b"12345"
    with pytest.raises(InputError, match="grid that cannot be read"):
        read_registration(response, ALL, SHAPE)
    response.outputs["grid"].dtype = 20
    with pytest.raises(InputError, match="grid that cannot be read"):
        read_registration(response, ALL, SHAPE)


@pytest.mark.parametrize("card", [None, "{", "5", "[]", '{"settings": 5}', b"\xff"])
def test_a_card_that_is_none(card):
    with pytest.raises(InputError, match="without"):
        read_card(answer(card=None if card is None else [card]))
    assert read_card(answer(card=['{"settings": {}}'])) == {"settings": {}}
