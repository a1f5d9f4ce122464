"""A recipe and the data -> tables of what there is to train and test on, and a manifest of it with hashes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import Any

from pipeline.text import LABELS, fold_text

from .contamination import find_contamination
from .data import SOURCES, Drops, Example, describe_data, load_examples
from .fiqa import choose_thresholds, relabel_scores
from .readers import DataSource
from .recipe import Recipe
from .splits import SPLIT_SEED, fingerprint_splits, group_examples, split_examples

Table = dict[str, dict[str, int]]


def prepare_data(recipe: Recipe, data: DataSource) -> dict[str, Any]:
    """Read all sources, split them, and return the outcome for ``recipe``, plain JSON. Trains and writes nothing.

    Raises:
        DataError: a set is missing, out of reach or malformed.
    """
    dropped: Drops = Counter()
    examples = load_examples(data, SOURCES, dropped)
    splits = split_examples(examples, SPLIT_SEED)
    thresholds = choose_thresholds(recipe.fiqa_labels, examples, splits)
    fitted = relabel_scores(examples, (*splits.train, *splits.validation), thresholds)
    return {
        "recipe": recipe.name,
        "base": recipe.base,
        "trained_on": list(recipe.sources),
        "data": describe_data(data, examples),
        "labels": count_labels(examples, {"read": range(len(examples))})["read"],
        "not_read": _nest(dropped),
        "exact_repeats": count_repeats(examples),
        "near_repeats": count_near_repeats(examples),
        "split_seed": SPLIT_SEED,
        "splits": fingerprint_splits(examples, splits),
        "split_labels": count_labels(fitted, splits.by_name()),
        "left_out": _nest(Counter((examples[i].source, reason) for i, reason in splits.dropped)),
        "fiqa_labels": recipe.fiqa_labels,
        "fiqa_thresholds": list(thresholds),
        "contamination": find_contamination(recipe.base, examples, splits),
    }


def count_labels(
    examples: Sequence[Example], parts: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, dict[str, int]]]:
    """Return the rows by part, source and label name; a source without rows in a part has zeros."""
    sources = dict.fromkeys(example.source for example in examples)
    result = {}
    for part, indices in parts.items():
        counts = Counter((examples[i].source, examples[i].label) for i in indices)
        result[part] = {
            source: {name: counts[source, label] for label, name in enumerate(LABELS)} for source in sources
        }
    return result


def count_repeats(examples: Sequence[Example]) -> Table:
    """Return, source by source, the texts that stand twice once case, accents and punctuation are gone.

    On the diagonal: rows that repeat an earlier (text, target) of their own source. Elsewhere: distinct texts of the
    first source that stand in the second too.
    """
    rows: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for example in examples:
        rows[example.source].append((fold_text(example.text), fold_text(example.target)))
    texts = {source: {text for text, _ in found} for source, found in rows.items()}
    return {
        one: {
            other: len(rows[one]) - len(set(rows[one])) if one == other else len(texts[one] & texts[other])
            for other in rows
        }
        for one in rows
    }


def count_near_repeats(examples: Sequence[Example]) -> Table:
    """Return, source by source, the distinct texts in a cluster of near-duplicates (see splits.group_examples).

    On the diagonal: texts beyond the first of their cluster in their own source. Elsewhere: texts of the first source
    whose cluster holds a text of the second.
    """
    clusters: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for example, cluster in zip(examples, group_examples(examples), strict=True):
        clusters[example.source].setdefault(fold_text(example.text), cluster)
    held = {source: set(found.values()) for source, found in clusters.items()}
    return {
        one: {
            other: len(clusters[one]) - len(held[one])
            if one == other
            else sum(cluster in held[other] for cluster in clusters[one].values())
            for other in clusters
        }
        for one in clusters
    }


def format_manifest(manifest: Mapping[str, Any]) -> str:
    """Return the tables of a manifest made by :func:`prepare_data`."""
    parts = [
        ["rows read", *_label_lines({"": manifest["labels"]})],
        [*_drop_lines("dropped rows, while reading", manifest["not_read"])],
        ["rows that repeat another but for case and punctuation (diagonal: within a source; elsewhere: shared)"]
        + list(_square_lines(manifest["exact_repeats"])),
        ["texts nearly like another, numbers masked (diagonal: within a source; elsewhere: near the column's)"]
        + list(_square_lines(manifest["near_repeats"])),
        [
            f"rows by split (split seed {manifest['split_seed']}, the same for every recipe)",
            *_label_lines(manifest["split_labels"]),
        ],
        [*_drop_lines("dropped rows, in no split", manifest["left_out"])],
        list(_recipe_lines(manifest)),
        list(_contamination_lines(manifest)),
        list(_origin_lines(manifest)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _label_lines(parts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Iterator[str]:
    yield f"  {'':<24}{'rows':>7}" + "".join(f"{name:>17}" for name in LABELS)
    for part, sources in parts.items():
        total: Counter[str] = Counter()
        for source, counts in sources.items():
            yield _label_line("" if total else part, source, counts)
            total.update(counts)
        yield _label_line("", "all", total)


def _label_line(part: str, source: str, counts: Mapping[str, int]) -> str:
    rows = sum(counts.values())
    cells = "".join(f"{counts[name]:>8,} ({counts[name] / max(1, rows):6.1%})" for name in LABELS)
    return f"  {part:<12}{source:<12}{rows:>7,}{cells}"


def _drop_lines(title: str, reasons: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield f"{title}: {sum(count for found in reasons.values() for count in found.values()):,}"
    for source, found in reasons.items():
        yield from (f"  {source:<12}{count:>7,}  {reason}" for reason, count in found.items())


def _square_lines(table: Table) -> Iterator[str]:
    yield f"  {'':<12}" + "".join(f"{other:>12}" for other in table)
    for one, row in table.items():
        yield f"  {one:<12}" + "".join(f"{count:>12,}" for count in row.values())


def _recipe_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    low, high = manifest["fiqa_thresholds"]
    yield f"recipe {manifest['recipe']} trains on {', '.join(manifest['trained_on'])}; base {manifest['base']}"
    where = "terciles of its training rows" if manifest["fiqa_labels"] == "percentile" else "fixed"
    yield f"  FiQA's classes: negative below {low:.4g}, positive from {high:.4g} ({where})"
    if manifest["fiqa_labels"] == "percentile":
        yield "  its test rows are counted above by the fixed thresholds, -0.1 and 0.1"


def _contamination_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield "test rows the base is known to have seen"
    if not manifest["contamination"]:
        yield "  nothing known, which does not say that there are none"
    for found in manifest["contamination"]:
        share = "share not stated" if found["known_share"] is None else f"{found['known_share']:.1%}"
        kind = "counted row by row" if found["is_exact"] else "about, as stated"
        yield f"  {found['source']:<12}{share} of {found['test_row_count']:,} ({kind})"
        for name, (count, part) in found["slice_shares"].items():
            yield f"  {'':<12}  {name:<8}{part:>7.1%} of {count:,}"
        for line in (found["statement"], f"evidence: {found['evidence']}"):
            yield fill(line, 110, initial_indent=" " * 14, subsequent_indent=" " * 14, break_long_words=False)


def _origin_lines(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield "origin, and sha256 of the rows as read"
    for source, found in manifest["data"].items():
        yield f"  {source:<12}{found['sha256']}"
        yield f"  {'':<12}{found['origin']} {found['revision']}".rstrip()
    yield "sha256 of the members of each split"
    yield from (f"  {name:<12}{digest}" for name, digest in manifest["splits"].items())


def _nest(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    result: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (source, reason), count in sorted(counts.items()):
        result[source][reason] = count
    return dict(result)
