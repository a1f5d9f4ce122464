"""Runs -> one comparison: means and spreads over seeds, and every recipe against a baseline on the same test rows.

A recipe is judged on a source (or the mix) by accuracy. It is "better" only if its mean is above the baseline's by more
than the larger of the two standard deviations over seeds, it has more rows right than the baseline under every seed
they share, and the largest of these seeds' p-values is below 0.05; "worse" likewise; else no difference is shown.
The test is McNemar's; on the mix it is a paired z-test of the weighted accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from pipeline.errors import PipelineError

from .data import SOURCES
from .evaluate import MIX
from .run_record import Run, read_outcome, read_run
from .significance import Difference, compare_right, compare_weighted, macro_f1_difference

PLACES = ("mix", "overall", *SOURCES)
SIGNIFICANT = 0.05
BETTER, WORSE, NO_DIFFERENCE, ONE_SEED = "better", "worse", "no difference shown", "not judged: under two seeds"


class CompareError(PipelineError):
    """Runs cannot be held against each other."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A measure over seeds. ``sd`` and the 95 % interval of the mean (Student's t) are None for a single seed."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Against:
    """One recipe less the baseline in one place: differences of means over shared seeds, and the verdict on accuracy.

    ``largest_p`` is the largest of the seeds' McNemar p-values. ``macro_f1_draws`` is the paired bootstrap by seed,
    only for all rows together and where predictions were at hand.
    """

    seeds: tuple[int, ...]
    accuracy: float
    macro_f1: float
    largest_p: float
    verdict: str
    macro_f1_draws: Mapping[int, Difference]


@dataclass(frozen=True, slots=True)
class Group:
    """A recipe over its seeds: measures by place (mix, overall, sources), ``figures`` that have no place, and verdicts.

    Places a run has no rows of are left out, and so are figures it did not record.
    """

    recipe: str
    seeds: tuple[int, ...]
    measures: Mapping[str, Mapping[str, Spread]]
    figures: Mapping[str, Spread]
    against: Mapping[str, Against]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Recipes in the order given; ``baseline`` is one of them or None. dataclasses.asdict makes it fit for JSON.

    ``baselines`` is what majority and VADER reach by place, as in a run's record; {} where no record holds them.
    """

    baseline: str | None
    row_count: int
    groups: tuple[Group, ...]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


def compare_runs(folders: Sequence[Path], baseline: str | None) -> Comparison:
    """Return the comparison of run folders, grouped by recipe; ``baseline`` is a recipe's name.

    Raises:
        PipelineError: a folder is damaged, or :func:`check_runs` refuses the runs.
    """
    runs = [read_run(folder) for folder in folders]
    check_runs(runs, baseline)
    outcomes = {(run.recipe, run.seed): read_outcome(folder) for run, folder in zip(runs, folders, strict=True)}
    return compare_records(runs, baseline, outcomes)


def compare_records(
    runs: Sequence[Run],
    baseline: str | None,
    outcomes: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]] | None = None,
) -> Comparison:
    """Return the comparison of stored records; ``outcomes`` is (labels, predicted) by recipe and seed where at hand.

    Raises:
        CompareError: :func:`check_runs` refuses them.
    """
    check_runs(runs, baseline)
    by_recipe = {
        name: [run for run in runs if run.recipe == name] for name in dict.fromkeys(run.recipe for run in runs)
    }
    base = by_recipe.get(baseline or "", [])
    groups = tuple(_summarise_group(group, base, outcomes or {}) for group in by_recipe.values())
    beaten = next((run.baselines for run in runs if run.baselines), {})
    return Comparison(baseline, sum(map(len, runs[0].right.values())), groups, beaten)


def check_runs(runs: Sequence[Run], baseline: str | None) -> None:
    """Refuse runs not split and tested alike, a run given twice, a recipe that is two, a baseline without a run.

    Raises:
        CompareError: names the runs, and in what they differ.
    """
    if not runs:
        raise CompareError("no run given; expected at least one run folder")
    seen: set[tuple[str, int]] = set()
    first: dict[str, Run] = {}
    for run in runs:
        if (run.recipe, run.seed) in seen:
            raise CompareError(f"{run.name} is given twice; expected every recipe and seed once")
        seen.add((run.recipe, run.seed))
        if run.rows_sha256 != runs[0].rows_sha256:
            raise CompareError(f"{run.name} and {runs[0].name} have other test rows; expected the same rows")
        if odd := _list_odd(run.splits, runs[0].splits):
            raise CompareError(f"{run.name} and {runs[0].name} have other {odd} rows; expected the same data")
        like = first.setdefault(run.recipe, run)
        if odd := _list_odd({"base": run.base, **run.settings}, {"base": like.base, **like.settings}):
            raise CompareError(f"{run.name} and {like.name} differ in {odd}; expected runs of one recipe")
    if baseline is not None and baseline not in (names := sorted({run.recipe for run in runs})):
        raise CompareError(f"baseline {baseline!r} has no run; expected one of {', '.join(names)}")


def summarise(values: Sequence[float]) -> Spread:
    """Return mean, standard deviation (n - 1) and the 95 % interval of the mean of one value or more."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Spread(mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = float(student.ppf(0.975, count - 1)) * sd / count**0.5
    return Spread(mean, sd, mean - half, mean + half)


