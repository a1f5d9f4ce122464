"""Rows in other words: what is exchanged, what stays, and which words are near."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs torch")

from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import BPE  # noqa: E402

from pipeline.errors import ModelError  # noqa: E402
from training import model, reword, teacher  # noqa: E402
from training.reword import find_near_words, reword_text  # noqa: E402

NEAR = {"profit": ["loss"], "rises": ["falls"], "acme": ["zenith"], "the": ["a"], "https": ["wire"]}


def reword_all(text: str, target: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reword ``text`` with everything exchanged that can be."""
    monkeypatch.setattr(reword, "SHARES", (1.0,))
    return reword_text(text, target, NEAR, Random(0))


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("profit rises", "", "loss falls"),
        ("Profit RISES at the bank", "", "Loss FALLS at the bank"),
        ("Acme profit rises", "Acme", "Acme loss falls"),
        ("Acme profit", "ACME", "Acme loss"),
        ("Acme profit", "", "Zenith loss"),
        ("profits rise", "", "profits rise"),
        ("$profit #profit @profit profit/rises https://t.co/rises", "", None),
        ("Q3 of 2009 or 1999", "", None),
        ("Studio 54 in front", "Studio 54", None),
        ("", "", ""),
    ],
)
def test_words_are_exchanged_but_not_names_signs_or_years(
    text: str, target: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reword_all(text, target, monkeypatch) == (text if expected is None else expected)


@pytest.mark.parametrize("text", ["EUR 12.5 mn, was 900", "up 7% to $1,234", "0.05"])
def test_figures_are_drawn_anew_and_keep_their_length(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reword_all(text, "", monkeypatch)
    assert re.sub(r"\d", "0", found) == re.sub(r"\d", "0", text)
    assert found != text
    assert not re.search(r"(?<!\d)0\d", found)


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=10), st.integers(0, 9))
def test_any_text_can_be_reworded_and_the_same_seed_gives_the_same(text: str, target: str, seed: int) -> None:
    assert reword_text(text, target, NEAR, Random(seed)) == reword_text(text, target, NEAR, Random(seed))
    assert reword_text(text, target, {}, Random(seed)).translate(DIGITS) == text.translate(DIGITS)


DIGITS = str.maketrans("0123456789", "0" * 10)


def test_near_words_point_the_same_way_once_what_all_share_is_taken_off() -> None:
    vectors = torch.tensor([[1.0, 0, 9], [2, 0.1, 9], [-1, 0, 9], [0, 1, 9], [0, -1, 9]])
    near = find_near_words(["up", "rising", "down", "left", "right"], vectors)
    assert near["up"][0] == "rising"
    assert near["rising"][0] == "up"
    assert all(word not in words and len(words) == 4 for word, words in near.items())


def test_a_long_vocabulary_is_gone_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    words, vectors = [f"word{i}" for i in range(30)], torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    whole = find_near_words(words, vectors)
    assert {len(found) for found in whole.values()} == {reword.NEAR}
    monkeypatch.setattr(reword, "_CHUNK", 7)
    assert find_near_words(words, vectors) == whole


@pytest.mark.parametrize("text", ["٣٤ rises", "²³", "１２"])
def test_only_plain_figures_are_drawn_anew(text: str) -> None:
    assert reword_text(text, "", {}, Random(0)) == text


def test_a_vocabulary_that_does_not_tell_words_from_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = SimpleNamespace(backend_tokenizer=Tokenizer(BPE()))
    monkeypatch.setattr(model, "load_run", lambda folder: (None, tokenizer, 64))
    with pytest.raises(ModelError, match="reworded_rows: runs/one has a tokenizer of kind BPE; expected WordPiece"):
        teacher.read_near_words(Path("runs/one"))


def test_a_folder_that_is_no_run_has_no_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing; expected a folder written by"):
        teacher.read_near_words(tmp_path)
