"""The last layer fitted to held-out rows: what it finds, what it may not see, and where it goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from pipeline.text import LABELS  # noqa: E402
from training import refit  # noqa: E402
from training.batches import encode_examples, predict_logits  # noqa: E402
from training.calibrate import fit_temperature  # noqa: E402
from training.data import Example  # noqa: E402
from training.evaluate import log_loss  # noqa: E402
from training.heads import find_last, read_head, write_head  # noqa: E402
from training.model import build_model  # noqa: E402
from training.recipe import ARCHITECTURES, RANDOM, load_recipe  # noqa: E402
from training.refit import (  # noqa: E402
    RIDGES,
    FeatureRows,
    calibrate_model,
    choose_ridge,
    fit_head,
    measure_rows,
    read_features,
    weigh_rows,
)

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
METHODS = ("full", "lora", "qlora")
WIDTH = 4
ROWS = [
    Example(f"{company} {verb} in {year}", company, label, score, "fiqa")
    for year in range(2000, 2012)
    for company in ("Acme", "Bolt")
    for verb, label, score in (("falls", 0, -0.6), ("meets", 1, 0.0), ("rises", 2, 0.7))
]


@pytest.fixture(autouse=True, scope="module")
def use_one_thread() -> None:
    torch.set_num_threads(1)


def make_rows(head: torch.Tensor, count: int, seed: int = 0) -> FeatureRows:
    """Return rows of WIDTH features, their labels drawn from what ``head`` says of them, without scores."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(count, WIDTH, generator=random, dtype=torch.float64)
    labels = torch.multinomial((features @ head.T).softmax(dim=1), 1, generator=random)[:, 0]
    ones = torch.ones(count, dtype=torch.float64)
    return FeatureRows(features, labels, float("nan") * ones, ones)


def make_head(seed: int) -> torch.Tensor:
    return torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_under_a_high_ridge_it_is_the_temperature() -> None:
    trained = make_head(1)
    rows = make_rows(0.4 * trained, 3000)
    head, scale = fit_head(rows, trained, 0.0, 1e6)
    temperature = fit_temperature(rows.labels.numpy(), (rows.features @ trained.T).softmax(dim=1).numpy())
    assert 1 / scale == pytest.approx(temperature, rel=1e-3)
    assert torch.allclose(head, scale * trained, atol=1e-4)


def test_under_a_low_ridge_it_finds_the_head_that_drew_the_labels() -> None:
    true = make_head(2)
    rows = make_rows(true, 20_000)
    head, _ = fit_head(rows, make_head(3), 0.0, 1e-6)
    apart = (rows.features @ head.T).softmax(dim=1) - (rows.features @ true.T).softmax(dim=1)
    assert apart.abs().max() < 0.06


@pytest.mark.parametrize("ridge", RIDGES)
def test_the_rows_it_is_fitted_to_are_judged_no_worse_than_before(ridge: float) -> None:
    trained, rows = make_head(4), make_rows(make_head(5), 200)
    rows.scores[:50] = (rows.labels[:50] - 1) * 0.5
    head, scale = fit_head(rows, trained, 2.0, ridge)
    fitted, before = (measure_rows(rows.features @ one.T, rows, 2.0).mean() for one in (head, trained))
    assert fitted <= before
    assert scale > 0


def test_scores_pull_the_head_towards_them() -> None:
    rows = make_rows(make_head(6), 500)
    rows.scores[:] = 0.1 * (rows.labels - 1)

    def error(weight: float) -> float:
        head, _ = fit_head(rows, make_head(6), weight, 0.01)
        with_scores, without = (measure_rows(rows.features @ head.T, rows, share).mean() for share in (1.0, 0.0))
        return float(with_scores - without)

    assert error(20.0) < error(2.0) < error(0.0)


def test_a_row_without_a_score_adds_its_cross_entropy_alone() -> None:
    rows = make_rows(make_head(7), 40)
    logits = rows.features @ make_head(7).T
    expected = torch.nn.functional.cross_entropy(logits, rows.labels, reduction="none")
    assert torch.equal(measure_rows(logits, rows, 9.0), expected)


