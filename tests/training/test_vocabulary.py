"""A trimmed tokenizer spells every text it could spell before, with pieces that keep their own rows."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

transformers = pytest.importorskip("transformers", reason="training needs transformers")

from tokenizers import Tokenizer  # noqa: E402
from tokenizers.implementations import BertWordPieceTokenizer  # noqa: E402
from tokenizers.processors import TemplateProcessing  # noqa: E402

from pipeline.errors import ModelError  # noqa: E402
from tests.training.conftest import WORDS, make_headlines  # noqa: E402
from training.tiny import make_tokenizer  # noqa: E402
from training.vocabulary import EMOJI, count_pieces, read_emoji, trim_vocabulary  # noqa: E402

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HEADLINES = make_headlines(200, Random(2))
SIZE = 130
UNKNOWN = "[UNK]"


def make_whole() -> Tokenizer:
    """Return a tokenizer like BERT's, of the words of our headlines and more, its marks not in the first rows."""
    maker = BertWordPieceTokenizer(lowercase=True)
    texts = [*HEADLINES, *WORDS, "quantum jazz vexed 0123456789", "über naïve"]
    maker.train_from_iterator(texts, 400, min_frequency=1, special_tokens=["[unused]", *SPECIAL], show_progress=False)
    made = maker._tokenizer
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(mark, made.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")],
    )
    return made


WHOLE = make_whole()
TRIMMED, KEPT = trim_vocabulary(WHOLE, HEADLINES, SIZE)


def test_every_kept_id_is_the_piece_it_was() -> None:
    assert TRIMMED.get_vocab_size() == len(KEPT) == SIZE < WHOLE.get_vocab_size()
    assert [TRIMMED.id_to_token(i) for i in range(SIZE)] == [WHOLE.id_to_token(i) for i in KEPT]
    assert sorted(KEPT) == KEPT


def test_marks_and_single_characters_stay_and_then_the_most_frequent_pieces() -> None:
    kept = set(TRIMMED.get_vocab())
    assert set(SPECIAL) <= kept
    assert {piece for piece in WHOLE.get_vocab() if len(piece.removeprefix("##")) == 1} <= kept
    counts = count_pieces(WHOLE, HEADLINES)
    others = [piece for piece in WHOLE.get_vocab() if len(piece.removeprefix("##")) > 1 and piece[0] != "["]
    gone = [counts[piece] for piece in others if piece not in kept]
    assert max(gone) <= min(counts[piece] for piece in others if piece in kept)
    assert counts[UNKNOWN] == 0
    assert min(counts[piece] for piece in others if piece in kept) > 0


def test_pieces_are_counted_as_often_as_they_come() -> None:
    counts = count_pieces(WHOLE, ["amber amber falcon", "amber"])
    assert counts["amber"] == 3
    assert sum(counts.values()) == sum(
        len(WHOLE.encode(text, add_special_tokens=False)) for text in ("amber " * 3, "falcon")
    )


def test_the_marks_of_one_segment_and_of_two_have_their_new_ids() -> None:
    found = TRIMMED.encode("amber says profit", "Acme")
    assert found.tokens[0] == "[CLS]"
    assert found.tokens.count("[SEP]") == 2
    assert found.ids == [TRIMMED.token_to_id(token) for token in found.tokens]
    assert found.type_ids[-1] == 1
    assert {token.content: i for i, token in TRIMMED.get_added_tokens_decoder().items()} == {
        token: TRIMMED.token_to_id(token) for token in ("[unused]", *SPECIAL)
    }


