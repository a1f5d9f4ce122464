"""A model and one text -> which words drove its decision, and what its last layer attended to.

Integrated gradients (Sundararajan, Taly & Yan 2017) through captum, on the word-embedding layer, for the difference of
two logits. Pieces of a word are summed, which loses nothing: the attributions add up to the difference explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from captum.attr import IntegratedGradients
from transformers import PreTrainedTokenizerFast

from ..batches import encode_examples, mark_examples, pad_batch
from ..data import Example

STEPS = (24, 96, 384)
"""Points of the path integral; the next number is tried where the last one missed TOLERANCE."""
CHUNK = 32
TOLERANCE = 0.05
"""The largest convergence error, as a share of the difference explained, at which no finer path is tried."""
LEAST_GAP = 0.1
"""Differences below this many logits are judged against it, lest a share of nearly nothing be asked for."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word the model read: where it stands in segment 0 (text) or 1 (target), None for a special token."""

    shown: str
    segment: int | None
    start: int
    end: int
    attribution: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a class was preferred over another.

    ``gap`` is logit(predicted) - logit(true) for the text, ``baseline_gap`` for the same row with every word padded
    out; the words' attributions sum to their difference but for ``delta``, found with ``steps`` points. ``attention``
    is float (words, words), rows that sum to 1: the mean over the last layer's heads, None where the model gives none.
    ``probabilities`` are the model's own for the row, three in LABELS order. ``segments`` are its text and target as
    they were read, the target marked in the text where the model was so trained; words index them.
    """

    words: tuple[Word, ...]
    gap: float
    baseline_gap: float
    delta: float
    steps: int
    attention: np.ndarray | None
    probabilities: tuple[float, ...]
    segments: tuple[str, str]

    @property
    def is_converged(self) -> bool:
        """Whether the attributions add up to what they explain, within TOLERANCE."""
        return abs(self.delta) <= TOLERANCE * max(abs(self.gap - self.baseline_gap), LEAST_GAP)


def prepare_model(model: torch.nn.Module) -> torch.nn.Module:
    """Return ``model`` ready to explain: evaluation mode, no gradient into weights, attention that can be read."""
    base = cast(Any, model)
    base = base.get_base_model() if hasattr(base, "get_base_model") else base
    base.set_attn_implementation("eager")
    model.requires_grad_(False)
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def explain_example(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    example: Example,
    predicted: int,
    true: int,
) -> Explanation:
    """Return why a model from :func:`prepare_model` prefers class ``predicted`` over ``true`` for ``example``."""
    device = next(model.parameters()).device
    inputs = pad_batch(encode_examples([example], tokenizer, max_length), tokenizer, device)
    (example,) = mark_examples([example], tokenizer)
    groups = group_words(tokenizer, example, max_length)
    assert sum(len(group.tokens) for group in groups) == inputs["input_ids"].shape[1]
    integral = integrate_gradients(model, inputs, find_words(groups), tokenizer.pad_token_id, predicted, true)
    with torch.inference_mode():
        found = model(**inputs, output_attentions=True)
    attentions = getattr(found, "attentions", None)
    return Explanation(
        words=tuple(_sum_word(group, integral.weights, example) for group in groups),
        gap=integral.gap,
        baseline_gap=integral.baseline_gap,
        delta=integral.delta,
        steps=integral.steps,
        attention=merge_attention(attentions[-1][0].float().cpu().numpy(), groups) if attentions else None,
        probabilities=tuple(found.logits[0].float().softmax(dim=0).tolist()),
        segments=(example.text, example.target),
    )


@dataclass(frozen=True, slots=True)
class Integral:
    """One path integral: an attribution per token, float (length,) in logits, and how it was come by."""

    weights: np.ndarray
    gap: float
    baseline_gap: float
    delta: float
    steps: int


def integrate_gradients(
    model: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    words: Sequence[int],
    padding: int,
    predicted: int,
    true: int,
) -> Integral:
    """Return the integral for one row, from ``padding`` in place of its tokens at ``words`` to the row itself.

    The embeddings go in, not the ids: some models count positions, or find the last token, by looking for padding ids,
    and would read the start of the path as another sentence.
    """
    rest = {name: value for name, value in inputs.items() if name != "input_ids"}
    names, embed = list(rest), cast(Any, model).get_input_embeddings()

    def find_gap(embedded: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        logits = model(inputs_embeds=embedded, **dict(zip(names, values, strict=True))).logits.float()
        return logits[:, predicted] - logits[:, true]

    ids = inputs["input_ids"]
    padded = ids.index_fill(1, torch.tensor(words, dtype=torch.long, device=ids.device), padding)
    with torch.no_grad():
        end, start = embed(ids), embed(padded)
        gap, baseline_gap = (float(find_gap(place, *rest.values())) for place in (end, start))
    allowed = TOLERANCE * max(abs(gap - baseline_gap), LEAST_GAP)
    for steps in STEPS:
        weights = IntegratedGradients(find_gap).attribute(
            end, start, additional_forward_args=tuple(rest.values()), n_steps=steps, internal_batch_size=CHUNK
        )
        delta = float(weights.sum()) - (gap - baseline_gap)
        if abs(delta) <= allowed:
            break
    return Integral(weights[0].sum(dim=-1).float().cpu().numpy(), gap, baseline_gap, delta, steps)


def find_words(groups: Sequence[Group]) -> list[int]:
    """Return the positions of every token that is part of a word, ascending."""
    return sorted(token for group in groups if group.segment is not None for token in group.tokens)


@dataclass(frozen=True, slots=True)
class Group:
    """The tokens of one word, where it stands in its segment, and the token itself where it is a special one."""

    tokens: tuple[int, ...]
    segment: int | None
    start: int
    end: int
    special: str = ""


def group_words(tokenizer: PreTrainedTokenizerFast, example: Example, max_length: int) -> list[Group]:
    """Return the words of the row as the model reads it, in order; every token belongs to exactly one."""
    pair = ([example.text], [example.target])
    encoding = tokenizer(*pair, truncation="longest_first", max_length=max_length).encodings[0]
    keys: list[tuple[int | None, int]] = []
    for i, (segment, word) in enumerate(zip(encoding.sequence_ids, encoding.word_ids, strict=True)):
        keys.append((segment, word) if segment is not None and word is not None else (None, i))
    groups = []
    for key in dict.fromkeys(keys):
        tokens = tuple(i for i, other in enumerate(keys) if other == key)
        spans = [encoding.offsets[i] for i in tokens]
        special = encoding.tokens[tokens[0]] if key[0] is None else ""
        groups.append(Group(tokens, key[0], min(a for a, _ in spans), max(b for _, b in spans), special))
    return groups


def merge_attention(heads: np.ndarray, groups: Sequence[Group]) -> np.ndarray:
    """Return float (words, words) from (heads, length, length): mean over heads and asking pieces, sum over asked."""
    mean = heads.mean(axis=0)
    asked = np.stack([mean[:, list(group.tokens)].sum(axis=1) for group in groups], axis=1)
    return np.stack([asked[list(group.tokens)].mean(axis=0) for group in groups])


def _sum_word(group: Group, weights: np.ndarray, example: Example) -> Word:
    segment = (example.text, example.target)[group.segment or 0]
    shown = group.special or segment[group.start : group.end].strip() or "␣"
    return Word(shown, group.segment, group.start, group.end, float(weights[list(group.tokens)].sum()))
