"""Ways to score a headline, each ready to be timed: what a user would otherwise do, and the model that ships.

Weights of everything but the shipped model are drawn at random: speed does not depend on them.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

from pipeline.export import convert_to_onnx
from pipeline.score import OnnxScorer, load_tokenizer

from .headlines import Pair
from .products import count_products
from .shapes import BERT_BASE, MINILM, SHIPPED, Shape

BATCH = 32
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Way:
    """One row of the table. The first ``count`` headlines are scored a round: enough to time, few enough to wait for.

    ``count_products`` takes the headlines' lengths in tokens and returns their mean multiplications, where it matters.
    """

    name: str
    count: int
    score: Callable[[Sequence[Pair]], Any]
    count_products: Callable[[np.ndarray], float] | None = None


def list_baselines(tokenizer: BertTokenizerFast, threads: int, calibration: Sequence[Pair]) -> list[Way]:
    """Return what one would otherwise use, the first two on BERT-base, the size of the usual financial models."""
    large, small = (make_bert(shape, len(tokenizer)) for shape in (BERT_BASE, MINILM))
    ways = [
        make_pipeline("BERT-base", large, tokenizer, 1, 40),
        make_pipeline("BERT-base", large, tokenizer, BATCH, 96),
        make_pipeline("MiniLM", small, tokenizer, 1, 160),
        make_pipeline("MiniLM", small, tokenizer, BATCH, 480),
    ]
    with quiet():
        graph = convert_to_onnx(small)
    plain = strip_tokenizer(tokenizer)
    ways.append(make_dynamic(graph, plain, threads))
    if has_openvino():
        ways.append(make_openvino(graph, plain, threads, calibration))
    return ways


def list_shipped(folder: Path, threads: int, count: int) -> list[Way]:
    """Return the model folder as the daily line scores it: alone, streamed, all at once; and its tokenizer."""
    scorer, single = OnnxScorer(folder, threads), OnnxScorer(folder, 1)
    count_own = partial(count_products, scorer.folder.onnx_path)
    tokenizer = load_tokenizer(scorer.folder.tokenizer_path, scorer.folder.max_length)

    def score_alone(pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            scorer.score([pair])

    def score_streamed(pairs: Sequence[Pair]) -> None:
        for _ in scorer.score_stream(iter(pairs)):
            pass

    return [
        Way("tokenisation alone", count, lambda pairs: tokenizer.encode_batch(list(pairs))),
        Way("shipped model, one by one", 400, score_alone, count_own),
        Way("shipped model, all in one call, 1 thread", 2000, single.score, count_own),
        Way("shipped model, streamed", count, score_streamed, count_own),
        Way(SHIPPED, count, scorer.score, count_own),
    ]


def make_bert(shape: Shape, vocabulary: int) -> BertForSequenceClassification:
    """Return a random three-class BERT of ``shape``."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        num_labels=3,
    )
    return BertForSequenceClassification(config).eval()


def make_pipeline(name: str, model: Any, tokenizer: BertTokenizerFast, batch: int, count: int) -> Way:
    """Return transformers' own pipeline, torch and float32, in batches of ``batch``, 1 being its default."""
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, device="cpu")

    def score(pairs: Sequence[Pair]) -> None:
        classify([{"text": text, "text_pair": pair} for text, pair in pairs], batch_size=batch)

    return Way(f"transformers pipeline, {name}, batch {batch}", count, score)


def make_dynamic(graph: onnx.ModelProto, tokenizer: Tokenizer, threads: int) -> Way:
    """Return onnxruntime's dynamic int8, a scale a column, headlines sorted by length."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as place, quiet():
        path = Path(place) / "model.onnx"
        quantize_dynamic(graph, path, per_channel=True, weight_type=QuantType.QInt8)
        session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def score(pairs: Sequence[Pair]) -> None:
        for batch in batch_by_length(tokenizer, pairs):
            session.run(None, batch)

    return Way("onnxruntime, dynamic int8 MiniLM, sorted", 2000, score, MINILM.count_products)


def make_openvino(graph: onnx.ModelProto, tokenizer: Tokenizer, threads: int, calibration: Sequence[Pair]) -> Way:
    """Return OpenVINO with NNCF's static int8, calibrated on ``calibration``, headlines sorted by length."""
    import nncf
    import openvino

    with tempfile.TemporaryDirectory() as place:
        onnx.save(graph, Path(place) / "model.onnx")
        model = openvino.Core().read_model(Path(place) / "model.onnx")
        batches = list(batch_by_length(tokenizer, calibration, 1))
        small = nncf.quantize(model, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER)
        hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": threads}
        compiled = openvino.Core().compile_model(small, "CPU", {**hints, "INFERENCE_PRECISION_HINT": "f32"})

    def score(pairs: Sequence[Pair]) -> None:
        queue = openvino.AsyncInferQueue(compiled, threads)
        for batch in batch_by_length(tokenizer, pairs):
            queue.start_async(batch)
        queue.wait_all()

    return Way("OpenVINO, NNCF static int8 MiniLM, sorted", 2000, score, MINILM.count_products)


def has_openvino() -> bool:
    """Say whether the two packages are here that no line of this project needs."""
    return all(find_spec(name) for name in ("openvino", "nncf"))


def batch_by_length(tokenizer: Tokenizer, pairs: Sequence[Pair], size: int = BATCH) -> Iterator[Arrays]:
    """Yield int64 inputs of ``size`` headlines each, the shortest first, padded to the longest of the batch."""
    encodings = sorted(tokenizer.encode_batch(list(pairs)), key=len)
    for start in range(0, len(encodings), size):
        part = encodings[start : start + size]
        arrays = np.zeros((len(INPUTS), len(part), len(part[-1])), np.int64)
        for row, found in enumerate(part):
            arrays[:, row, : len(found)] = found.ids, found.attention_mask, found.type_ids
        yield dict(zip(INPUTS, arrays, strict=True))


def strip_tokenizer(tokenizer: BertTokenizerFast) -> Tokenizer:
    """Return the same tokenizer without transformers around it, unpadded."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    return plain


@contextmanager
def quiet() -> Iterator[None]:
    """Silence advice on exporting and quantising that does not matter for speed."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
