"""Ways to store a model in eight bits, measured beside float32 on real headlines; figures: docs/QUANTIZATION.md.

Usage: python -m benchmarks.quantization RUN [--model pipeline/default_model] [--count 2000] [--rounds 3] [--threads 2]

RUN is a run folder of `python -m training train`. Its float32 graph is stored in each way, put into a copy of --model
and scored by pipeline.score as the daily line does, on test rows of FINANCIAL_SENTIMENT_DATA. Speed is the best of the
rounds, which go through all ways in turn, so that a busy machine slows them alike; headlines per processor second are
the fairer figure then. The last lines say how far the way that ships is from the wall: what a processor second of bare
int8 products would allow.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from pipeline.export import convert_to_onnx, find_base, is_full, load_trained
from pipeline.model_folder import ONNX_FILE, PROVENANCE, TOKENIZER_CONFIG, read_json, write_provenance
from pipeline.parity import read_parity_set
from pipeline.quantize import quantize_model, quantize_weights
from pipeline.score import OnnxScorer, Tokens, tokenize
from training.data import load_examples
from training.readers import open_data
from training.splits import SPLIT_SEED, split_examples

from .products import Wall, count_products
from .shapes import read_shape

Pair = tuple[str, str]
SHIPPED = "**int8 products, scales fixed or by token**"
Store = Callable[[ModelProto, Path, Sequence[Tokens]], None]
"""Writes a float32 graph to a file; the texts show what activations look like."""
WHOLE = 10**9
CONTRIBUTED = "com.microsoft"


def main() -> None:
    """Print one table row per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", type=Path, default=Path("pipeline/default_model"))
    parser.add_argument("--parity", type=Path, default=Path("pipeline/parity_set.csv"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    pairs = draw_pairs(args.count)
    base = None if is_full(args.run) else find_base(read_json(args.run / PROVENANCE)["base"], None)
    trained = load_trained(args.run, base)
    graph = convert_to_onnx(trained)
    texts = tokenize(args.run, read_parity_set(args.parity)[0][::2])
    with tempfile.TemporaryDirectory() as place:
        scorers = {}
        for name, store in WAYS.items():
            folder = Path(place) / str(len(scorers))
            shutil.copytree(args.model, folder)
            shutil.copyfile(args.run / TOKENIZER_CONFIG, folder / TOKENIZER_CONFIG)
            store(graph, folder / ONNX_FILE, texts)
            write_provenance(folder, read_json(folder / PROVENANCE))
            scorers[name] = OnnxScorer(folder, args.threads)
        scores, walls, cpus = time_scorers(scorers, pairs, args.rounds)
        print_ways(scorers, pairs, scores, walls, cpus)
        print_wall(scorers[SHIPPED], tokenize(args.run, pairs), len(pairs) / cpus[SHIPPED])


def print_ways(
    scorers: dict[str, OnnxScorer],
    pairs: Sequence[Pair],
    scores: dict[str, np.ndarray],
    walls: dict[str, float],
    cpus: dict[str, float],
) -> None:
    """Print a table row per way."""
    print("| way | MB | headlines/s | per CPU-second | same label | mean, max change | by batch mates |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, scorer in scorers.items():
        size = (scorer.folder.path / ONNX_FILE).stat().st_size / 1e6
        same = (scores[name].argmax(axis=1) == scores["float32"].argmax(axis=1)).mean()
        change = np.abs(sentiment(scores[name]) - sentiment(scores["float32"]))
        moved = measure_batch_mates(scorer, pairs[:300], scores[name][:300])
        print(
            f"| {name} | {size:.1f} | {len(pairs) / walls[name]:.0f} | {len(pairs) / cpus[name]:.0f} | "
            f"{same:.2%} | {change.mean():.4f}, {change.max():.3f} | {moved:.1e} |",
            flush=True,
        )


def print_wall(shipped: OnnxScorer, tokens: Sequence[Tokens], rate: float) -> None:
    """Print what share of one core's int8 limit the way that ships reaches at ``rate`` headlines a CPU-second."""
    torch.set_num_threads(1)
    lengths = np.array([len(ids) for ids, _ in tokens])
    needed = count_products(shipped.folder.onnx_path, lengths)
    wall = Wall(read_shape(shipped.folder.path), 1).measure()
    print(
        f"\n{lengths.mean():.1f} tokens and {needed / 1e6:.0f} million products a headline; one core does "
        f"{wall / 1e9:.0f} billion bare int8 products a second; the way that ships reaches {rate * needed / wall:.0%} "
        "of that"
    )


def draw_pairs(count: int, seed: int = 7) -> list[Pair]:
    """Return ``count`` real (headline, company) pairs from the test rows, which the model was not trained on."""
    examples = load_examples(open_data())
    test = split_examples(examples, SPLIT_SEED).test
    chosen = np.random.default_rng(seed).permutation(len(test))[:count]
    return [(examples[test[i]].text, examples[test[i]].target) for i in chosen]


def time_scorers(
    scorers: dict[str, OnnxScorer], pairs: Sequence[Pair], rounds: int
) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, float]]:
    """Return each scorer's scores and its least wall and processor seconds for all ``pairs``."""
    scores, walls, cpus = {}, dict.fromkeys(scorers, np.inf), dict.fromkeys(scorers, np.inf)
    for scorer in scorers.values():
        scorer.score(pairs[:200])
    for _ in range(rounds):
        for name, scorer in scorers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            scores[name] = scorer.score(pairs)
            walls[name] = min(walls[name], time.perf_counter() - wall)
            cpus[name] = min(cpus[name], time.process_time() - cpu)
    return scores, walls, cpus


def measure_batch_mates(scorer: OnnxScorer, pairs: Sequence[Pair], together: np.ndarray) -> float:
    """Return the largest change of a sentiment score between a headline alone and in its batch."""
    alone = np.concatenate([scorer.score([pair]) for pair in pairs])
    return float(np.abs(sentiment(alone) - sentiment(together)).max())


def sentiment(probabilities: np.ndarray) -> np.ndarray:
    """Return p_positive - p_negative."""
    return probabilities[:, 2] - probabilities[:, 0]


def store_products(graph: ModelProto, path: Path, texts: Sequence[Tokens]) -> None:
    """Store what ships: int8 products in the encoder."""
    onnx.save(next(quantize_model(graph, texts))[0], path)


def store_dynamic(bits: int) -> Store:
    """Store int8 weights with one scale a column; activations are cut to int8 with one scale a batch, while scoring."""

    def store(graph: ModelProto, path: Path, _: Sequence[Tokens]) -> None:
        quantize_dynamic(graph, path, per_channel=True, reduce_range=bits == 7, weight_type=QuantType.QInt8)

    return store


def store_blockwise(block: int, level: int) -> Store:
    """Store MatMulNBits; ``level`` 0 computes in float32, 4 cuts activations to int8 with a scale per row and block."""

    def build(x: str, name: str, weights: np.ndarray, output: str) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
        rows, columns = weights.shape
        blocks = np.pad(weights.T, ((0, 0), (0, -rows % block))).reshape(columns, -1, block)
        scales = np.abs(blocks).max(axis=2) / 127
        values = (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8)
        extra = {"accuracy_level": level} if level else {}
        shape = {"K": rows, "N": columns, "bits": 8, "block_size": block}
        inputs = [x, f"{name}_q", f"{name}_s"]
        node = helper.make_node("MatMulNBits", inputs, [output], domain=CONTRIBUTED, **shape, **extra)
        return [node], {f"{name}_q": values, f"{name}_s": scales.astype(np.float32)}

    return lambda graph, path, _: onnx.save(quantize_weights(replace_products(graph, build)), path)


def store_rowwise(graph: ModelProto, path: Path, _: Sequence[Tokens]) -> None:
    """Store 7-bit weights, a scale a column; each token's activations are cut to int8 with a scale of their own."""
    seen: set[str] = set()

    def build(x: str, name: str, weights: np.ndarray, output: str) -> tuple[list[NodeProto], dict[str, np.ndarray]]:
        scales = np.abs(weights).max(axis=0) / 63
        constants = {f"{name}_q": np.rint(weights / scales).astype(np.int8), f"{name}_s": scales.astype(np.float32)}
        constants |= {f"{name}_z": np.int8(0), "step": np.float32(1 / 127), "middle": np.uint8(128)}
        constants |= {"last": np.array([-1], np.int64), "tiny": np.float32(1e-12)}
        nodes = [] if x in seen else normalise(x)
        seen.add(x)
        inputs = [f"{x}_q", f"{name}_q", "step", f"{name}_s", "middle", f"{name}_z"]
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [f"{output}_n"], domain=CONTRIBUTED))
        nodes.append(helper.make_node("Mul", [f"{output}_n", f"{x}_max"], [output]))
        return nodes, constants

    def normalise(x: str) -> list[NodeProto]:
        return [
            helper.make_node("Abs", [x], [f"{x}_abs"]),
            helper.make_node("ReduceMax", [f"{x}_abs", "last"], [f"{x}_largest"], keepdims=1),
            helper.make_node("Max", [f"{x}_largest", "tiny"], [f"{x}_max"]),
            helper.make_node("Div", [x, f"{x}_max"], [f"{x}_unit"]),
            helper.make_node("QuantizeLinear", [f"{x}_unit", "step", "middle"], [f"{x}_q"]),
        ]

    onnx.save(quantize_weights(replace_products(graph, build)), path)


