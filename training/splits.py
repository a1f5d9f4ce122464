"""Examples -> train, validation and test indices in which no near-duplicate stands on two sides. Pure, seeded."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from pipeline.similarity import group_similar, similar_pairs
from pipeline.text import fold_text

from .data import Example

SIMILARITY = 0.7
HELD_OUT_SHARE = 0.1
SPLIT_SEED = 42
"""Splits do not move with a recipe's seed, so that runs under several seeds are tested on the same rows."""
OFFICIALLY_SPLIT = frozenset({"twitter", "fiqa"})
"""Sources whose publisher holds out a test; the others get a grouped test of their own."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*%?")


@dataclass(frozen=True)
class Splits:
    """Indices into the examples, ascending and disjoint; ``dropped`` holds (index, reason) of the rest."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    dropped: tuple[tuple[int, str], ...]

    def by_name(self) -> dict[str, tuple[int, ...]]:
        """Return the three index tuples by split name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_examples(examples: Sequence[Example], seed: int, threshold: float = SIMILARITY) -> Splits:
    """Return grouped splits, the same for the same examples, ``seed`` and ``threshold``.

    Test: the officially held-out rows, and about a tenth of every other source, drawn by cluster within (source,
    label). A cluster that touches test gives no row to train or validation: rows of other kinds in it are dropped.
    Validation: about a tenth of what is left, drawn alike. Rows outside test that repeat another's text, target and
    label, or contradict it, are dropped too.
    """
    clusters = group_examples(examples, threshold)
    random = Random(seed)
    official = {cluster for cluster, example in zip(clusters, examples, strict=True) if example.is_official_test}
    own = [i for i, e in enumerate(examples) if e.source not in OFFICIALLY_SPLIT and clusters[i] not in official]
    held = draw_clusters(examples, clusters, own, HELD_OUT_SHARE, random)
    test = [i for i, e in enumerate(examples) if e.is_official_test or (clusters[i] in held and _is_own(e))]
    near_test = [i for i in _complement(examples, test) if clusters[i] in official | held]
    repeated = find_repeats(examples, _complement(examples, [*test, *near_test]))
    rest = _complement(examples, [*test, *near_test, *repeated])
    validating = draw_clusters(examples, clusters, rest, HELD_OUT_SHARE, random)
    reasons = dict.fromkeys(near_test, "near-duplicate of a test row") | repeated
    return Splits(
        train=tuple(i for i in rest if clusters[i] not in validating),
        validation=tuple(i for i in rest if clusters[i] in validating),
        test=tuple(test),
        dropped=tuple(sorted(reasons.items())),
    )


def fingerprint_splits(examples: Sequence[Example], splits: Splits) -> dict[str, str]:
    """Return the SHA-256 of every split's members: equal for the same rows in any order and under any labelling.

    A member is its source, text and target.
    """
    result = {}
    for name, indices in splits.by_name().items():
        members = sorted("\x1f".join((examples[i].source, examples[i].text, examples[i].target)) for i in indices)
        result[name] = hashlib.sha256("\n".join(members).encode()).hexdigest()
    return result


def find_near(texts: Sequence[str], held_out: Iterable[str], threshold: float = SIMILARITY) -> set[int]:
    """Return the indices of ``texts`` that have a token Jaccard of ``threshold`` or more with one of ``held_out``.

    Numbers are masked, as where clusters are formed.
    """
    known = list(dict.fromkeys(_NUMBER.sub("0", text) for text in held_out))
    masked = [_NUMBER.sub("0", text) for text in texts]
    asked = list(dict.fromkeys(masked))
    count = len(known)
    pairs = similar_pairs([*known, *asked], threshold, first=count)
    near = {asked[j - count] for i, j, _ in pairs if i < count}
    return {i for i, text in enumerate(masked) if text in near}


def group_examples(examples: Sequence[Example], threshold: float = SIMILARITY) -> list[int]:
    """Return a cluster number per example: equal for texts linked by a chain of token Jaccard >= ``threshold``.

    Numbers are masked first, so that the same sentence with other figures is one cluster.
    """
    masked = [_NUMBER.sub("0", example.text) for example in examples]
    position = {text: i for i, text in enumerate(dict.fromkeys(masked))}
    groups = group_similar(list(position), threshold)
    return [groups[position[text]] for text in masked]


def draw_clusters(
    examples: Sequence[Example], clusters: Sequence[int], indices: Sequence[int], share: float, random: Random
) -> set[int]:
    """Return clusters that hold about ``share`` of ``indices``, drawn within every (source, label) of a first row."""
    sizes = Counter(clusters[i] for i in indices)
    strata: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for cluster, i in {clusters[i]: i for i in reversed(indices)}.items():
        strata[examples[i].source, examples[i].label].append(cluster)
    drawn: set[int] = set()
    for _, members in sorted(strata.items()):
        members.sort()
        random.shuffle(members)
        wanted = share * sum(sizes[cluster] for cluster in members)
        for cluster in members:
            if sizes[cluster] <= wanted:
                drawn.add(cluster)
                wanted -= sizes[cluster]
    return drawn


def find_repeats(examples: Sequence[Example], indices: Sequence[int]) -> dict[int, str]:
    """Return why to drop rows of ``indices`` that repeat an earlier (text, target), or contradict another's label."""
    rows: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for i in indices:
        rows[fold_text(examples[i].text), fold_text(examples[i].target)].append(i)
    reasons: dict[int, str] = {}
    for same in rows.values():
        if len({examples[i].label for i in same}) > 1:
            reasons |= dict.fromkeys(same, "same text, other label")
        else:
            reasons |= dict.fromkeys(same[1:], "repeats another row")
    return reasons


def _is_own(example: Example) -> bool:
    return example.source not in OFFICIALLY_SPLIT


def _complement(examples: Sequence[Example], indices: Collection[int]) -> list[int]:
    taken = set(indices)
    return [i for i in range(len(examples)) if i not in taken]
