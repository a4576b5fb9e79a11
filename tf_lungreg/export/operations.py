"""Which operations a SavedModel holds, read before anything of it is loaded.

A SavedModel is a program: TensorFlow runs parts of it while it loads. Among TensorFlow's operations
are some that read and write files, open connections or run Python. So only operations that compute
are allowed, as far as networks like this package's need them.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_lungreg.errors import InputError

_ALLOWED = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert AssignAddVariableOp
    AssignSubVariableOp AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul
    BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd BroadcastArgs BroadcastGradientArgs
    BroadcastTo Cast Ceil CheckNumerics CheckNumericsV2 ClipByValue Concat ConcatOffset ConcatV2
    Const Conv2D Conv3D Conv3DBackpropInputV2 ConvNd Cos Cosh Cross Cumprod Cumsum
    DepthwiseConv2dNative Diag DiagPart DisableCopyOnRead Div DivNoNan Einsum Elu EnsureShape
    Enter Equal Erf Erfc Exit Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual Identity
    IdentityN If InplaceAdd InplaceUpdate Inv InvertPermutation IsFinite IsInf IsNan L2Loss
    LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr LogicalXor LoopCond MatMul MatrixBandPart MatrixDeterminant MatrixDiag
    MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3 MatrixInverse MatrixSetDiag MatrixSetDiagV3
    MatrixSolve MatrixTriangularSolve Max MaxPool MaxPool3D Maximum Mean Merge Min Minimum
    MirrorPad Mod Mul MulNoNan Neg NextIteration NoOp NotEqual OneHot OnesLike Pack Pad PadV2
    ParallelConcat PartitionedCall Placeholder PlaceholderWithDefault Pow PreventGradient Prod
    Range Rank ReadVariableOp RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor Reverse ReverseV2 RightShift Rint Roll Round Rsqrt ScatterNd Select
    SelectV2 Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Snapshot Softmax Softplus Softsign
    SpaceToBatchND Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall
    StatelessIf StatelessWhile StaticRegexFullMatch StopGradient StridedSlice StringJoin Sub Sum
    Switch Tan Tanh TensorListConcatV2 TensorListElementShape TensorListFromTensor
    TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListSetItem TensorListStack TensorScatterAdd
    TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv TruncateMod Unpack UnsortedSegmentSum
    VarHandleOp VarIsInitializedOp VariableShape Where While Xdivy Xlog1py Xlogy ZerosLike
    """.split()
)

# TensorFlow's own saver reads and writes variables by them. They may stand in its two functions
# alone, which nothing else of the graph may call.
_SAVER = frozenset(["MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"])
_PREFIX = "file_prefix"  # the argument of these functions


def check_operations(version: Path) -> None:
    """Refuses a SavedModel that could do more than compute.

    Args:
        version: its folder.

    Raises:
        InputError: it holds an operation that is not allowed, or cannot be read.
    """
    try:
        saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"{version}: its saved_model.pb cannot be read ({error}).") from error
    refused = sorted(set().union(*map(_refused, saved.meta_graphs)))
    if refused:
        names = ", ".join(refused[:5]) + (" and more" if len(refused) > 5 else "")
        raise InputError(
            f"{version}: its graph holds {names}, which this package's models do not need and "
            "which may reach files, the network or Python. If you trust its source, load it with "
            "trust=True, or serve it with --trust."
        )


def _refused(meta: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """The operations of a graph that are not allowed."""
    functions = {each.signature.name: each.node_def for each in meta.graph_def.library.function}
    saver = _saver_functions(meta) & set(functions)
    callers = [("", meta.graph_def.node), *functions.items()]
    refused: set[str] = set()
    for name, nodes in callers:
        for node in nodes:
            allowed = node.op in _ALLOWED or node.op in functions
            if name in saver and node.op in _SAVER:
                allowed = node.op != "RestoreV2" or [*node.input[:1]] == [_PREFIX]
            if not allowed:
                refused.add(node.op)
        calls = {
            call for node in nodes if name or not _is_saver(node, meta) for call in _calls(node)
        }
        if calls & saver:
            refused |= {node.op for each in calls & saver for node in functions[each]} & _SAVER
    return refused


def _saver_functions(meta: meta_graph_pb2.MetaGraphDef) -> set[str]:
    nodes = (node for node in meta.graph_def.node if _is_saver(node, meta))
    return {call for node in nodes for call in _calls(node)}


def _is_saver(node: Any, meta: meta_graph_pb2.MetaGraphDef) -> bool:
    saver = meta.saver_def
    return node.name in (saver.restore_op_name, saver.save_tensor_name.partition(":")[0])


def _calls(node: Any) -> Generator[str]:
    """The functions that a node calls."""
    yield node.op
    for value in node.attr.values():
        yield from (each.name for each in (value.func, *value.list.func) if each.name)