@settings(deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789 üïAZ.,-漢é🚀", max_size=40))
def test_no_word_becomes_unknown_that_was_not(text: str) -> None:
    before, after = (one.encode(text, add_special_tokens=False) for one in (WHOLE, TRIMMED))
    assert after.tokens.count(UNKNOWN) <= before.tokens.count(UNKNOWN)
    if UNKNOWN not in before.tokens:
        assert spell(after.tokens) == spell(before.tokens)


def spell(tokens: list[str]) -> str:
    return " ".join(tokens).replace(" ##", "")


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_a_tokenizer_that_frames_by_itself_is_renumbered_too(architecture: str) -> None:
    whole = make_tokenizer(architecture).backend_tokenizer
    trimmed, kept = trim_vocabulary(whole, ["abc"], whole.get_vocab_size())
    assert kept == list(range(whole.get_vocab_size()))
    assert trimmed.encode("profit up", "Acme").ids == whole.encode("profit up", "Acme").ids
    shifted = json.loads(whole.to_str())
    assert shifted["post_processor"]["type"] == "BertProcessing"


def test_bert_s_own_frame_gets_the_ids_its_marks_have_now() -> None:
    from tokenizers.processors import BertProcessing

    whole = make_whole()
    whole.post_processor = BertProcessing(("[SEP]", whole.token_to_id("[SEP]")), ("[CLS]", whole.token_to_id("[CLS]")))
    state: dict[str, Any] = json.loads(whole.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] != "[unused]"]
    trimmed, kept = trim_vocabulary(Tokenizer.from_str(json.dumps(state)), HEADLINES, SIZE)
    assert 0 not in kept  # so that every mark has moved
    found = trimmed.encode("amber", "Acme")
    assert found.ids == [trimmed.token_to_id(token) for token in found.tokens]


def test_too_small_a_size_or_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(ModelError, match="vocabulary is 20; expected at least [0-9]+: special tokens and single"):
        trim_vocabulary(WHOLE, HEADLINES, 20)
    for architecture, kind in (("roberta", "BPE"), ("deberta-v2", "Unigram")):
        with pytest.raises(ModelError, match=f"the base's tokenizer is {kind}; expected WordPiece, or 0"):
            trim_vocabulary(make_tokenizer(architecture).backend_tokenizer, HEADLINES, SIZE)


def test_a_size_beyond_the_vocabulary_keeps_it_all() -> None:
    trimmed, kept = trim_vocabulary(WHOLE, HEADLINES, 10_000)
    assert kept == list(range(WHOLE.get_vocab_size()))
    assert trimmed.get_vocab() == WHOLE.get_vocab()


@pytest.mark.parametrize("emoji", EMOJI)
def test_an_emoji_is_read_as_its_word_wherever_it_stands(emoji: str) -> None:
    reader = read_emoji(WHOLE)
    for text, words in (
        (f"amber {emoji}", f"amber {EMOJI[emoji]}"),
        (f"amber{emoji}falcon", f"amber {EMOJI[emoji]} falcon"),
        (f"{emoji}\ufe0f amber", f"{EMOJI[emoji]} amber"),
        (f"{emoji}{emoji}", f"{EMOJI[emoji]} {EMOJI[emoji]}"),
    ):
        assert reader.encode(text).tokens == WHOLE.encode(words).tokens


def test_what_holds_no_emoji_is_read_as_before() -> None:
    reader = read_emoji(WHOLE)
    for text in HEADLINES[:50]:
        assert reader.encode(text, "Acme").ids == WHOLE.encode(text, "Acme").ids


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    names = {"unk_token": UNKNOWN, "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    reader, _ = trim_vocabulary(read_emoji(WHOLE), HEADLINES, SIZE)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=reader, mask_token="[MASK]", **names)
    wrapped.save_pretrained(folder)
    return folder


def test_transformers_and_tokenizers_read_the_saved_one_alike(saved: Path) -> None:
    plain = Tokenizer.from_file(str(saved / "tokenizer.json"))
    wrapped = transformers.AutoTokenizer.from_pretrained(saved)
    assert wrapped.is_fast
    assert len(wrapped) == plain.get_vocab_size() == SIZE
    for text in (*HEADLINES[:50], "Acme 🚀 soars", "über 漢", ""):
        assert wrapped(text, "Acme")["input_ids"] == plain.encode(text, "Acme").ids
