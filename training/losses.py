"""Logits and what a row is known by -> the loss of a recipe, a mean over rows. Label logits are the first three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional

from pipeline.text import LABELS

from .batches import Batch
from .recipe import Recipe

CLASSES = len(LABELS)
POSITIVE, NEGATIVE = LABELS.index("positive"), LABELS.index("negative")
LEAST_PROBABILITY = 1e-12
"""What a teacher's probability of 0 counts as in a logarithm."""


@dataclass(frozen=True)
class Objective:
    """What a fit minimises; the fields mean what the recipe's do. ``class_weights`` is float (3,), None for equal."""

    score_weight: float = 0.0
    score_head: str = "difference"
    class_weights: torch.Tensor | None = None
    teacher_weight: float = 0.0
    teacher_temperature: float = 1.0


def choose_objective(recipe: Recipe, labels: Iterable[int], device: torch.device) -> Objective:
    """Return the recipe's objective; ``labels`` are the classes of the rows of one epoch, as often as they come."""
    weights = weigh_classes(labels).to(device) if recipe.class_weights == "balanced" else None
    return Objective(recipe.score_weight, recipe.score_head, weights, recipe.teacher_weight, recipe.teacher_temperature)


def weigh_classes(labels: Iterable[int]) -> torch.Tensor:
    """Return n / (k * count) for each of the k classes that occur, float (3,): scikit-learn's "balanced" weights.

    Their mean over ``labels`` is 1. A class that does not occur gets 1, and no row to use it on.
    """
    counts = Counter(labels)
    total = sum(counts.values())
    return torch.tensor([total / (len(counts) * counts[i]) if counts[i] else 1.0 for i in range(CLASSES)])


def compute_loss(logits: torch.Tensor, batch: Batch, objective: Objective) -> torch.Tensor:
    """Return cross-entropy, mixed with the teacher's where there is one, plus the weighted loss of the scores.

    ``logits`` float (n, 3), or (n, 4) with a separate score output.
    """
    loss = compare_labels(logits[:, :CLASSES], batch.labels, objective.class_weights)
    if batch.teacher is not None:
        distance = compare_teacher(logits[:, :CLASSES], batch.teacher, objective.teacher_temperature)
        loss = (1 - objective.teacher_weight) * loss + objective.teacher_weight * distance
    if objective.score_weight:
        loss = loss + objective.score_weight * compare_scores(logits, batch.scores, objective.score_head)
    return loss


def compare_labels(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the cross-entropy, each row times its class's weight, divided by the number of rows.

    Not by the sum of weights, as torch does: a batch's rare class would then weigh less where it is most needed, and
    parts of a batch would not add up to the whole.
    """
    if weights is None:
        return functional.cross_entropy(logits, labels)
    return functional.cross_entropy(logits, labels, weight=weights, reduction="none").mean()


def compare_scores(logits: torch.Tensor, scores: torch.Tensor, head: str) -> torch.Tensor:
    """Return the squared error of :func:`read_scores`, summed over rows with a score, divided by all rows.

    ``scores`` float (n,) in -1..1, NaN where a row has none: it adds nothing.
    """
    error = read_scores(logits, head) - scores
    return torch.where(scores.isnan(), 0.0, error.nan_to_num()).square().mean()


def read_scores(logits: torch.Tensor, head: str) -> torch.Tensor:
    """Return float (n,) in -1..1: p_positive - p_negative, or with ``head`` "separate" tanh of the fourth output."""
    if head == "separate":
        return logits[:, CLASSES].tanh()
    probabilities = logits[:, :CLASSES].softmax(dim=1)
    return probabilities[:, POSITIVE] - probabilities[:, NEGATIVE]


def compare_teacher(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T^2 * KL(teacher || student), both softened by T, as a mean over rows (Hinton, Vinyals, Dean 2015).

    ``teacher`` holds probabilities, float (n, 3): their logarithms are logits up to a constant that cancels. T^2 keeps
    the gradient's size when T changes.
    """
    target = functional.log_softmax(teacher.clamp_min(LEAST_PROBABILITY).log() / temperature, dim=1)
    softened = functional.log_softmax(logits / temperature, dim=1)
    return functional.kl_div(softened, target, reduction="batchmean", log_target=True) * temperature**2
