"""Logits and what a row is known by -> the loss of a recipe, a mean over rows. Label logits are the first three.

A row whose label is UNLABELLED has no class of its own: only a teacher, and the agreement of two passes, speak of it.
"""

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
UNLABELLED = -1
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
    r_drop: float = 0.0
    state_weight: float = 0.0

    @property
    def passes(self) -> int:
        """How often the model reads a batch, each time under a dropout of its own."""
        return 2 if self.r_drop else 1


def choose_objective(recipe: Recipe, labels: Iterable[int], device: torch.device) -> Objective:
    """Return the recipe's objective; ``labels`` are the classes of the rows of one epoch, as often as they come."""
    weights = weigh_classes(labels).to(device) if recipe.class_weights == "balanced" else None
    return Objective(
        recipe.score_weight,
        recipe.score_head,
        weights,
        recipe.teacher_weight,
        recipe.teacher_temperature,
        recipe.r_drop,
        recipe.state_weight,
    )


def weigh_classes(labels: Iterable[int]) -> torch.Tensor:
    """Return n / (k * count) for each of the k classes that occur, float (3,): scikit-learn's "balanced" weights.

    Their mean over ``labels`` is 1. A class that does not occur gets 1, and no row to use it on. UNLABELLED rows are
    not counted.
    """
    counts = Counter(label for label in labels if label != UNLABELLED)
    total = sum(counts.values())
    return torch.tensor([total / (len(counts) * counts[i]) if counts[i] else 1.0 for i in range(CLASSES)])


def compute_loss(
    logits: torch.Tensor, batch: Batch, objective: Objective, projected: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the loss of the batch's n rows, from the logits of ``objective.passes`` readings of it.

    ``logits`` float (n, 3), or (n, 4) with a separate score output; with ``r_drop`` (2n, ...), the first reading's
    rows before the second's. Two readings count by the mean of their losses, plus ``r_drop`` times
    :func:`compare_passes`. ``projected``, the states mapped to the teacher's width, adds ``state_weight`` times
    :func:`compare_states`.
    """
    readings = logits.chunk(objective.passes)
    loss = torch.stack([compute_pass(reading, batch, objective) for reading in readings]).mean()
    if objective.r_drop:
        first, second = readings
        loss = loss + objective.r_drop * compare_passes(first[:, :CLASSES], second[:, :CLASSES])
    if projected is not None and batch.states is not None:
        loss = loss + objective.state_weight * compare_states(projected, batch.states)
    return loss


def compute_pass(logits: torch.Tensor, batch: Batch, objective: Objective) -> torch.Tensor:
    """Return cross-entropy, mixed with the teacher's where there is one, plus the weighted loss of the scores.

    A labelled row counts (1 - teacher_weight) * its label's loss + teacher_weight * the teacher's. For an UNLABELLED
    one the teacher stands in for the label too, so that it counts the teacher's loss with weight 1.
    """
    classes, labels = logits[:, :CLASSES], batch.labels
    loss = compare_labels(classes, labels, objective.class_weights)
    if batch.teacher is not None:
        temperature, share = objective.teacher_temperature, objective.teacher_weight
        stand_in = compare_teacher(classes, batch.teacher, temperature, labels == UNLABELLED)
        loss = (1 - share) * (loss + stand_in) + share * compare_teacher(classes, batch.teacher, temperature)
    if objective.score_weight:
        loss = loss + objective.score_weight * compare_scores(logits, batch.scores, objective.score_head).mean()
    return loss


def compare_labels(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Return the cross-entropy, each row times its class's weight, divided by the number of rows.

    Not by the sum of weights, as torch does: a batch's rare class would then weigh less where it is most needed, and
    parts of a batch would not add up to the whole. An UNLABELLED row adds nothing and is counted.
    """
    if weights is None:
        return functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum") / len(labels)
    return functional.cross_entropy(logits, labels, weight=weights, ignore_index=UNLABELLED, reduction="none").mean()


def compare_passes(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return (KL(first || second) + KL(second || first)) / 2 of the classes, a mean over rows.

    Both float (n, 3), logits of the same rows under two dropouts (R-Drop: Liang, Wu et al. 2021, equation 2).
    """
    one, other = functional.log_softmax(first, dim=1), functional.log_softmax(second, dim=1)
    return ((one.exp() - other.exp()) * (one - other)).sum() / (2 * len(first))


def compare_states(projected: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of ``projected``, float (passes * n, width), and ``states``, (n, width)."""
    return (projected.view(-1, *states.shape) - states.float()).square().mean()


def compare_scores(logits: torch.Tensor, scores: torch.Tensor, head: str) -> torch.Tensor:
    """Return the squared error of :func:`read_scores` in every row, float (n,), 0 where a row has no score.

    ``scores`` float (n,) in -1..1, NaN where a row has none.
    """
    error = read_scores(logits, head) - scores
    return torch.where(scores.isnan(), 0.0, error.nan_to_num()).square()


def read_scores(logits: torch.Tensor, head: str) -> torch.Tensor:
    """Return float (n,) in -1..1: p_positive - p_negative, or with ``head`` "separate" tanh of the fourth output."""
    if head == "separate":
        return logits[:, CLASSES].tanh()
    probabilities = logits[:, :CLASSES].softmax(dim=1)
    return probabilities[:, POSITIVE] - probabilities[:, NEGATIVE]


def compare_teacher(
    logits: torch.Tensor, teacher: torch.Tensor, temperature: float, chosen: torch.Tensor | None = None
) -> torch.Tensor:
    """Return T^2 * KL(teacher || student), both softened by T, as a mean over rows (Hinton, Vinyals, Dean 2015).

    ``teacher`` holds probabilities, float (n, 3): their logarithms are logits up to a constant that cancels. T^2 keeps
    the gradient's size when T changes. With ``chosen``, bool (n,), the other rows add nothing and are counted.
    """
    target = functional.log_softmax(teacher.clamp_min(LEAST_PROBABILITY).log() / temperature, dim=1)
    softened = functional.log_softmax(logits / temperature, dim=1)
    terms = functional.kl_div(softened, target, reduction="none", log_target=True)
    if chosen is not None:
        terms = terms * chosen[:, None]
    return terms.sum() / len(terms) * temperature**2
