"""Examples -> padded batches of similar length, and batches -> logits and probabilities.

Padding to the longest row of a batch of alike lengths, not to a fixed width, about halves the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from pipeline.model_folder import MARK_COMPANY
from pipeline.text import LABELS, mark_company

from .data import Example

POOL_BATCHES = 50
"""Rows are sorted by length within pools of this many batches: wide enough to save padding, still well mixed."""


@dataclass(frozen=True)
class Batch:
    """Model inputs int64 (n, length), labels int64 (n,), scores float32 (n,) with NaN where a row has none.

    ``teacher`` holds a teacher's probabilities, float32 (n, 3), ``states`` its standardised states, float (n, width);
    None without one.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    scores: torch.Tensor
    teacher: torch.Tensor | None = None
    states: torch.Tensor | None = None


@dataclass(frozen=True)
class RowTable:
    """All rows of a fit, encoded: fields as in :class:`Batch`, on the CPU, ``encoded`` not padded."""

    encoded: Sequence[dict[str, list[int]]]
    labels: torch.Tensor
    scores: torch.Tensor
    tokenizer: PreTrainedTokenizerFast
    teacher: torch.Tensor | None = None
    states: torch.Tensor | None = None

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of every row."""
        return [len(row["input_ids"]) for row in self.encoded]

    def load_batch(self, rows: Sequence[int], device: torch.device) -> Batch:
        """Return ``rows`` as one padded batch on ``device``."""
        chosen = list(rows)
        return Batch(
            pad_batch([self.encoded[i] for i in chosen], self.tokenizer, device),
            self.labels[chosen].to(device),
            self.scores[chosen].to(device),
            None if self.teacher is None else self.teacher[chosen].to(device),
            None if self.states is None else self.states[chosen].to(device),
        )


def tabulate_rows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    teacher: torch.Tensor | None = None,
    states: torch.Tensor | None = None,
) -> RowTable:
    """Return ``examples`` ready for batches; ``teacher`` and ``states`` as in :class:`Batch`."""
    scores = [math.nan if example.score is None else example.score for example in examples]
    labels = torch.tensor([example.label for example in examples])
    encoded = encode_examples(examples, tokenizer, max_length)
    return RowTable(encoded, labels, torch.tensor(scores), tokenizer, teacher, states)


def mark_examples(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> Sequence[Example]:
    """Return ``examples`` as the tokenizer's model reads them: the target marked in the text, if it was so trained."""
    if not tokenizer.init_kwargs.get(MARK_COMPANY):
        return examples
    return [replace(example, text=mark_company(example.text, example.target)) for example in examples]


def encode_examples(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, max_length: int
) -> list[dict[str, list[int]]]:
    """Return the token ids of every (text, target) pair, cut to ``max_length`` from the longer segment, not padded."""
    examples = mark_examples(examples, tokenizer)
    texts, targets = [e.text for e in examples], [e.target for e in examples]
    encoded = tokenizer(texts, targets, truncation="longest_first", max_length=max_length, padding=False)
    return [{name: column[i] for name, column in encoded.items()} for i in range(len(examples))]


def group_batches(lengths: Sequence[int], batch_size: int, random: Random) -> list[list[int]]:
    """Return every index once, in batches of alike length and random order. Deterministic under ``random``."""
    order = list(range(len(lengths)))
    random.shuffle(order)
    pool = batch_size * POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        by_length = sorted(order[start : start + pool], key=lambda i: lengths[i])
        batches += [by_length[k : k + batch_size] for k in range(0, len(by_length), batch_size)]
    random.shuffle(batches)
    return batches


def pad_batch(
    rows: Sequence[dict[str, list[int]]], tokenizer: PreTrainedTokenizerFast, device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """Return the rows as tensors of int64 (n, longest row) on ``device``, padded on the right."""
    return {
        name: pad_sequence(
            [torch.tensor(row[name]) for row in rows],
            batch_first=True,
            padding_value=tokenizer.pad_token_id if name == "input_ids" else 0,
        ).to(device)
        for name in rows[0]
    }


def predict_probabilities(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    encoded: Sequence[dict[str, list[int]]],
    batch_size: int = 64,
) -> torch.Tensor:
    """Return float32 (n, 3) on the CPU, in the order of ``encoded``; puts the model in evaluation mode."""
    return predict_logits(model, tokenizer, encoded, batch_size)[:, : len(LABELS)].softmax(dim=1)


def predict_logits(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    encoded: Sequence[dict[str, list[int]]],
    batch_size: int = 64,
) -> torch.Tensor:
    """Return float32 (n, outputs of the model) on the CPU, in the order of ``encoded``; sets evaluation mode."""
    return predict_outputs(model, tokenizer, encoded, lambda output: output.logits, batch_size)


@torch.inference_mode()
def predict_outputs(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    encoded: Sequence[dict[str, list[int]]],
    read: Callable[[Any], torch.Tensor],
    batch_size: int = 64,
    title: str = "",
    **options: bool,
) -> torch.Tensor:
    """Return what ``read`` takes of the model's output, float32 (n, ...) on the CPU, in the order of ``encoded``.

    ``options`` go to the model; it is put in evaluation mode. A ``title`` shows progress under that name.
    """
    model.eval()
    device = next(model.parameters()).device
    batches = list(_in_length_order(encoded, batch_size))
    found = torch.cat(
        [
            read(model(**pad_batch([encoded[i] for i in rows], tokenizer, device), **options)).float().cpu()
            for rows in tqdm(batches, desc=title, mininterval=5, leave=False, disable=not title)
        ]
    )
    result = torch.empty_like(found)
    result[[i for rows in batches for i in rows]] = found
    return result


def _in_length_order(encoded: Sequence[dict[str, list[int]]], batch_size: int) -> Iterator[list[int]]:
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
