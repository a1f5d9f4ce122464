"""Which texts are nearly the same: an exact similarity join over token sets. Pure; shared with training splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import ceil

from .text import fold_tokens


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Return |left & right| / |left | right| in 0..1; two empty sets are equal (1)."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def similar_pairs(texts: Sequence[str], threshold: float, first: int = 0) -> Iterator[tuple[int, int, float]]:
    """Yield every (i, j, similarity) with i < j and token Jaccard >= ``threshold``, in increasing j then i.

    Only pairs with j >= ``first``: texts before it are known already and not compared with each other.
    Exact, yet far from quadratic: two sets with Jaccard >= t share a token among the first |x| - ceil(t |x|) + 1 of
    each, tokens ordered from rare to common (prefix filter; Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007).

    Raises:
        ValueError: ``threshold`` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], found {threshold}")
    sets = [frozenset(fold_tokens(text)) for text in texts]
    frequency = Counter(token for tokens in sets for token in tokens)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for j, tokens in enumerate(sets):
        rare_first = sorted(tokens, key=lambda token: (frequency[token], token))
        prefix = rare_first[: len(tokens) - ceil(threshold * len(tokens) - 1e-9) + 1] or [""]
        for i in sorted({i for token in prefix for i in holders[token]}) if j >= first else ():
            similarity = jaccard(sets[i], tokens)
            if similarity >= threshold:
                yield i, j, similarity
        for token in prefix:
            holders[token].append(j)


def group_similar(texts: Sequence[str], threshold: float) -> list[int]:
    """Return one group number per text: texts joined by a chain of similar pairs share the chain's smallest index."""
    return group_pairs(len(texts), ((i, j) for i, j, _ in similar_pairs(texts, threshold)))


def group_pairs(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return one group number for each of 0..count-1: items joined by a chain of pairs share its smallest item."""
    root = list(range(count))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in pairs:
        low, high = sorted((find(i), find(j)))
        root[high] = low
    return [find(i) for i in range(count)]