def judge(ours: Sequence[float], theirs: Sequence[float], leads: Sequence[float], ps: Sequence[float]) -> str:
    """Return the verdict on accuracies per shared seed, by the rule at the top of this module.

    ``leads`` are, per seed, by how much we are ahead on the rows, of which only the sign counts; ``ps`` the p-values.
    """
    if len(ours) < 2:
        return ONE_SEED
    gap = float(np.mean(ours) - np.mean(theirs))
    spread = max(float(np.std(ours, ddof=1)), float(np.std(theirs, ddof=1)))
    sign = np.sign(gap)
    if abs(gap) <= spread or max(ps) >= SIGNIFICANT or any(np.sign(count) != sign for count in leads):
        return NO_DIFFERENCE
    return BETTER if sign > 0 else WORSE


def _list_odd(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    return ", ".join(sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key)))


def _summarise_group(
    runs: Sequence[Run], base: Sequence[Run], outcomes: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]]
) -> Group:
    runs = sorted(runs, key=lambda run: run.seed)
    places = [place for place in PLACES if place in runs[0].measures]
    measures = {
        place: {key: summarise([run.measures[place][key] for run in runs]) for key in ("accuracy", "macro_f1")}
        for place in places
    }
    figures = {}
    for name in ("r2", "score_head_r2", "ece", "wall_s", "peak_rss_mib", "peak_gpu_mib"):
        if None not in (values := [run.figures.get(name) for run in runs]):
            figures[name] = summarise([float(value) for value in values if value is not None])
    known = {run.seed: run for run in base}
    pairs = [(run, known[run.seed]) for run in runs if run.seed in known and run.recipe != known[run.seed].recipe]
    against = {place: _hold_against(place, pairs, outcomes) for place in places if pairs}
    return Group(runs[0].recipe, tuple(run.seed for run in runs), measures, figures, against)


def _hold_against(
    place: str, pairs: Sequence[tuple[Run, Run]], outcomes: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]]
) -> Against:
    leads, ps = zip(*(_test_pair(place, run, base) for run, base in pairs), strict=True)
    ours, theirs = ([run.measures[place]["accuracy"] for run in side] for side in zip(*pairs, strict=True))
    draws = {}
    for run, base in pairs:
        a, b = outcomes.get((run.recipe, run.seed)), outcomes.get((base.recipe, base.seed))
        if place == "overall" and a and b:
            draws[run.seed] = macro_f1_difference(a[0], a[1], b[1], seed=0)
    return Against(
        seeds=tuple(run.seed for run, _ in pairs),
        accuracy=float(np.mean(ours) - np.mean(theirs)),
        macro_f1=float(np.mean([a.measures[place]["macro_f1"] - b.measures[place]["macro_f1"] for a, b in pairs])),
        largest_p=max(ps),
        verdict=judge(ours, theirs, leads, ps),
        macro_f1_draws=draws,
    )


def _test_pair(place: str, run: Run, base: Run) -> tuple[float, float]:
    """Return by how much ``run`` is ahead of ``base`` on the test rows of ``place``, and the p-value."""
    if place == "mix":
        return compare_weighted([(_right(run, [one]), _right(base, [one])) for one in MIX], list(MIX.values()))
    sources = list(run.right) if place == "overall" else [place]
    test = compare_right(_right(run, sources), _right(base, sources))
    return test.only_a_count - test.only_b_count, test.p


def _right(run: Run, sources: Sequence[str]) -> np.ndarray:
    """Return which test rows of ``sources`` the run has right, bool (n,), source by source."""
    return np.array([digit == "1" for source in sources for digit in run.right[source]], dtype=bool)
