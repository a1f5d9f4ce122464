"""(headline, company name) pairs -> probabilities, by onnxruntime and tokenizers alone. Never loads torch.

A headline's score hangs neither on the other headlines of its batch nor on the number of threads, to the last bit: a
batch holds texts of one length only, so that nothing is padded, and each batch is computed by one thread. The model
file's own scales know nothing of the batch either (docs/QUANTIZATION.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from .errors import ModelError
from .model_folder import TOKENIZER, ModelFolder, read_marked, read_max_length, read_model_folder
from .text import LABELS, mark_company

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a graph may ask for. Models that do not tell the two segments apart leave the last one out."""
Tokens = tuple[tuple[int, ...], tuple[int, ...]]
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
    """A model folder, loaded once. ``threads`` 0 takes every core; ``batch_tokens`` bounds a batch.

    Neither changes a score. The tokenizer has threads of its own, RAYON_NUM_THREADS of them.

    Raises:
        ModelError: ``threads`` is negative, the folder fails a check of :func:`read_model_folder`, or its graph has
            foreign inputs.
    """

    def __init__(self, folder: Path, threads: int = 0, batch_tokens: int = 1024) -> None:
        if threads < 0:
            raise ModelError(f"threads is {threads}; expected 0 for every core, or a number of them")
        self.folder = read_model_folder(folder)
        self.batch_tokens = batch_tokens
        self.threads = threads or count_cores()
        self._tokenizer = load_tokenizer(self.folder.tokenizer_path, self.folder.max_length)
        self._session = _open_session(self.folder)
        self._inputs = [found.name for found in self._session.get_inputs()]
        self._columns = list(self.folder.label_order)

    @property
    def revision(self) -> str:
        """The adapter's revision, 40 hex digits."""
        return self.folder.revision

    def score(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> np.ndarray:
        """Return float32 (n, 3) for ``pairs`` of headline and company name ("" for none).

        Columns in LABELS order, rows sum to 1, rows in the order of ``pairs``. The same pair gets the same numbers
        whatever it is scored with; pairs of the same tokens are scored once. ``progress`` counts on stderr.
        """
        tokens = _tokenize(self._tokenizer, mark_pairs(pairs, self.folder.is_marked))
        distinct = sorted(set(tokens), key=lambda pair: (len(pair[0]), pair))
        batches = list(plan_batches(distinct, self.batch_tokens))[::-1]  # long texts first: no thread is left waiting
        scores: dict[Tokens, np.ndarray] = {}
        with ThreadPoolExecutor(self.threads) as pool:
            for batch, rows in zip(batches, pool.map(self._score_batch, batches), strict=True):
                scores.update(zip(batch, rows, strict=True))
                if progress:
                    print(f"\rscored {len(scores):,} of {len(distinct):,}", end="", file=sys.stderr, flush=True)
        if progress and scores:
            print(file=sys.stderr)
        return np.array([scores[pair] for pair in tokens], np.float32).reshape(-1, len(LABELS))

    def score_stream(self, pairs: Iterable[tuple[str, str]], window: int = 8192) -> Iterator[np.ndarray]:
        """Yield float32 (3,) for each of ``pairs``, in their order; the scores are those of :meth:`score`.

        At most ``window`` pairs are held at a time, however long the stream; pairs of the same tokens are scored once
        within a window. Nothing is read before the first score is asked for.

        Raises:
            ValueError: ``window`` is below 1.
        """
        if window < 1:
            raise ValueError(f"window is {window}; expected 1 or more")
        remaining = iter(pairs)
        while chunk := list(islice(remaining, window)):
            yield from self.score(chunk)

    def _score_batch(self, batch: Sequence[Tokens]) -> np.ndarray:
        """Return float32 (len(batch), 3) in LABELS order. All of ``batch`` have one length."""
        ids, segments = (np.array([pair[i] for pair in batch], np.int64) for i in range(2))
        values = dict(zip(INPUTS, (ids, np.ones_like(ids), segments), strict=True))
        (logits,) = self._session.run(None, {name: values[name] for name in self._inputs})
        return softmax(logits[:, self._columns])


def plan_batches(pairs: Sequence[Tokens], batch_tokens: int) -> Iterator[list[Tokens]]:
    """Cut ``pairs``, sorted by length, into batches of one length and ``batch_tokens`` tokens, but of one pair."""
    batch: list[Tokens] = []
    for pair in pairs:
        length = len(pair[0])
        if batch and (length != len(batch[0][0]) or length * (len(batch) + 1) > batch_tokens):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return float32 probabilities of the last axis, computed in float64 so that rows sum to 1 within 1e-6."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def tokenize(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
    """Return token ids and segment ids of each pair, as the model in ``folder``, a run or an exported one, reads it."""
    tokenizer = load_tokenizer(folder / TOKENIZER, read_max_length(folder))
    return _tokenize(tokenizer, mark_pairs(pairs, read_marked(folder)))


def mark_pairs(pairs: Sequence[tuple[str, str]], is_marked: bool) -> Sequence[tuple[str, str]]:
    """Return ``pairs`` as a model reads them: the company marked in the headline if ``is_marked``, else as is."""
    if not is_marked:
        return pairs
    return [(mark_company(headline, company), company) for headline, company in pairs]


def load_tokenizer(path: Path, max_length: int) -> Tokenizer:
    """Return the tokenizer of ``path``: no padding, the longer segment cut first down to ``max_length`` tokens."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()  # some tokenizer files ask for padding to 128, seven times the work
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    return tokenizer


def _tokenize(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]]) -> list[Tokens]:
    return [(tuple(found.ids), tuple(found.type_ids)) for found in tokenizer.encode_batch_fast(list(pairs))]


def _open_session(folder: ModelFolder) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_pattern = False  # it would keep one for every shape, thousands in a long run
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder.onnx_path), options, providers=["CPUExecutionProvider"])
    names = sorted(found.name for found in session.get_inputs())
    if not set(INPUTS[:2]) <= set(names) <= set(INPUTS):
        raise ModelError(f"{folder.onnx_path}: inputs are {', '.join(names)}; expected {', '.join(INPUTS)}")
    return session
