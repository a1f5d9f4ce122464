"""The int8 encoder says what the float one says, about one text as about many, and its layers are told apart."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, checker, helper, numpy_helper

from pipeline.export import convert_to_onnx, load_trained
from pipeline.quantize import FAST, MOVED, PLAIN, quantize_model
from pipeline.quantize_attention import put_tokens_first
from pipeline.quantize_layers import CONTRIBUTED, FIRST, ForeignGraphError, Layers
from pipeline.quantize_products import Tokens, find_factors, fix_scale, quantize_products, scale_by_token
from pipeline.quantize_rounding import PAIR_SUM, largest_pair_sum

from .conftest import Made


def draw_text(seed: int) -> Tokens:
    """Return a random text of 4 to 16 tokens, the last two of its second segment."""
    random = np.random.default_rng(seed)
    ids = random.integers(5, 20, random.integers(4, 17)).tolist()
    return tuple(ids), (0,) * (len(ids) - 2) + (1, 1)


TEXTS = [draw_text(seed) for seed in range(60)]


@pytest.fixture(scope="module")
def graph(made: Made) -> ModelProto:
    """Return the tiny model with biases of its own: as it is made, they are zeros that the exporter stores once."""
    model = convert_to_onnx(load_trained(made.run, made.base))
    random = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if "bias" in tensor.name:
            values = random.normal(scale=0.3, size=tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model


@pytest.fixture(scope="module")
def fast(graph: ModelProto) -> ModelProto:
    return quantize_products(graph, TEXTS)


def run(model: ModelProto, texts: list[Tokens], width: int = 0) -> np.ndarray:
    """Return the logits of ``texts``, padded to the longest or to ``width``."""
    width = max(width, *(len(ids) for ids, _ in texts))
    fill = lambda values: np.array([[*row, *[0] * (width - len(row))] for row in values])  # noqa: E731
    inputs = {
        "input_ids": fill([ids for ids, _ in texts]),
        "attention_mask": fill([[1] * len(ids) for ids, _ in texts]),
        "token_type_ids": fill([segments for _, segments in texts]),
    }
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], inputs)[0]


def test_the_rearranged_layers_say_the_same(graph: ModelProto) -> None:
    changed = ModelProto()
    changed.CopyFrom(graph)
    layers = Layers(changed)
    layers.move_biases()
    put_tokens_first(layers)
    layers.keep_first_token()
    checker.check_model(changed)
    assert np.abs(run(changed, TEXTS) - run(graph, TEXTS)).max() < 1e-5


def test_all_but_the_last_layers_first_token_is_multiplied_in_int8(graph: ModelProto, fast: ModelProto) -> None:
    """Two layers: six products in the first, key and value in the second. What three read is cut to u8 once."""
    found = Counter(node.op_type for node in fast.graph.node)
    assert (found["MatMulIntegerToFloat"], found["QuantizeLinear"]) == (8, 5)
    floats = Counter(node.op_type for node in graph.graph.node)
    assert (found["MatMul"], found["FusedMatMul"]) == (floats["MatMul"] - 8 - 4, 4)
    assert (found["Transpose"], floats["Transpose"]) == (1 + 2, 4 * 2), "one for all, and what attention wrote"
    assert fast.graph.output == graph.graph.output
    assert fast.graph.input == graph.graph.input


def test_every_activation_is_u8_and_every_weight_s8_within_its_pairs(fast: ModelProto) -> None:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in fast.graph.initializer}
    products = [node for node in fast.graph.node if node.op_type == "MatMulIntegerToFloat"]
    for node in products:
        weights, zero = tensors[node.input[1]], tensors[node.input[4]]
        assert (weights.dtype, zero.dtype, tensors[node.input[5]]) == (np.int8, np.uint8, 0)
        assert largest_pair_sum(weights) <= PAIR_SUM
    assert {node.domain for node in fast.graph.node} == {"", CONTRIBUTED}


def test_it_stays_close_to_float(graph: ModelProto, fast: ModelProto) -> None:
    expected, found = run(graph, TEXTS), run(fast, TEXTS)
    assert np.abs(found - expected).mean() < 0.1 * expected.std(), "32 wide, errors even out less than at 384"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=12), st.integers(0, 24))
def test_a_text_alone_is_a_text_among_others_padded_or_not(fast: ModelProto, chosen: list[int], width: int) -> None:
    texts = [TEXTS[i] for i in chosen]
    alone = np.concatenate([run(fast, [text]) for text in texts])
    assert np.abs(run(fast, texts, width) - alone).max() < 1e-3


def test_a_graph_of_another_kind_is_told_apart_and_says_why(graph: ModelProto) -> None:
    strange = ModelProto()
    strange.CopyFrom(graph)
    for node in strange.graph.node:
        node.name = node.name.replace("/encoder/", "/tower/")
    with pytest.raises(ForeignGraphError, match=r"no layers named encoder/layer\.N"):
        quantize_products(strange, TEXTS)
    ((model, arithmetic),) = quantize_model(strange, TEXTS)
    assert arithmetic == f"{PLAIN}, for the graph has no layers named encoder/layer.N/attention/self/query"
    assert "MatMulIntegerToFloat" not in {node.op_type for node in model.graph.node}


def test_the_fast_way_comes_first_and_the_float_way_says_why_it_was_taken(graph: ModelProto) -> None:
    models, ways = zip(*quantize_model(graph, TEXTS), strict=True)
    assert ways == (FAST, f"{PLAIN}, for {MOVED}")
    counts = [sum(node.op_type == "MatMulIntegerToFloat" for node in model.graph.node) for model in models]
    assert counts == [8, 0]


def test_a_classifier_that_reads_every_token_keeps_the_float_way(graph: ModelProto) -> None:
    strange = ModelProto()
    strange.CopyFrom(graph)
    (gather,) = (node for node in strange.graph.node if node.name.endswith("pooler/Gather"))
    gather.input[1] = "second"
    strange.graph.initializer.append(numpy_helper.from_array(np.int64(1), "second"))
    ((_, arithmetic),) = quantize_model(strange, TEXTS)
    assert arithmetic.endswith("a classifier that reads more than the first token")


def test_attention_joined_in_another_way_keeps_the_float_way(graph: ModelProto) -> None:
    strange = ModelProto()
    strange.CopyFrom(graph)
    turned = next(node for node in strange.graph.node if node.op_type == "Transpose")
    place = list(strange.graph.node).index(turned)
    strange.graph.node.insert(place, helper.make_node("Identity", [turned.input[0]], ["between"], "between"))
    turned.input[0] = "between"
    ((_, arithmetic),) = quantize_model(strange, TEXTS[:5])
    assert "attention that does not go from" in arithmetic


def test_the_given_model_is_not_touched(graph: ModelProto) -> None:
    before = graph.SerializeToString()
    quantize_products(graph, TEXTS[:5])
    assert graph.SerializeToString() == before


def test_biases_of_the_residual_products_are_gone(graph: ModelProto) -> None:
    changed = ModelProto()
    changed.CopyFrom(graph)
    layers = Layers(changed)
    layers.move_biases()
    for i in range(layers.count):
        products = layers.products(i)
        assert not products["attention/output/dense"].bias.any()
        assert not products["output/dense"].bias.any()
        assert all(products[place].bias.any() for place in (*FIRST, "intermediate/dense"))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["fixed", "smoothed", "by token"]))
def test_an_activation_moves_by_half_a_step_at_most(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    x = (random.normal(size=(50, 8)) * np.exp(random.normal(size=8))).astype(np.float32)
    if kind == "by token":  # as a GELU leaves it
        x = np.where(x > 0, x, -0.17 * np.minimum(1, -x)).astype(np.float32)
    factors = find_factors(x, random.normal(size=(8, 4))) if kind == "smoothed" else None
    scale = scale_by_token(x) if kind == "by token" else fix_scale(x, factors)
    factors = 1 if scale.factors is None else scale.factors
    largest = np.abs(x).max(axis=1, keepdims=True) if scale.floor is not None else 1
    step = scale.step * np.maximum(largest, scale.floor or 0)
    assert (np.abs(scale.round(x) - x / factors) <= 0.51 * step).all()
