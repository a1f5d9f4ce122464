"""(headline, company name) pairs -> probabilities, by onnxruntime and tokenizers alone. Never loads torch.

The model file stores int8 weights; they are unpacked to float32 once, when it is loaded, and all arithmetic is
float32. So a headline's score hangs neither on the other headlines of its batch nor on the CPU's integer instructions
(measured in docs/QUANTIZATION.md).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from .errors import ModelError
from .model_folder import CONFIG, ModelFolder, read_json, read_model_folder
from .text import LABELS

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a graph may ask for. Models that do not tell the two segments apart leave the last one out."""
_Tokens = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids and segment ids of one pair."""


class Scorer(Protocol):
    """What the line needs of a model."""

    @property
    def revision(self) -> str:
        """What names the model in every row it scored."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3) for ``pairs`` of headline and company name: columns in LABELS order, rows sum to 1."""
        ...


class OnnxScorer:
    """A model folder, loaded once. ``threads`` 0 takes every core; ``batch_tokens`` bounds a batch, padding included.

    Raises:
        ModelError: the folder fails a check of :func:`read_model_folder`, or its graph has foreign inputs.
    """

    def __init__(self, folder: Path, threads: int = 0, batch_tokens: int = 1024) -> None:
        self.folder = read_model_folder(folder)
        self.batch_tokens = batch_tokens
        self._tokenizer = _load_tokenizer(self.folder)
        self._session = _open_session(self.folder, threads)
        self._inputs = [found.name for found in self._session.get_inputs()]
        self._padding = _read_padding(self.folder)
        self._columns = list(self.folder.label_order)

    @property
    def revision(self) -> str:
        """The adapter's revision, 40 hex digits."""
        return self.folder.revision

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3) for ``pairs`` of headline and company name ("" for none).

        Columns in LABELS order, rows sum to 1, rows in the order of ``pairs``. The same pairs get the same numbers
        whatever their order: batches are formed over the sorted distinct pairs. ``progress`` counts on stderr.
        """
        tokens = [_tokens_of(encoding) for encoding in self._tokenizer.encode_batch(list(pairs))]
        distinct = sorted(set(tokens), key=lambda pair: (len(pair[0]), pair))
        scores: dict[_Tokens, np.ndarray] = {}
        for batch in plan_batches(distinct, self.batch_tokens):
            scores.update(zip(batch, self._score_batch(batch), strict=True))
            if progress:
                print(f"\rscored {len(scores):,} of {len(distinct):,}", end="", file=sys.stderr, flush=True)
        if progress and scores:
            print(file=sys.stderr)
        return np.array([scores[pair] for pair in tokens], np.float32).reshape(-1, len(LABELS))

    def _score_batch(self, batch: Sequence[_Tokens]) -> np.ndarray:
        """Return float32 (len(batch), 3) in LABELS order."""
        inputs = np.zeros((len(INPUTS), len(batch), max(len(ids) for ids, _ in batch)), np.int64)
        inputs[0] = self._padding
        for row, (ids, segments) in enumerate(batch):
            inputs[:, row, : len(ids)] = ids, [1] * len(ids), segments
        values = dict(zip(INPUTS, inputs, strict=True))
        (logits,) = self._session.run(None, {name: values[name] for name in self._inputs})
        return softmax(logits[:, self._columns])


def plan_batches(pairs: Sequence[_Tokens], batch_tokens: int) -> Iterator[list[_Tokens]]:
    """Cut ``pairs``, sorted by length, into batches of at most ``batch_tokens`` tokens once padded, but of one pair."""
    batch: list[_Tokens] = []
    for pair in pairs:
        if batch and len(pair[0]) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return float32 probabilities of the last axis, computed in float64 so that rows sum to 1 within 1e-6."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def _tokens_of(encoding: Encoding) -> _Tokens:
    return tuple(encoding.ids), tuple(encoding.type_ids)


def _load_tokenizer(folder: ModelFolder) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder.tokenizer_path))
    tokenizer.no_padding()  # some tokenizer files ask for padding to 128, seven times the work
    tokenizer.enable_truncation(folder.max_length, strategy="longest_first")
    return tokenizer


def _open_session(folder: ModelFolder, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves a shared machine
    session = onnxruntime.InferenceSession(str(folder.onnx_path), options, providers=["CPUExecutionProvider"])
    names = sorted(found.name for found in session.get_inputs())
    if not set(INPUTS[:2]) <= set(names) <= set(INPUTS):
        raise ModelError(f"{folder.onnx_path}: inputs are {', '.join(names)}; expected {', '.join(INPUTS)}")
    return session


def _read_padding(folder: ModelFolder) -> int:
    """Return the token that fills a row: a decoder looks for the last one that is something else."""
    token = read_json(folder.path / CONFIG).get("pad_token_id")
    return token if isinstance(token, int) else 0
