"""Other versions of a row: turned round only where its label is sure to turn with it, or told of another company."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.antonyms import CONTEXTS, FORBIDDEN, HARMLESS, OPPOSITES, RISING
from training.augment import NEGATIVE, POSITIVE, flip_direction, is_company, list_names, swap_entity, vary_rows
from training.data import Example, load_examples
from training.readers import LocalFolder
from training.recipe import load_recipe
from training.splits import SPLIT_SEED, split_examples

SMOKE = load_recipe(Path(__file__).parents[2] / "training" / "recipes" / "smoke.toml")
NEUTRAL = 1


def make_row(text: str, label: int = POSITIVE, target: str = "", score: float | None = None) -> Example:
    return Example(text, target, label, score, "sentfin", "single")


TURNED = [
    ("Acme shares rise 3%", "Acme shares fall 3%"),
    ("ACME SHARES SURGE", "ACME SHARES PLUNGE"),
    ("Acme up 4% after results", "Acme down 4% after results"),
    ("Acme opens new plant; stock up", "Acme opens new plant; stock down"),
    ("Profit rose to EUR 5 mn from EUR 3 mn", "Profit fell to EUR 3 mn from EUR 5 mn"),
    ("Margin increased from 11.2 % to 11.7 % .", "Margin decreased from 11.7 % to 11.2 % ."),
    ("Acme beats estimates and raises its full-year forecast", "Acme misses estimates and cuts its full-year forecast"),
    ("Bank gives Acme an upgrade", "Bank gives Acme a downgrade"),
    ("Acme upgraded to buy at Bolt", "Acme downgraded to sell at Bolt"),
    ("Acme hits a 52-week high", "Acme hits a 52-week low"),
    ("Acme posts net profit of Rs 5 crore", "Acme posts net loss of Rs 5 crore"),
    ("Bullish on Acme", "Bearish on Acme"),
    ("#Acme looks #bullish", "#Acme looks #bearish"),
]


@pytest.mark.parametrize(("rising", "falling"), TURNED)
def test_a_plain_direction_turns_with_its_label_and_back(rising: str, falling: str) -> None:
    up, down = make_row(rising, POSITIVE, score=0.4), make_row(falling, NEGATIVE, score=-0.4)
    assert flip_direction(up) == down
    assert flip_direction(down) == up


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Acme shares rise 3%", NEUTRAL),
        ("Acme shares rise 3%", NEGATIVE),
        ("Acme holds its annual meeting", POSITIVE),
        ("Acme rises as Bolt falls", POSITIVE),
        ("Costs fell 3%", POSITIVE),
        ("Acme's costs rise", NEGATIVE),
        ("Unemployment falls", NEGATIVE),
        ("Acme net loss increases", NEGATIVE),
        ("Acme does not rise", POSITIVE),
        ("Acme didn't rise", POSITIVE),
        ("Acme didn’t rise", POSITIVE),
        ("Will Acme rise?", POSITIVE),
        ("Acme rises, but analysts are wary", POSITIVE),
        ("Sales rose to EUR 5 mn , compared to EUR 3 mn in 2009", POSITIVE),
        ("Sales rose to 3 from 5", POSITIVE),
        ("Sales rose from 2008 to 2009", POSITIVE),
        ("Sales rose to 5 from 3 and profit to 2 from 1", POSITIVE),
        ("Acme picks up 5 plants", POSITIVE),
        ("Acme sets up a plant", POSITIVE),
        ("Acme raises Rs 500 crore from investors", POSITIVE),
        ("Acme cuts 500 jobs", NEGATIVE),
        ("Acme signs follow-up order, shares rise", POSITIVE),
        ("The firm Rise Holdings opened a large plant", POSITIVE),
        ("A advance of 3% for Acme", POSITIVE),
        ("High's of the day", POSITIVE),
        ("$UP and @rise are names", POSITIVE),
        ("shares rIse 3%", POSITIVE),
        ("Acme +3.7% after an upgrade", POSITIVE),
    ],
)
def test_what_might_mean_something_else_is_left_alone(text: str, label: int) -> None:
    assert flip_direction(make_row(text, label)) is None


def test_a_name_that_holds_a_direction_is_left_alone() -> None:
    assert flip_direction(make_row("Rise Corp shares gain 3%", target="Rise Corp")) is None


def test_the_tables_hold_together() -> None:
    assert len(OPPOSITES) == 2 * len(RISING)
    assert all(OPPOSITES[OPPOSITES[word]] == word != OPPOSITES[word] for word in OPPOSITES)
    assert not FORBIDDEN & OPPOSITES.keys()
    assert CONTEXTS.keys() <= OPPOSITES.keys()
    assert HARMLESS.keys() <= OPPOSITES.keys() | FORBIDDEN


PLAIN_WORDS = [
    "Acme",
    "shares",
    "net",
    "profit",
    "sales",
    "to",
    "from",
    "5",
    "3%",
    "EUR 2 mn",
    "on",
    "a",
    "an",
    "at",
    ",",
]
WORDS = st.sampled_from([*sorted(OPPOSITES), *PLAIN_WORDS, *(word.upper() for word in sorted(OPPOSITES)[:20])])


@given(st.lists(WORDS, min_size=1, max_size=7).map(" ".join), st.sampled_from([NEGATIVE, NEUTRAL, POSITIVE]))
def test_turning_twice_gives_the_row_back_and_once_its_opposite(text: str, label: int) -> None:
    row = make_row(text, label, score=0.5)
    turned = flip_direction(row)
    if turned is not None:
        assert {turned.label, label} == {NEGATIVE, POSITIVE}
        assert turned.score == -0.5
        assert len(turned.text.split()) == len(text.split())
        assert turned.text != text
        assert flip_direction(turned) == row


NAMES = ["Bolt Motors", "Cogs", "D&G Tools"]


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("Acme shares rise; ACME and Acme's peers", "Acme", "{0} shares rise; ACME and {0}'s peers"),
        ("acme shares rise", "Acme", "{0} shares rise"),
        ("Arm sees a strong arm", "Arm", "{0} sees a strong arm"),
        ("Acmeville grows", "Acme", None),
        ("$Acme to the moon, says Acme", "Acme", None),
        ("Acme shares rise", "", None),
        ("Gold futures rise", "Gold", None),
        ("Acme, Bolt Motors, Cogs and D&G Tools rise", "Acme", None),
    ],
)
def test_another_company_takes_the_place_of_the_target(text: str, target: str, expected: str | None) -> None:
    swapped = swap_entity(make_row(text, target=target), NAMES, Random(3))
    if expected is None:
        assert swapped is None
    else:
        assert swapped is not None
        assert swapped.text == expected.format(swapped.target)


@given(st.lists(st.sampled_from(["Acme", "rises", "3%", "and", "Zenith"]), max_size=8), st.integers(0, 99))
def test_a_swap_keeps_the_label_and_names_the_new_company(words: list[str], seed: int) -> None:
    row = make_row(" ".join(words), NEUTRAL, "Acme", 0.1)
    swapped = swap_entity(row, NAMES, Random(seed))
    assert (swapped is not None) == ("Acme" in words)
    if swapped is not None:
        assert swapped.target in NAMES
        assert swapped.text.count(swapped.target) == words.count("Acme")
        assert replace(swapped, text=row.text, target=row.target) == row


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Acme", True),
        ("Acme Motors", True),
        ("Bank of Acme", False),
        ("Gold", False),
        ("Japan shares", False),
        ("Nifty", False),
        ("Best Fall Co", False),
        ("A", False),
        ("", False),
    ],
)
def test_a_company_is_told_from_a_sector_or_an_index(name: str, expected: bool) -> None:
    assert is_company(name) is expected


ROWS = [
    make_row("Acme shares rise 3%", POSITIVE, "Acme"),
    make_row("Bolt opens a plant", NEUTRAL, "Bolt"),
    make_row("Cogs sees annual meeting", NEUTRAL, "Cogs"),
    make_row("The market is quiet", NEUTRAL),
]
EPOCHS = [[0, 0, 1, 2, 3], [1, 1, 1, 3]]


def test_without_shares_nothing_is_added_and_nothing_drawn() -> None:
    random = Random(5)
    assert vary_rows(ROWS, EPOCHS, SMOKE, random) == ([], EPOCHS)
    assert random.getstate() == Random(5).getstate()


def test_shares_of_one_take_every_version_there_is() -> None:
    recipe = replace(SMOKE, flip_share=1.0, swap_share=1.0)
    added, epochs = vary_rows(ROWS, EPOCHS, recipe, Random(0))
    whole = [*ROWS, *added]
    assert [[whole[i].text for i in rows][:2] for rows in epochs][0] == ["Acme shares fall 3%"] * 2
    assert epochs[0][4] == epochs[1][3] == 3
    assert len(set(epochs[1][:3])) == 1
    assert epochs[1][0] >= len(ROWS)
    assert all(whole[i].target in list_names(ROWS) for i in epochs[1][:3])
    assert vary_rows(ROWS, EPOCHS, recipe, Random(0)) == (added, epochs)


def test_a_share_is_how_often_a_row_becomes_its_version() -> None:
    epochs = [[0] * 2000]
    added, varied = vary_rows(ROWS, epochs, replace(SMOKE, flip_share=0.3), Random(1))
    assert len(added) == 1
    assert Counter(varied[0])[len(ROWS)] == pytest.approx(600, abs=80)


def test_real_rows_turn_and_turn_back_and_meet_no_held_row(data_dir: Path) -> None:
    examples = load_examples(LocalFolder(data_dir))
    splits = split_examples(examples, SPLIT_SEED)
    train = [examples[i] for i in splits.train][::4]
    held = {examples[i].text.casefold() for i in (*splits.validation, *splits.test)}
    added, _ = vary_rows(train, [range(len(train))], replace(SMOKE, flip_share=1.0, swap_share=1.0), Random(0))
    flips = [flip for row in train if (flip := flip_direction(row)) is not None]
    assert len(flips) > len(train) / 20
    assert all(flip_direction(flip_direction(row) or row) == row for row in flips)
    assert not held & {row.text.casefold() for row in added}
