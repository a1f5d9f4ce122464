"""A WordPiece tokenizer and texts -> the same tokenizer with only the pieces these texts use most."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from pipeline.errors import ModelError

PREFIX = "##"
EMOJI = {
    "🚀": "soars",
    "📈": "rises",
    "📉": "falls",
    "⬆": "up",
    "⬇": "down",
    "🔼": "up",
    "🔽": "down",
    "🟢": "green",
    "🔴": "red",
    "🐂": "bull",
    "🐻": "bear",
    "🔥": "fire",
    "💥": "crash",
    "💰": "money",
    "🤑": "money",
    "💸": "losing money",
    "💎": "diamond",
    "👍": "good",
    "👎": "bad",
    "✅": "yes",
    "❌": "no",
    "⚠": "warning",
    "🚨": "alert",
    "😀": "happy",
    "😊": "happy",
    "🎉": "celebrates",
    "😢": "sad",
    "😭": "crying",
    "😡": "angry",
    "😱": "shock",
    "🤔": "wonders",
    "☠": "dead",
    "💀": "dead",
    "🩸": "blood",
}
"""What emoji of market talk are read as. A WordPiece vocabulary of 2018 takes each of them for the same unknown."""


def trim_vocabulary(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> tuple[Tokenizer, list[int]]:
    """Return a tokenizer of ``size`` pieces and, for each of its ids, the id it had.

    Kept are the special tokens, every single character (so that no word becomes unknown that was not), and then the
    pieces most frequent in ``texts``, in their old order. A word whose piece went is spelt with smaller ones.

    Raises:
        ModelError: it is no WordPiece tokenizer, or ``size`` has no room for what must stay.
    """
    state = json.loads(tokenizer.to_str())
    if state["model"]["type"] != "WordPiece":
        raise ModelError(f"vocabulary: the base's tokenizer is {state['model']['type']}; expected WordPiece, or 0")
    old = state["model"]["vocab"]
    kept = choose_pieces(old, {one["content"] for one in state["added_tokens"]}, count_pieces(tokenizer, texts), size)
    new = {piece: i for i, piece in enumerate(kept)}
    state["model"]["vocab"] = new
    for token in state["added_tokens"]:
        token["id"] = new[token["content"]]
    renumber_marks(state["post_processor"], new)
    return Tokenizer.from_str(json.dumps(state)), [old[piece] for piece in kept]


def read_emoji(tokenizer: Tokenizer) -> Tokenizer:
    """Return ``tokenizer`` reading EMOJI as words; the rule lies in tokenizer.json, so that everyone reads alike."""
    state = json.loads(tokenizer.to_str())
    rules = [{"type": "Replace", "pattern": {"String": emoji}, "content": f" {word} "} for emoji, word in EMOJI.items()]
    state["normalizer"] = {"type": "Sequence", "normalizers": [*rules, *filter(None, [state["normalizer"]])]}
    return Tokenizer.from_str(json.dumps(state))


def renumber_marks(frame: dict[str, Any], ids: Mapping[str, int]) -> None:
    """Give the marks that ``frame``, a tokenizer's post_processor, puts around segments their new ids, in place."""
    for special in frame.get("special_tokens", {}).values():  # a template's
        special["ids"] = [ids[token] for token in special["tokens"]]
    for name in ("sep", "cls"):  # BERT's own
        if name in frame:
            frame[name] = [frame[name][0], ids[frame[name][0]]]


def count_pieces(tokenizer: Tokenizer, texts: Sequence[str]) -> Counter[str]:
    """Return how often each piece occurs in ``texts``."""
    counts: Counter[int] = Counter()
    for start in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch_fast(list(texts[start : start + 10_000]), add_special_tokens=False):
            counts.update(encoding.ids)  # not its tokens: the fast way leaves them empty
    return Counter({str(tokenizer.id_to_token(i)): count for i, count in counts.items()})


def choose_pieces(vocabulary: dict[str, int], special: set[str], counts: Counter[str], size: int) -> list[str]:
    """Return the pieces to keep, in the order of their ids."""
    always = [piece for piece in vocabulary if piece in special or len(piece.removeprefix(PREFIX)) == 1]
    if size < len(always):
        raise ModelError(f"vocabulary is {size}; expected at least {len(always)}: special tokens and single characters")
    rest = sorted(vocabulary.keys() - set(always), key=lambda piece: (-counts[piece], vocabulary[piece]))
    return sorted([*always, *rest[: size - len(always)]], key=vocabulary.__getitem__)
