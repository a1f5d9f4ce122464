"""Headlines are drawn without the held-out texts; a name is found where capitals tell one, and nowhere else."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pyarrow = pytest.importorskip("pyarrow", reason="headlines are Parquet files, which pyarrow reads")

from pyarrow import parquet  # noqa: E402

from pipeline.text import clean_text, fold_text  # noqa: E402
from tests.training.conftest import make_headlines, write_headlines  # noqa: E402
from training.corpus import choose_target, cut_sentence, draw_headlines, find_names, pair_headlines  # noqa: E402
from training.data import load_examples  # noqa: E402
from training.readers import DataError, LocalFolder  # noqa: E402
from training.recipe import Recipe, load_recipe, revise_recipe  # noqa: E402
from training.rows import draw_unlabelled  # noqa: E402
from training.splits import SPLIT_SEED, split_examples  # noqa: E402

HELD = ["Bolt says: profit up", "Cobalt's loss widens", "café opens"]
VARIANTS = ["bolt says profit up", "BOLT SAYS: PROFIT UP!", "Cobalts loss widens", "Cafe  opens.", "Café opens"]


@settings(deadline=None)
@given(
    kept=st.lists(st.text(alphabet="abcXYZ .!", min_size=1), max_size=30),
    held=st.lists(st.sampled_from(VARIANTS), max_size=10),
    seed=st.integers(0, 1000),
)
def test_a_held_out_text_is_never_drawn_however_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, kept: list[str], held: list[str], seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "drawn.parquet"
    write_headlines(path, [*kept, *held])
    drawn = draw_headlines(path, 100, HELD, Random(seed))
    assert not {fold_text(text) for text in drawn} & {fold_text(text) for text in HELD}
    assert Counter(drawn) == Counter({clean_text(text) for text in kept} - {""})


def test_as_many_as_asked_are_drawn_each_once_and_again_the_same(tmp_path: Path) -> None:
    path, headlines = tmp_path / "a.parquet", make_headlines(60, Random(1))
    write_headlines(path, [*headlines, *headlines, None, "", "  "])
    drawn = draw_headlines(path, 25, [], Random(3))
    assert len(set(drawn)) == len(drawn) == 25
    assert set(drawn) <= set(headlines)
    assert drawn == draw_headlines(path, 25, [], Random(3)) != draw_headlines(path, 25, [], Random(4))
    assert drawn[:10] == draw_headlines(path, 10, [], Random(3))
    assert sorted(draw_headlines(path, 1000, [], Random(3))) == sorted(set(headlines))


def test_a_run_draws_for_all_its_epochs_and_no_text_of_validation_or_test(mini_root: Path, tmp_path: Path) -> None:
    (tmp_path / "labelled").symlink_to(mini_root / "labelled")
    data = LocalFolder(tmp_path)
    examples = load_examples(data)
    splits = split_examples(examples, SPLIT_SEED)
    held = [examples[i].text for i in (*splits.validation, *splits.test)]
    write_headlines(tmp_path / "wire.parquet", [*(text.upper() for text in held), *make_headlines(50, Random(2))])
    posts = make_headlines(20, Random(9))
    parquet.write_table(pyarrow.table({"headline": posts[::-1], "text": posts}), tmp_path / "posts.parquet")
    recipe = make_student(unlabelled={"wire.parquet": 9, "posts.parquet#text": 5}, epochs=3)
    wire, said = draw_unlabelled(recipe, data, examples, splits)
    assert (len(wire), len(said)) == (27, 15)
    assert set(said) <= set(posts)
    assert not {fold_text(text) for text in wire} & {fold_text(text) for text in held}
    assert draw_unlabelled(make_student(), data, examples, splits) == []


LONG = "Profit at the maker of pumps rose 3.5 % to EUR 2.1 million in the third quarter, the company said on Tuesday"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Shares fell. Profit rose.", "Shares fell. Profit rose."),
        (f"{LONG}. The shares of its rivals, which had been falling for weeks, rose too.", f"{LONG}."),
        (f'{LONG}! "We are glad," its chief executive said, and added that there was more to come.', f"{LONG}!"),
        (f"{LONG} after it, acquired. by nobody, had been looking for a buyer of its pumps", None),
        (f"{LONG} in the U.S. Market, where it had been looking for a buyer of its pumps for years", None),
    ],
)
def test_of_a_paragraph_the_first_sentence_is_taken(text: str, expected: str | None) -> None:
    assert cut_sentence(text) == (text if expected is None else expected)


def make_student(**changes: object) -> Recipe:
    smoke = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
    return revise_recipe(smoke, "test", teachers=["runs/x"], teacher_weight=0.5, **changes)


@pytest.mark.parametrize(
    ("headline", "names"),
    [
        ("UPDATE 2-Shell to buy BG Group, shares fall", ["Shell", "BG Group"]),
        ("RPT-Acme cuts outlook for the year", ["Acme"]),
        ("UPDATE 1-Acme Corp. says it will sell its unit", ["Acme Corp"]),
        ("Acme's profit beats what analysts expected", ["Acme"]),
        ("profit at Bolt and Sons falls a fifth", ["Bolt and Sons"]),
        ("Bank of Acme and others are fined", ["Bank of Acme"]),
        ("Johnson & Bolt to cut a thousand jobs", ["Johnson & Bolt"]),
        ("shares of AT&T rise after results", ["AT&T"]),
        ("profit falls as costs rise", []),
        ("Acme Profit Falls As Costs Rise", []),
        ("ACME PROFIT FALLS", []),
        ("UPDATE 2-ACME PROFIT FALLS", []),
        ("12 345 %", []),
        ("", []),
    ],
)
def test_names_are_runs_of_capitals_in_a_headline_that_is_not_all_capitals(headline: str, names: list[str]) -> None:
    assert find_names(headline) == names


@settings(deadline=None)
@given(st.text())
def test_a_name_stands_in_its_headline_and_is_never_empty(headline: str) -> None:
    for name in find_names(headline):
        assert name
        assert name in headline


@pytest.mark.parametrize(
    "headline",
    [
        "A" * 20_000,
        "A-" * 10_000,
        "A'" * 10_000 + "!",
        "AB " * 10_000 + "x",
        "Acme of of and & " * 2_000 + "x y z",
        "a b c d e f " * 2_000 + "Acme" + " of" * 2_000 + "!",
        "UPDATE " * 5_000 + "2",
    ],
    ids=range(7),
)
def test_no_headline_takes_long(headline: str) -> None:
    started = time.process_time()
    find_names(headline)
    assert time.process_time() - started < 2


def test_a_target_is_a_name_of_the_headline_or_none_as_often_as_each_name() -> None:
    headline = "Shell to buy BG Group as oil rises"
    counts = Counter(choose_target(headline, Random(seed)) for seed in range(600))
    assert set(counts) == {"", "Shell", "BG Group"}
    assert all(150 < count < 250 for count in counts.values())
    pairs = pair_headlines([headline, "profit falls as costs rise"], Random(1))
    assert [text for text, _ in pairs] == [headline, "profit falls as costs rise"]
    assert pairs[1][1] == ""
    assert pairs == pair_headlines([headline, "profit falls as costs rise"], Random(1))


def test_a_file_that_is_no_corpus_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    parquet.write_table(pyarrow.table({"title": ["a"]}), tmp_path / "other.parquet")
    parquet.write_table(pyarrow.table({"headline": [1]}), tmp_path / "number.parquet")
    for name, message in (
        ("absent.parquet", "absent.parquet: cannot be read as Parquet: "),
        ("torn.parquet", "torn.parquet: cannot be read as Parquet: "),
        ("other.parquet", r"other.parquet: no column headline of text; found title \(string\)"),
        ("number.parquet", r"number.parquet: no column headline of text; found headline \(int64\)"),
    ):
        with pytest.raises(DataError, match=message) as refusal:
            draw_headlines(tmp_path / name, 1, [], Random(0))
        assert "\n" not in str(refusal.value)


def test_a_file_outside_the_data_folder_or_on_the_hub_is_refused(mini_data: LocalFolder, mini_root: Path) -> None:
    from training.readers import Hub

    with pytest.raises(DataError, match=re.escape(f"data file missing: {mini_root / 'none.parquet'}")):
        mini_data.find_file("none.parquet")
    with pytest.raises(DataError, match="none.parquet: unlabelled headlines are read from a folder; set FINANCIAL_"):
        Hub().find_file("none.parquet")
