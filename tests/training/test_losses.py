"""Every loss against its formula worked out by hand or by the library that defines it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sklearn.utils.class_weight import compute_class_weight  # noqa: E402

from training.batches import Batch  # noqa: E402
from training.losses import (  # noqa: E402
    UNLABELLED,
    Objective,
    choose_objective,
    compare_labels,
    compare_passes,
    compare_teacher,
    compute_loss,
    weigh_classes,
)
from training.recipe import load_recipe  # noqa: E402

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
LOGITS = [[0.0, 0.0, 0.0], [math.log(1.0), math.log(1.0), math.log(2.0)]]


def make_batch(labels: list[int], scores: list[float], teacher: list[list[float]] | None = None) -> Batch:
    return Batch({}, torch.tensor(labels), torch.tensor(scores), None if teacher is None else torch.tensor(teacher))


def test_the_loss_adds_the_squared_error_of_scored_rows_only() -> None:
    logits, batch = torch.tensor(LOGITS, requires_grad=True), make_batch([1, 2], [math.nan, 0.75])
    entropy = (math.log(3) + math.log(2)) / 2
    error = (1 / 2 - 1 / 4 - 0.75) ** 2 / 2
    assert compute_loss(logits, batch, Objective()).item() == pytest.approx(entropy)
    loss = compute_loss(logits, batch, Objective(score_weight=2.0))
    assert loss.item() == pytest.approx(entropy + 2 * error)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_a_separate_score_is_the_tanh_of_a_fourth_output_and_leaves_the_classes_alone() -> None:
    logits = torch.tensor([[*row, raw] for row, raw in zip(LOGITS, (5.0, 0.5), strict=True)], requires_grad=True)
    batch = make_batch([1, 2], [math.nan, 0.75])
    loss = compute_loss(logits, batch, Objective(score_weight=2.0, score_head="separate"))
    expected = (math.log(3) + math.log(2)) / 2 + 2 * (math.tanh(0.5) - 0.75) ** 2 / 2
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    plain = torch.tensor(LOGITS, requires_grad=True)
    compute_loss(plain, batch, Objective()).backward()
    torch.testing.assert_close(logits.grad[:, :3], plain.grad)
    assert logits.grad[0, 3] == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2], [1, 1, 2, 2, 2], [2]])
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    classes = np.unique(labels)
    expected = compute_class_weight("balanced", classes=classes, y=labels)
    assert weigh_classes(labels)[classes].numpy() == pytest.approx(expected)
    assert weigh_classes(labels)[labels].mean().item() == pytest.approx(1)


def test_a_weighted_row_counts_by_its_class_and_parts_of_a_batch_add_up() -> None:
    objective = Objective(class_weights=torch.tensor([3.0, 1.0, 0.5]))
    logits, labels = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), [0, 1, 2, 2, 1, 0]
    rows = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="none")
    expected = (rows * torch.tensor([3.0, 1.0, 0.5])[labels]).mean()
    nothing = [math.nan] * 6
    whole = compute_loss(logits, make_batch(labels, nothing), objective)
    parts = [
        compute_loss(logits[k:e], make_batch(labels[k:e], nothing[k:e]), objective) * (e - k) / 6
        for k, e in ((0, 1), (1, 6))
    ]
    torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(sum(parts), expected)


def test_a_teacher_that_agrees_costs_nothing_and_one_that_differs_pulls() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    assert compare_teacher(logits, logits.detach().softmax(dim=1), 3.0).item() == pytest.approx(0, abs=1e-6)
    teacher = [[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]]
    compare_teacher(logits, torch.tensor(teacher), 2.0).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 2]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_distillation_is_the_divergence_of_softened_classes_times_the_square_of_the_temperature(
    temperature: float,
) -> None:
    logits, teacher = np.array([[1.0, -0.5, 0.2], [0.3, 0.1, -2.0]]), np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    q, p = np.exp(logits / temperature), teacher ** (1 / temperature)
    q, p = q / q.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)
    expected = (p * np.log(p / q)).sum(axis=1).mean() * temperature**2
    found = compare_teacher(torch.tensor(logits), torch.tensor(teacher), temperature)
    assert found.item() == pytest.approx(expected)


def test_hard_and_soft_labels_share_one() -> None:
    logits, teacher = torch.tensor(LOGITS), [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    batch = make_batch([1, 2], [math.nan, math.nan], teacher)
    soft = compare_teacher(logits, torch.tensor(teacher), 2.0).item()
    hard = (math.log(3) + math.log(2)) / 2
    for weight in (0.0, 0.3, 1.0):
        found = compute_loss(logits, batch, Objective(teacher_weight=weight, teacher_temperature=2.0)).item()
        assert found == pytest.approx((1 - weight) * hard + weight * soft)


def test_the_objective_is_the_recipes() -> None:
    assert choose_objective(SMOKE, [0, 1], torch.device("cpu")) == Objective(score_weight=SMOKE.score_weight)


WEIGHTS = torch.tensor([3.0, 1.0, 0.5])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_row_without_a_label_adds_nothing_and_is_counted(weights: torch.Tensor | None) -> None:
    logits = torch.tensor([*LOGITS, [5.0, 0.0, 1.0]], requires_grad=True)
    alone = compare_labels(logits[:2], torch.tensor([1, 2]), weights)
    found = compare_labels(logits, torch.tensor([1, 2, UNLABELLED]), weights)
    assert found.item() == pytest.approx(alone.item() * 2 / 3)
    found.backward()
    assert not logits.grad[2].any()


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_batch_without_any_label_has_a_hard_loss_of_nothing(weights: torch.Tensor | None) -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    found = compute_loss(logits, make_batch([UNLABELLED] * 2, [math.nan] * 2), Objective(class_weights=weights))
    found.backward()
    assert found.item() == 0
    assert not logits.grad.any()


def test_of_a_row_without_a_label_the_teacher_speaks_alone() -> None:
    logits, teacher = torch.tensor(LOGITS), [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    soft = [compare_teacher(logits[i : i + 1], torch.tensor(teacher[i : i + 1]), 2.0).item() for i in range(2)]
    batch = make_batch([1, UNLABELLED], [math.nan] * 2, teacher)
    for share in (0.3, 1.0):
        found = compute_loss(logits, batch, Objective(teacher_weight=share, teacher_temperature=2.0)).item()
        assert found == pytest.approx(((1 - share) * math.log(3) + share * soft[0] + soft[1]) / 2)


def test_rows_without_a_label_do_not_weigh_the_classes() -> None:
    torch.testing.assert_close(weigh_classes([0, 0, 1, 2, UNLABELLED, UNLABELLED]), weigh_classes([0, 0, 1, 2]))


ROWS = st.lists(st.tuples(*[st.floats(-20, 20, width=32)] * 6), min_size=1, max_size=5)


@given(ROWS)
def test_the_divergence_of_two_passes_is_that_of_the_formula_and_symmetric(rows: list[tuple[float, ...]]) -> None:
    both = torch.tensor(rows, dtype=torch.float64)
    first, second = both[:, :3], both[:, 3:]
    p, q = first.softmax(dim=1), second.softmax(dim=1)
    expected = ((p * (p / q).log()).sum(dim=1) + (q * (q / p).log()).sum(dim=1)).mean().item() / 2
    found = compare_passes(first, second).item()
    assert found == pytest.approx(expected, abs=1e-9)
    assert found == compare_passes(second, first).item() >= 0
    assert compare_passes(first, first).item() == 0


def test_two_passes_count_by_their_mean_and_their_divergence() -> None:
    batch, other = make_batch([1, UNLABELLED], [0.2, math.nan], [[0.7, 0.2, 0.1]] * 2), [[1.0, 0.0, -1.0]] * 2
    first, second = torch.tensor(LOGITS), torch.tensor(other)
    plain = Objective(score_weight=1.0, class_weights=WEIGHTS, teacher_weight=0.5)
    mean = (compute_loss(first, batch, plain) + compute_loss(second, batch, plain)) / 2
    objective = replace(plain, r_drop=3.0)
    assert (plain.passes, objective.passes) == (1, 2)
    found = compute_loss(torch.cat([first, second]), batch, objective)
    torch.testing.assert_close(found, mean + 3 * compare_passes(first, second))
    torch.testing.assert_close(
        compute_loss(torch.cat([first, first]), batch, objective), compute_loss(first, batch, plain)
    )


def test_the_recipe_says_how_much_the_divergence_counts() -> None:
    assert choose_objective(replace(SMOKE, r_drop=0.5), [0], torch.device("cpu")).r_drop == 0.5
