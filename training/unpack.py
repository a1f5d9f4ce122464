"""An exported model in eight bits -> the float32 weights it stands for, so that training can go on from them.

The inverse of pipeline/quantize.py up to rounding. A layer's weights are found by the name optimum gives its nodes:
/bert/encoder/layer.0/output/dense/... is bert.encoder.layer.0.output.dense. Biases stay where the export moved them,
which leaves the model's answers as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, load, numpy_helper
from safetensors.numpy import save_file

from pipeline.errors import ModelError
from pipeline.model_folder import CONFIG, FULL_WEIGHTS, read_json, read_model_folder

UNPACKED = ("bert", "roberta", "distilbert", "mpnet")
"""Architectures whose nodes are known here to hold all weights under their layers' names."""
PRODUCT = "MatMulIntegerToFloat"
FACTORS, INT8, SCALE = "_factors", "_int8", "_scale"
"""How the export names what an activation is multiplied by, and the two parts of a matrix it packed."""


def unpack_folder(folder: Path, place: Path) -> None:
    """Copy the exported model in ``folder`` to the new folder ``place``, with the float32 weights transformers loads.

    Raises:
        ModelError: ``folder`` is no sealed model folder (:func:`pipeline.model_folder.read_model_folder`), or its model
            is of an architecture whose graph is not known here.
    """
    found = read_model_folder(folder)
    if (kind := read_json(folder / CONFIG).get("model_type")) not in UNPACKED:
        raise ModelError(f"{folder}/{CONFIG}: model_type is {kind!r}; expected one of {', '.join(UNPACKED)}")
    shutil.copytree(folder, place)
    save_file(unpack_weights(load(found.onnx_path)), place / FULL_WEIGHTS, metadata={"format": "pt"})


def unpack_weights(model: ModelProto) -> dict[str, np.ndarray]:
    """Return the float32 weights of ``model``, an exported graph, by their names in transformers.

    Linear layers are (outputs, inputs) as in torch, embeddings (rows, width).
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    # The exporter stores equal constants once and calls the others Identity.
    shared = [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in constants]
    constants |= {node.output[0]: constants[node.input[0]] for node in shared}
    writers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        module = node.name.strip("/").rpartition("/")[0].replace("/", ".")
        for kind, values in _read_node(node, constants, writers):
            found[f"{module}.{kind}"] = np.ascontiguousarray(values, np.float32)
    return found


def _read_node(
    node: NodeProto, constants: dict[str, np.ndarray], writers: dict[str, NodeProto]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what ``node`` holds of its layer: "weight", "bias" or both."""
    inputs = list(node.input)
    if node.op_type == PRODUCT:
        weights = constants[inputs[1]] * constants[inputs[3]]
        yield "weight", (weights * _find_factors(inputs[0], constants, writers)).T
        yield "bias", constants[inputs[6]] if len(inputs) > 6 else np.zeros(weights.shape[1])
    elif node.op_type == "Gather" and inputs[0].endswith(INT8):
        yield "weight", _unpack(inputs[0], constants, axis=1)
    elif node.op_type == "LayerNormalization":
        yield "weight", constants[inputs[1]]
        yield "bias", constants[inputs[2]]
    elif node.op_type == "Gemm":  # optimum's have the weights as torch does
        yield "weight", _unpack(inputs[1].replace("_float", INT8), constants, axis=1)
        yield "bias", constants[inputs[2]]
    elif node.op_type == "MatMul" and inputs[1].replace("_float", INT8) in constants:
        yield "weight", _unpack(inputs[1].replace("_float", INT8), constants, axis=0).T
    elif node.op_type == "Add" and any(name in constants for name in inputs):
        yield "bias", next(constants[name] for name in inputs if name in constants)


def _find_factors(cut: str, constants: dict[str, np.ndarray], writers: dict[str, NodeProto]) -> np.ndarray | float:
    """Return (inputs, 1): by what the channels of the activation that became the u8 ``cut`` were multiplied, or 1."""
    smooth = writers[writers[cut].input[0]] if cut in writers else None
    if smooth is None or smooth.op_type != "Mul" or not smooth.input[1].endswith(FACTORS):
        return 1.0
    return constants[smooth.input[1]][:, None]


def _unpack(name: str, constants: dict[str, np.ndarray], axis: int) -> np.ndarray:
    """Return the matrix whose ``axis`` was cut into blocks of one scale each."""
    values, scales = constants[name], constants[name.removesuffix(INT8) + SCALE]
    whole = values.astype(np.float32) * scales.astype(np.float32)
    return whole.reshape(*whole.shape[:axis], -1, *whole.shape[axis + 2 :])
