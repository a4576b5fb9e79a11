"""Runs a SavedModel as TensorFlow Serving does: session and signature, in C, without Python's TF.

A program of its own; TensorFlow's package is not imported, only its library is opened.

    python c_session.py LIBRARY SAVED_MODEL INPUTS.npz OUTPUTS.npz
"""

import ctypes as c
import sys

import numpy as np

FLOAT = 1  # TF_FLOAT
# Fields of MetaGraphDef, of SignatureDef and of TensorInfo.
SIGNATURE_DEF, INPUTS, OUTPUTS, NAME = 5, 1, 2, 1


class Buffer(c.Structure):
    _fields_ = [("data", c.c_void_p), ("length", c.c_size_t), ("release", c.c_void_p)]


class Output(c.Structure):
    _fields_ = [("operation", c.c_void_p), ("index", c.c_int)]


def open_library(path):
    library = c.CDLL(path)
    pointers = ["TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_AllocateTensor"]
    pointers += ["TF_LoadSessionFromSavedModel", "TF_GraphOperationByName", "TF_TensorData"]
    for name in pointers:
        getattr(library, name).restype = c.c_void_p
    library.TF_NewBuffer.restype = c.POINTER(Buffer)
    library.TF_Message.restype = c.c_char_p
    library.TF_Dim.restype = c.c_int64
    return library


def check(library, status):
    if library.TF_GetCode(status):
        sys.exit(library.TF_Message(status).decode())


def fields(message):
    """(number, value) of a protobuf message's fields; numbers of fixed size are left out."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        elif kind == 2:
            length = varint()
            yield key >> 3, message[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]


def read_map(message, number):
    """A field of type map, {key: value}."""
    entries = [dict(fields(value)) for key, value in fields(message) if key == number]
    return {entry[1].decode(): entry[2] for entry in entries}


def read_tensors(signature, number):
    """Name in the signature → name in the graph."""
    found = read_map(signature, number)
    return {name: dict(fields(info))[NAME].decode() for name, info in found.items()}


def find_outputs(library, graph, names):
    found = (Output * len(names))()
    for place, name in zip(found, names):
        operation, _, index = name.partition(":")
        place.operation = library.TF_GraphOperationByName(c.c_void_p(graph), operation.encode())
        place.index = int(index)
        if not place.operation:
            sys.exit(f"{name}: not in the graph")
    return found


def to_tensor(library, array):
    array = np.ascontiguousarray(array, np.float32)
    shape = (c.c_int64 * array.ndim)(*array.shape)
    tensor = library.TF_AllocateTensor(FLOAT, shape, array.ndim, c.c_size_t(array.nbytes))
    c.memmove(library.TF_TensorData(c.c_void_p(tensor)), array.ctypes.data, array.nbytes)
    return tensor


def to_array(library, tensor):
    tensor = c.c_void_p(tensor)
    assert library.TF_TensorType(tensor) == FLOAT
    shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
    values = c.cast(library.TF_TensorData(tensor), c.POINTER(c.c_float))
    return np.ctypeslib.as_array(values, (int(np.prod(shape)),)).reshape(shape).copy()


def main(path, model, inputs, outputs):
    library = open_library(path)
    status = c.c_void_p(library.TF_NewStatus())
    options = c.c_void_p(library.TF_NewSessionOptions())
    graph, meta = library.TF_NewGraph(), library.TF_NewBuffer()
    tags = (c.c_char_p * 1)(b"serve")
    session = library.TF_LoadSessionFromSavedModel(
        options, None, model.encode(), tags, 1, c.c_void_p(graph), meta, status
    )
    check(library, status)
    content = c.string_at(meta.contents.data, meta.contents.length)
    signature = read_map(content, SIGNATURE_DEF)["serving_default"]
    fed, fetched = (read_tensors(signature, number) for number in (INPUTS, OUTPUTS))

    given = np.load(inputs)
    values = (c.c_void_p * len(fed))(*[to_tensor(library, given[name]) for name in fed])
    results = (c.c_void_p * len(fetched))()
    library.TF_SessionRun(
        c.c_void_p(session),
        None,
        *(find_outputs(library, graph, fed.values()), values, len(fed)),
        *(find_outputs(library, graph, fetched.values()), results, len(fetched)),
        *(None, 0, None, status),
    )
    check(library, status)
    np.savez(outputs, **{n: to_array(library, tensor) for n, tensor in zip(fetched, results)})
    imported = sorted({name.partition(".")[0] for name in sys.modules})
    assert not {"tensorflow", "tf_lungreg", "keras"} & set(imported), imported


if __name__ == "__main__":
    main(*sys.argv[1:])