Build = Callable[[str, str, np.ndarray, str], tuple[list[NodeProto], dict[str, np.ndarray]]]


def replace_products(model: ModelProto, build: Build) -> ModelProto:
    """Return ``model`` with each MatMul by a constant replaced by the nodes and constants that ``build`` returns."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    nodes, constants = [], {}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            built, values = build(node.input[0], node.input[1], weights[node.input[1]], node.output[0])
            nodes += built
            constants |= values
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used and tensor.name not in constants]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept + [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()])
    if all(opset.domain != CONTRIBUTED for opset in result.opset_import):
        result.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
    return result


WAYS: dict[str, Store] = {
    "float32": lambda graph, path, _: onnx.save(graph, path),
    SHIPPED: store_products,
    "int8 weights, a scale per 64, float32 arithmetic": lambda g, p, _: onnx.save(quantize_weights(g), p),
    "the same, a scale per column": lambda g, p, _: onnx.save(quantize_weights(g, WHOLE), p),
    "MatMulNBits, block 64, float32 activations": store_blockwise(64, 0),
    "MatMulNBits, block 32, int8 activations": store_blockwise(32, 4),
    "MatMulNBits, block 64, int8 activations": store_blockwise(64, 4),
    "MatMulNBits, block 128, int8 activations": store_blockwise(128, 4),
    "7-bit weights, int8 activations, a scale per token": store_rowwise,
    "dynamic int8, 7-bit weights": store_dynamic(7),
    "dynamic int8": store_dynamic(8),
}


if __name__ == "__main__":
    main()
