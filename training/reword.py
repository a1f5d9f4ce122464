"""Training rows -> rows in other words: some exchanged for near ones, figures drawn anew. Pure.

What such a row is worth the teachers have to say: a small encoder learns to answer as they do from texts like those it
will be asked about (TinyBERT: Jiao et al. 2020, algorithm 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import torch

from .data import Example
from .losses import UNLABELLED

SOURCE = "reworded"
NEAR = 12
"""How many words are near to one."""
SHARES = (0.15, 0.25, 0.4)
"""Of the words and figures of a row this share is exchanged; which of the three is drawn for every row."""
_PART = re.compile(r"(?<![\w$@#/&])[A-Za-z]{3,}(?![\w/@&]|://)|(?<![A-Za-z0-9/])[0-9]+")
_YEAR = re.compile(r"(?:19|20)\d\d")
_KEPT_WORDS = """
and are but for from had has have her his how into its nor not off one our out she that the their them then they this
until was were what when where which who whom whose why will with you your
"""
_KEPT = frozenset(_KEPT_WORDS.split())
"""Words that hold a sentence together."""
_CHUNK = 1024


def find_near_words(words: Sequence[str], vectors: torch.Tensor) -> dict[str, list[str]]:
    """Return for every word the NEAR others whose vectors point most nearly its way, the nearest first.

    ``vectors`` float (n, width), of which the mean is taken off first: embeddings share most of one direction. Fewer
    where there are fewer words.
    """
    centred = torch.nn.functional.normalize(vectors.float() - vectors.float().mean(dim=0), dim=1)
    near: dict[str, list[str]] = {}
    for start in range(0, len(words), _CHUNK):
        alike = centred[start : start + _CHUNK] @ centred.T
        alike[torch.arange(len(alike)), torch.arange(start, start + len(alike))] = -torch.inf
        found = alike.topk(min(NEAR, len(words) - 1), dim=1).indices.tolist()
        near |= {words[start + i]: [words[k] for k in row] for i, row in enumerate(found)}
    return near


def reword_rows(
    examples: Sequence[Example],
    epochs: Sequence[Sequence[int]],
    count: int,
    near: Mapping[str, Sequence[str]],
    random: Random,
) -> list[Example]:
    """Return ``count`` rows in other words, without labels, of rows drawn as often as ``epochs`` have them.

    Fewer where nothing of a row could be exchanged. Deterministic under ``random``.
    """
    drawn = random.choices([i for rows in epochs for i in rows], k=count)
    texts = [reword_text(examples[i].text, examples[i].target, near, random) for i in drawn]
    return [
        replace(examples[i], text=text, label=UNLABELLED, score=None, source=SOURCE)
        for i, text in zip(drawn, texts, strict=True)
        if text != examples[i].text
    ]


def reword_text(text: str, target: str, near: Mapping[str, Sequence[str]], random: Random) -> str:
    """Return ``text`` with a share of its words, those that ``near`` knows in lower case, and of its figures exchanged.

    A word keeps its capitals, a figure its length. Years, cashtags, addresses and the words of ``target`` stay.
    """
    kept = {part.lower() for part in re.findall(r"[A-Za-z]+|\d+", target)} | _KEPT
    share = random.choice(SHARES)

    def exchange(match: re.Match[str]) -> str:
        part = match.group()
        if random.random() >= share or part.lower() in kept or _YEAR.fullmatch(part):
            return part
        if part.isdecimal():
            return str(random.randrange(10 ** (len(part) - 1), 10 ** len(part)))
        if part.lower() not in near:
            return part
        word = random.choice(near[part.lower()])
        return word.upper() if part.isupper() else word.capitalize() if part[0].isupper() else word

    return _PART.sub(exchange, text)
