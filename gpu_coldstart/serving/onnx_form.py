"""A network as ONNX, for any runtime: the same numbers as ours, summed in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gpu_coldstart.engine.base import Engine, Feedforward
from gpu_coldstart.engine.networks import LEAST_LENGTH

__all__ = ["INPUT", "OUTPUT", "onnx_form"]

INPUT, OUTPUT = "vectors", "outputs"
"""Names of the input [n, inputs] and the output [n, outputs], both of float32, n any number."""

_OPSET, _IR = 17, 8  # of 2022; old enough for any runtime in use


class _Graph:
    """Nodes, one after the other, each taking what the one before made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.last = INPUT

    def add(self, kind: str, *others: str, after: str | None = None, **settings: Any) -> str:
        """A node; its output is what the next one takes."""
        name = f"{kind}{len(self.nodes)}"
        inputs = [self.last if after is None else after, *others]
        self.nodes.append(helper.make_node(kind, inputs, [name], **settings))
        self.last = name
        return name

    def constant(self, name: str, value: object) -> str:
        """A constant; one of float32 is made double."""
        array = np.asarray(value)
        self.constants.append(numpy_helper.from_array(array, name))
        if array.dtype != np.float32:
            return name
        doubled = f"{name}/double"
        self.nodes.append(helper.make_node("Cast", [name], [doubled], to=TensorProto.DOUBLE))
        return doubled


def onnx_form(engine: Engine, network: Feedforward) -> bytes:
    """A network as an ONNX model, from :data:`INPUT` to :data:`OUTPUT`.

    Weights are stored in single precision and made double when a runtime loads the model.
    """
    graph = _Graph()
    graph.add("Cast", to=TensorProto.DOUBLE)
    for place, layer in enumerate(network.layers):
        if place:
            graph.add({"relu": "Relu", "tanh": "Tanh"}[network.hidden])
        weights = graph.constant(f"weights{place}", engine.to_host(layer.weights))
        graph.add("Gemm", weights, graph.constant(f"offset{place}", engine.to_host(layer.offset)))
    if network.output == "unit":
        _unit(graph)
    elif network.output == "softmax":
        _softmax(graph, network.groups)
    graph.nodes.append(helper.make_node("Cast", [graph.last], [OUTPUT], to=TensorProto.FLOAT))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", network.inputs])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", network.outputs])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="gpu_coldstart",
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _unit(graph: _Graph) -> None:
    """Vectors of length 1."""
    values = graph.last
    graph.add("ReduceL2", axes=[1], keepdims=1)
    lengths = graph.add("Max", graph.constant("least", np.array([LEAST_LENGTH])))
    graph.add("Div", lengths, after=values)


def _softmax(graph: _Graph, groups: tuple[int, ...]) -> None:
    """A softmax over each group of columns, divided by how many there are."""
    sizes = graph.constant("groups", np.array(groups, np.int64))
    parts = [f"group{place}" for place in range(len(groups))]
    graph.nodes.append(helper.make_node("Split", [graph.last, sizes], parts, axis=1))
    made = [graph.add("Softmax", after=part, axis=1) for part in parts]
    graph.add("Concat", *made[1:], after=made[0], axis=1)
    graph.add("Div", graph.constant("number", np.array([float(len(groups))])))
