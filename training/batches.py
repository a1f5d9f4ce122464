"""Examples -> padded batches of similar length, and batches -> probabilities.

Padding to the longest row of a batch of alike lengths, not to a fixed width, about halves the work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from random import Random

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from .data import Example

Batch = tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]
"""Model inputs int64 (n, length), labels int64 (n,), scores float32 (n,) with NaN where a row has none."""
POOL_BATCHES = 50
"""Rows are sorted by length within pools of this many batches: wide enough to save padding, still well mixed."""


def encode_examples(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, max_length: int
) -> list[dict[str, list[int]]]:
    """Return the token ids of every (text, target) pair, cut to ``max_length`` from the longer segment, not padded."""
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


def load_batches(
    examples: Sequence[Example],
    encoded: Sequence[dict[str, list[int]]],
    order: Iterable[Sequence[int]],
    tokenizer: PreTrainedTokenizerFast,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield (inputs, labels, scores) for every list of rows in ``order``; a missing score is NaN."""
    for rows in order:
        chosen = [examples[i] for i in rows]
        labels = torch.tensor([example.label for example in chosen], device=device)
        scores = torch.tensor([math.nan if e.score is None else e.score for e in chosen], device=device)
        yield pad_batch([encoded[i] for i in rows], tokenizer, device), labels, scores


@torch.inference_mode()
def predict_probabilities(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    encoded: Sequence[dict[str, list[int]]],
    batch_size: int = 64,
) -> torch.Tensor:
    """Return float32 (n, 3) on the CPU, in the order of ``encoded``; puts the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    result = torch.empty(len(encoded), 3)
    for rows in _in_length_order(encoded, batch_size):
        logits = model(**pad_batch([encoded[i] for i in rows], tokenizer, device)).logits
        result[rows] = logits.float().softmax(dim=1).cpu()
    return result


def _in_length_order(encoded: Sequence[dict[str, list[int]]], batch_size: int) -> Iterator[list[int]]:
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