def test_a_weight_of_two_is_a_row_that_comes_twice() -> None:
    rows = make_rows(make_head(12), 90)
    twice = rows.take(np.concatenate([np.arange(90), np.arange(30)]))
    weighted = replace(rows, weights=torch.where(torch.arange(90) < 30, 2.0, 1.0).double() * 90 / 120)
    heads = [fit_head(one, make_head(13), 0.0, 0.01)[0] for one in (twice, weighted)]
    torch.testing.assert_close(*heads, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("repeats", "mix", "expected"),
    [
        ({"fiqa": 3, "twitter": 1}, {}, [1.8, 0.6, 0.6, 0.6, 1.8, 0.6]),
        ({}, {"fiqa": 0.5, "twitter": 0.5}, [1.5, 0.75, 0.75, 0.75, 1.5, 0.75]),
        ({"fiqa": 2}, {}, [3, 0, 0, 0, 3, 0]),
    ],
)
def test_a_source_weighs_what_it_does_in_training(
    repeats: dict[str, int], mix: dict[str, float], expected: list[float]
) -> None:
    rows = [replace(ROWS[0], source="fiqa" if i in (0, 4) else "twitter") for i in range(6)]
    assert weigh_rows(replace(SMOKE, repeats=repeats, mix=mix), rows).tolist() == pytest.approx(expected)


def test_a_head_that_is_right_is_held_and_a_wrong_one_is_let_go() -> None:
    true, groups = make_head(8), np.arange(1500)
    rows = make_rows(true, 1500)
    right, wrong = (choose_ridge(rows, head, 0.0, groups, 0)[0] for head in (true, make_head(9)))
    assert right == RIDGES[0] > wrong


def test_a_row_is_judged_by_a_head_that_met_none_of_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit, "RIDGES", (0.001,))
    rows, groups = make_rows(make_head(10), 60), np.arange(60) // 3
    changed = rows.labels.clone()
    changed[:3] = (changed[:3] + 1) % 3
    before, after = (
        choose_ridge(one, make_head(11), 0.0, groups, 5)[1] for one in (rows, replace(rows, labels=changed))
    )
    assert np.array_equal(before[:3], after[:3])
    assert not np.allclose(before[3:], after[3:], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_head_is_read_and_written_where_the_logits_come_from(architecture: str, method: str) -> None:
    recipe = replace(
        SMOKE, base=RANDOM + architecture, architecture=architecture, method=method, score_head="separate",
        score_weight=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    model, tokenizer = build_model(recipe)
    encoded = encode_examples(ROWS, tokenizer, recipe.max_length)
    before = predict_logits(model, tokenizer, encoded)
    features = read_features(model, tokenizer, recipe, ROWS).features
    assert torch.allclose(features.float() @ read_head(model).float().T, before[:, :3], atol=1e-4)
    head = read_head(model) * 3 + 0.25
    write_head(model, head)
    after = predict_logits(model, tokenizer, encoded)
    assert torch.allclose(features.float() @ head.float().T, after[:, :3], atol=1e-3)
    assert torch.equal(after[:, 3], before[:, 3]), "the score's own output stays"


@pytest.mark.parametrize("calibration", ["temperature", "head"])
def test_the_record_says_what_was_fitted_and_the_model_is_changed(calibration: str) -> None:
    recipe = replace(SMOKE, base=f"{RANDOM}bert", method="full", score_weight=1.0, calibration=calibration)
    torch.manual_seed(2)
    model, tokenizer = build_model(recipe)
    find_last(model)[1].weight.data *= 20
    before = read_head(model)
    record, found = calibrate_model(model, tokenizer, recipe, ROWS)
    labels = np.array([row.label for row in ROWS])
    assert record["nll_after"] == pytest.approx(log_loss(labels, found))
    assert record["nll_after"] < record["nll_before"]
    assert found.shape == (len(ROWS), len(LABELS))
    assert ("ridge" in record) == (calibration == "head")
    assert not torch.equal(read_head(model), before)
    logits = predict_logits(model, tokenizer, encode_examples(ROWS, tokenizer, recipe.max_length))
    is_whole = np.allclose(logits.softmax(dim=1).numpy(), found, atol=1e-5)
    assert is_whole == (calibration == "temperature"), "a fitted head is judged by heads that met fewer rows"
    again = calibrate_model(model, tokenizer, replace(recipe, calibration="temperature"), ROWS)[0]
    assert again["nll_before"] < record["nll_before"]
