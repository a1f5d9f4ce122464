"""Which training rows make up an epoch: exact shares, no row outside, none favoured, the same under a seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import SOURCES, Example
from training.mix import FEWEST_ROWS, MixError, limit_rows, plan_rows, share_out
from training.recipe import Recipe, load_recipe

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
SIZES = st.dictionaries(st.sampled_from(SOURCES), st.integers(1, 40), min_size=1)


def make_examples(sizes: dict[str, int]) -> list[Example]:
    """Return rows of every source, interleaved by a fixed shuffle so that no source is one block."""
    rows = [Example(f"{source} {i}", "", i % 3, None, source) for source, size in sizes.items() for i in range(size)]
    Random(1).shuffle(rows)
    return rows


@st.composite
def mixed(draw: st.DrawFn) -> tuple[list[Example], Recipe]:
    """Draw rows of some sources and a recipe that mixes them."""
    sizes = draw(SIZES)
    weights = {source: draw(st.integers(1, 20)) for source in sizes}
    mix = {source: weight / sum(weights.values()) for source, weight in weights.items()}
    rows, epochs, limit = draw(st.integers(0, 200)), draw(st.integers(1, 3)), draw(st.sampled_from([0, 4, 30]))
    recipe = replace(SMOKE, repeats={}, mix=mix, epoch_rows=rows, epochs=epochs, train_limit=limit)
    return make_examples(sizes), recipe


@settings(deadline=None)
@given(mixed(), st.integers(0, 9))
def test_a_mixed_epoch_has_its_shares_and_favours_no_row(case: tuple[list[Example], Recipe], seed: int) -> None:
    examples, recipe = case
    plan = plan_rows(examples, recipe, Random(seed))
    assert plan == plan_rows(examples, recipe, Random(seed))
    assert len(plan) == recipe.epochs
    allowed = min(recipe.train_limit, len(examples)) if recipe.train_limit else len(examples)
    assert len({i for rows in plan for i in rows}) <= allowed
    for rows in plan:
        assert len(rows) == (recipe.epoch_rows or allowed)
        assert set(rows) <= set(range(len(examples)))
        counts = Counter(examples[i].source for i in rows)
        for source, share in recipe.mix.items():
            assert abs(counts[source] - share * len(rows)) < 1 + 1e-9
            times = Counter(i for i in rows if examples[i].source == source)
            known = {i for epoch in plan for i in epoch if examples[i].source == source}
            if times:
                least = min(times.values()) if len(times) == len(known) else 0
                assert max(times.values()) - least <= 1


def test_a_large_source_is_drawn_anew_every_epoch_and_a_small_one_is_repeated() -> None:
    examples = make_examples({"sentfin": 100, "fiqa": 8})
    recipe = replace(SMOKE, repeats={}, mix={"sentfin": 0.5, "fiqa": 0.5}, epoch_rows=40, epochs=3, train_limit=0)
    plan = plan_rows(examples, recipe, Random(3))
    large = [{i for i in rows if examples[i].source == "sentfin"} for rows in plan]
    assert [len(rows) for rows in large] == [20, 20, 20]
    assert large[0] != large[1] != large[2]
    for rows in plan:
        small = Counter(i for i in rows if examples[i].source == "fiqa")
        assert sorted(small.values()) == [2, 2, 2, 2, 3, 3, 3, 3]


def test_repeats_count_every_row_that_often_in_order() -> None:
    examples = make_examples({"phrasebank": 3, "fiqa": 2, "twitter": 4})
    recipe = replace(SMOKE, repeats={"phrasebank": 1, "fiqa": 3}, train_limit=0, epochs=2)
    plan = plan_rows(examples, recipe, Random(0))
    times = {"phrasebank": 1, "fiqa": 3, "twitter": 0}
    expected = [i for i, example in enumerate(examples) for _ in range(times[example.source])]
    assert plan == [expected, expected]


def test_a_shorter_epoch_of_repeated_rows_is_drawn_anew_each_time() -> None:
    examples = make_examples({"phrasebank": 30, "fiqa": 20})
    recipe = replace(SMOKE, repeats={"phrasebank": 1, "fiqa": 2}, train_limit=0, epochs=3, epoch_rows=40)
    plan = plan_rows(examples, recipe, Random(0))
    assert [len(rows) for rows in plan] == [40] * 3
    assert len({tuple(rows) for rows in plan}) == 3
    for rows in plan:
        assert all(rows.count(i) <= recipe.repeats[examples[i].source] for i in rows)
    assert plan == plan_rows(examples, recipe, Random(0))


@pytest.mark.parametrize(
    ("sizes", "limit", "kept"),
    [
        ({"a": 90, "b": 10}, 0, {"a": 90, "b": 10}),
        ({"a": 90, "b": 10}, 200, {"a": 90, "b": 10}),
        ({"a": 900, "b": 100}, 100, {"a": 84, "b": 16}),
        ({"a": 9000, "b": 3}, 100, {"a": 97, "b": 3}),
        ({"a": 900, "b": 100}, 5, {"a": 3, "b": 2}),
        ({"a": 900, "b": 100, "c": 50}, 3, {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_a_limit_keeps_some_of_every_source(sizes: dict[str, int], limit: int, kept: dict[str, int]) -> None:
    starts = {"a": 0, "b": 10_000, "c": 20_000}
    pools = {name: list(range(starts[name], starts[name] + size)) for name, size in sizes.items()}
    found = limit_rows(pools, limit, Random(0))
    assert {name: len(rows) for name, rows in found.items()} == kept
    assert all(set(rows) <= set(pools[name]) and rows == sorted(set(rows)) for name, rows in found.items())
    if limit >= FEWEST_ROWS * len(sizes):
        assert all(len(rows) >= min(FEWEST_ROWS, sizes[name]) for name, rows in found.items())


@given(st.integers(0, 1000), st.dictionaries(st.text(max_size=2), st.floats(0.001, 1), min_size=1))
def test_parts_sum_to_the_whole_and_lie_within_one_of_their_share(total: int, weights: dict[str, float]) -> None:
    counts = share_out(total, weights)
    assert sum(counts.values()) == total
    for name, weight in weights.items():
        assert abs(counts[name] - total * weight / sum(weights.values())) < 1 + 1e-6


@pytest.mark.parametrize(
    ("sizes", "limit", "message"),
    [
        ({"phrasebank": 5, "twitter": 5, "sentfin": 5}, 0, "source fiqa has no training row"),
        (dict.fromkeys(SOURCES, 5), 3, "train_limit is 3; expected at least one row for each of 4 sources"),
    ],
)
def test_a_source_without_rows_is_refused(sizes: dict[str, int], limit: int, message: str) -> None:
    with pytest.raises(MixError, match=message):
        plan_rows(make_examples(sizes), replace(SMOKE, train_limit=limit), Random(0))
