"""Training rows -> which of them make up every epoch. Pure; sees training rows only, so it can leak no other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

from pipeline.errors import PipelineError

from .data import Example
from .recipe import Recipe

FEWEST_ROWS = 8
"""What a row limit leaves of every source where it can, so that a short run still meets them all."""


class MixError(PipelineError):
    """A recipe asks for rows of a source that has none."""


def plan_rows(examples: Sequence[Example], recipe: Recipe, random: Random) -> list[list[int]]:
    """Return, for every epoch, indices into ``examples``, the training rows of the recipe's sources.

    With ``repeats`` every row of a source comes that often, in order; ``epoch_rows`` of these are drawn, anew in every
    epoch, if it is shorter. With ``mix`` an epoch has exactly its length and each source its share within one row:
    every row of a source floor(wanted / rows) times, and the rest drawn without replacement, anew in every epoch.
    ``train_limit`` first caps the distinct rows. The order within an epoch says
    nothing; batches are shuffled later. Deterministic under ``random``.

    Raises:
        MixError: a source of the recipe has no training row.
    """
    pools = limit_rows(group_sources(examples, recipe.sources), recipe.train_limit, random)
    if recipe.repeats:
        rows = [
            i
            for i in sorted(i for pool in pools.values() for i in pool)
            for _ in range(recipe.repeats[examples[i].source])
        ]
        if not 0 < recipe.epoch_rows < len(rows):
            return [rows] * recipe.epochs
        return [sorted(random.sample(rows, recipe.epoch_rows)) for _ in range(recipe.epochs)]
    total = recipe.epoch_rows or sum(map(len, pools.values()))
    wanted = share_out(total, recipe.mix)
    return [
        [i for source in pools for i in draw_rows(pools[source], wanted[source], random)] for _ in range(recipe.epochs)
    ]


def group_sources(examples: Sequence[Example], sources: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of every one of ``sources``, ascending; other sources' rows are left out.

    Raises:
        MixError: one of them has no row.
    """
    pools: defaultdict[str, list[int]] = defaultdict(list)
    for i, example in enumerate(examples):
        pools[example.source].append(i)
    for source in sources:
        if source not in pools:
            raise MixError(f"source {source} has no training row; take it out of the recipe's repeats or mix")
    return {source: pools[source] for source in sources}


def limit_rows(pools: Mapping[str, Sequence[int]], limit: int, random: Random) -> dict[str, list[int]]:
    """Return ``pools`` cut to ``limit`` rows in all (0: uncut), ascending, each in proportion to its size.

    A small source keeps FEWEST_ROWS, all it has if fewer, or an equal part of a limit too low for that.

    Raises:
        MixError: ``limit`` is below the number of sources.
    """
    if not limit or limit >= sum(map(len, pools.values())):
        return {source: list(pool) for source, pool in pools.items()}
    if limit < len(pools):
        raise MixError(f"train_limit is {limit}; expected at least one row for each of {len(pools)} sources")
    kept = {source: min(len(pool), FEWEST_ROWS, limit // len(pools)) for source, pool in pools.items()}
    left = share_out(limit - sum(kept.values()), {source: len(pool) - kept[source] for source, pool in pools.items()})
    return {source: sorted(random.sample(list(pool), kept[source] + left[source])) for source, pool in pools.items()}


def share_out(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Return whole numbers that sum to ``total``, each within one of its proportional part (largest remainder)."""
    scale = sum(weights.values())
    parts = {name: total * weight / scale for name, weight in weights.items()} if total else dict.fromkeys(weights, 0.0)
    counts = {name: math.floor(part) for name, part in parts.items()}
    by_remainder = sorted(parts, key=lambda name: counts[name] - parts[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def draw_rows(pool: Sequence[int], count: int, random: Random) -> list[int]:
    """Return ``count`` rows of ``pool``: each equally often, and the remainder drawn without replacement."""
    times, rest = divmod(count, len(pool))
    return [*(i for i in pool for _ in range(times)), *random.sample(list(pool), rest)]
