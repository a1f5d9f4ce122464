"""What a recipe adds to its training rows: every epoch keeps its rows, and no headline comes twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from tests.training.conftest import make_headlines  # noqa: E402
from training import reword  # noqa: E402
from training.corpus import find_names  # noqa: E402
from training.data import Example  # noqa: E402
from training.enrich import enrich_rows, share_rows  # noqa: E402
from training.losses import UNLABELLED  # noqa: E402
from training.recipe import load_recipe  # noqa: E402
from training.splits import find_near  # noqa: E402
from training.written import SOURCE  # noqa: E402

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
TRAIN = [Example(f"row {i}", "", i % 3, None, "twitter") for i in range(10)]
EPOCHS = [[0, 1, 2, 2], [3, 4], [9, 0, 0]]
HEADLINES = make_headlines(20, Random(1))
NEAR = {"strong": ["weak", "solid"], "orders": ["sales", "bookings"], "shares": ["bonds", "stocks"]}


@settings(deadline=None)
@given(
    epochs=st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6),
    first=st.integers(10, 99),
    count=st.integers(0, 200),
)
def test_rows_are_shared_out_once_and_as_equally_as_can_be(epochs: list[list[int]], first: int, count: int) -> None:
    shared = share_rows(epochs, first, count)
    assert [rows[: len(epoch)] for rows, epoch in zip(shared, epochs, strict=True)] == epochs
    added = [rows[len(epoch) :] for rows, epoch in zip(shared, epochs, strict=True)]
    assert [i for rows in added for i in rows] == list(range(first, first + count))
    assert max(map(len, added)) - min(map(len, added)) <= 1


def test_a_recipe_that_adds_nothing_changes_nothing_and_draws_nothing() -> None:
    random = Random(3)
    before = random.getstate()
    assert enrich_rows(TRAIN, [], {}, [], EPOCHS, replace(SMOKE, epochs=3), random) == (TRAIN, EPOCHS)
    assert random.getstate() == before


def test_every_epoch_keeps_its_rows_and_every_added_row_comes_once() -> None:
    recipe = replace(SMOKE, epochs=3, written_rows=7)
    examples, epochs = enrich_rows(TRAIN, [HEADLINES], {}, [], EPOCHS, recipe, Random(3))
    assert examples[:10] == TRAIN
    assert [rows[: len(epoch)] for rows, epoch in zip(epochs, EPOCHS, strict=True)] == EPOCHS
    added = Counter(i for rows in epochs for i in rows if i >= len(TRAIN))
    assert added == Counter(range(10, 10 + 21 + 20))
    for rows in epochs:
        kinds = Counter(examples[i].source for i in rows)
        assert kinds[SOURCE] == 7
        assert kinds["unlabelled"] in (6, 7)
    assert (examples, epochs) == enrich_rows(TRAIN, [HEADLINES], {}, [], EPOCHS, recipe, Random(3))


def test_reworded_rows_come_once_from_the_rows_of_the_epochs() -> None:
    train = [Example(f"Bolt reports strong orders in {year}", "Bolt", 2, 0.5, "fiqa") for year in range(1990, 2000)]
    recipe = replace(SMOKE, epochs=3, reworded_rows=30)
    examples, epochs = enrich_rows(train, [], NEAR, [], EPOCHS, recipe, Random(3))
    added = examples[10:]
    assert {(row.target, row.label, row.score, row.source) for row in added} == {
        ("Bolt", UNLABELLED, None, reword.SOURCE)
    }
    assert {row.text[-4:] for row in added} == {"1990", "1991", "1992", "1993", "1994", "1999"}
    assert not {row.text for row in added} & {row.text for row in train}
    assert sorted(i for rows, old in zip(epochs, EPOCHS, strict=True) for i in rows[len(old) :]) == list(
        range(10, len(examples))
    )


def test_headlines_carry_no_label_and_a_name_of_their_own_or_none() -> None:
    examples, _ = enrich_rows(TRAIN, [HEADLINES], {}, [], EPOCHS, replace(SMOKE, epochs=3), Random(3))
    unlabelled = examples[len(TRAIN) :]
    assert [row.text for row in unlabelled] == HEADLINES
    assert {(row.label, row.score, row.source) for row in unlabelled} == {(UNLABELLED, None, "unlabelled")}
    assert all(row.target in ("", *find_names(row.text)) for row in unlabelled)
    assert {bool(row.target) for row in unlabelled} == {True, False}


def test_other_versions_take_a_rows_place_and_lie_before_the_rest() -> None:
    train = [Example(f"Acme profit rises {i} percent", "Acme", 2, None, "sentfin") for i in range(40)]
    recipe = replace(SMOKE, epochs=1, flip_share=1.0, written_rows=3)
    examples, epochs = enrich_rows(train, [HEADLINES[:1], HEADLINES[1:2]], {}, [], [list(range(40))], recipe, Random(3))
    assert len(epochs[0]) == 45
    assert {examples[i].label for i in epochs[0][:40]} == {0}
    assert [examples[i].source for i in epochs[0][40:]] == [*[SOURCE] * 3, "unlabelled", "unlabelled"]


def test_no_added_row_comes_near_a_held_out_one() -> None:
    rows = [Example(f"Acme shares rise {i} percent on strong orders", "", 2, None, "twitter") for i in range(10)]
    recipe = replace(SMOKE, epochs=3, flip_share=1.0, written_rows=40, reworded_rows=40)
    free, loose = enrich_rows(rows, [HEADLINES], NEAR, [], EPOCHS, recipe, Random(3))
    flipped = [example.text for example in free[10:] if example.source == "twitter"]
    written = [example.text for example in free if example.source == SOURCE]
    reworded = [example.text for example in free if example.source == reword.SOURCE]
    held_out = [flipped[0], written[0], reworded[0], HEADLINES[0]]
    examples, epochs = enrich_rows(rows, [HEADLINES], NEAR, held_out, EPOCHS, recipe, Random(3))
    met = {examples[i].text for epoch in epochs for i in epoch}
    assert {free[i].text for epoch in loose for i in epoch} & set(flipped)
    assert not find_near(sorted(met - {row.text for row in rows}), held_out)
    assert [len(epoch) for epoch in epochs] < [len(epoch) for epoch in loose]
    assert all(i < 10 for epoch, old in zip(epochs, EPOCHS, strict=True) for i in epoch[: len(old)])
