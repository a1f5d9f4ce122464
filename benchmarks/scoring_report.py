"""The figures of benchmarks.scoring -> Markdown, and the few of them that go on a model's card. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from .machine import Machine
from .shapes import BASELINE, SHIPPED, Shape

MIN_RATIO, MIN_RATE, MAX_FIRST_S, MAX_PEAK_MB = 60, 2600, 0.6, 300
"""What the shipped model should reach on two cores."""
MAX_OTHERS_SHARE = 0.05
BUSY = ": too much to rely on any figure, ratios included, for not all ways suffer alike"
HEADER = """\
# How fast headlines are scored

Written by `python -m benchmarks.scoring --write docs/BENCHMARKS.md`; everything here was measured in that one run.
"""
NOTES = """\
Each row scores the first so many of the same headlines, tokenisation included; rounds go through all rows in turn and
the best counts. Ratios are to {baseline}: 12 layers of 768, the size of the
usual financial models, in float32. Only the shipped model has trained weights; speed does not depend on them. The
eight-bit limit is the multiplications that the row's graph needs, at the rate that bare u8 x s8 products of the shipped
model's matrices reached here ({products:.0f} thousand million a second, the better of onnxruntime and torch): what
would be left if tokenising, normalising, attention's softmax and every copy took no time.
"""


@dataclass(frozen=True)
class Row:
    """One way: headlines of a round, headlines a second in the best one, mean ``products`` of a headline if counted."""

    name: str
    count: int
    rate: float
    products: float | None


@dataclass(frozen=True)
class Fresh:
    """A way in processes of its own: median seconds from start to first score, most MB while ``count`` were scored."""

    name: str
    first_s: float
    peak_mb: float
    count: int


@dataclass(frozen=True)
class Figures:
    """All of one run. ``lengths`` are tokens of each headline with its company; ``others_share`` (0..1) is what other
    processes took of the machine; ``wall_s`` is the whole benchmark's.
    """

    machine: Machine
    measured_at: datetime
    revision: str
    shape: Shape
    threads: int
    rounds: int
    is_real: bool
    lengths: np.ndarray
    products_per_s: float
    others_share: float
    rows: Sequence[Row]
    fresh: Sequence[Fresh]
    wall_s: float

    def find_row(self, name: str) -> Row:
        """Return the row called ``name``."""
        return next(row for row in self.rows if row.name == name)

    def find_limit(self, row: Row) -> float:
        """Return headlines a second if ``row`` did nothing but its multiplications, in eight bits."""
        return self.products_per_s / row.products if row.products else float("inf")

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline the shipped model is."""
        return self.find_row(SHIPPED).rate / self.find_row(BASELINE).rate

    @property
    def shipped(self) -> Fresh:
        """The shipped model in a process of its own."""
        return next(fresh for fresh in self.fresh if fresh.name == SHIPPED)


def render_report(figures: Figures) -> str:
    """Return the page."""
    notes = NOTES.format(baseline=BASELINE, products=figures.products_per_s / 1e9)
    parts = [HEADER, describe_run(figures), notes, *format_rates(figures), "", *format_fresh(figures), ""]
    return "\n".join([*parts, *format_goals(figures)]) + "\n"


def describe_run(figures: Figures) -> str:
    """Return what was measured, on what, when."""
    machine, shape = figures.machine, figures.shape
    libraries = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    absent = [name for name in ("openvino", "nncf") if name not in machine.versions]
    kind = "headlines of the labelled sets" if figures.is_real else "made-up headlines"
    is_busy = figures.others_share > MAX_OTHERS_SHARE
    p50, p90 = np.percentile(figures.lengths, [50, 90])
    lines = [
        f"- {figures.measured_at:%Y-%m-%d %H:%M} UTC, {figures.wall_s:.0f} s in all, best of {figures.rounds} rounds",
        f"- {machine.processor}, {machine.cores} cores, {', '.join(machine.instructions) or 'no known instruction set'}"
        f"; threads used: {figures.threads} unless said otherwise",
        f"- other processes took {figures.others_share:.0%} of the machine meanwhile{BUSY * is_busy}",
        f"- {libraries}{'; not installed: ' + ', '.join(absent) if absent else ''}",
        f"- shipped model: revision {figures.revision}, {shape.layers} layers of {shape.hidden}",
        f"- {len(figures.lengths):,} distinct {kind}, each with a company as second segment: "
        f"{figures.lengths.mean():.1f} tokens on average, half up to {p50:.0f}, nine in ten up to {p90:.0f}, "
        f"all up to {figures.lengths.max()}",
    ]
    return "\n".join(lines) + "\n"


def format_rates(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of speeds."""
    base = figures.find_row(BASELINE).rate
    yield "| way | headlines | headlines/s | ratio | share of the eight-bit limit |"
    yield "| --- | --- | --- | --- | --- |"
    for row in figures.rows:
        share = f"{row.rate / figures.find_limit(row):.1%}" if row.products else ""
        yield f"| {row.name} | {row.count:,} | {row.rate:,.0f} | {row.rate / base:.1f} | {share} |"
    limit = figures.find_limit(figures.find_row(SHIPPED))
    yield f"| eight-bit limit of the shipped model | | {limit:,.0f} | {limit / base:.1f} | 100.0% |"


def format_fresh(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of cold starts."""
    yield "| in a process of its own | first score after, s | peak memory, MB | headlines scored |"
    yield "| --- | --- | --- | --- |"
    for fresh in figures.fresh:
        yield f"| {fresh.name} | {fresh.first_s:.2f} | {fresh.peak_mb:.0f} | {fresh.count:,} |"


def format_goals(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of goals."""
    rate, fresh = figures.find_row(SHIPPED).rate, figures.shipped
    yield "| goal for the shipped model | measured | |"
    yield "| --- | --- | --- |"
    for goal, measured, is_met in (
        (f"at least {MIN_RATIO} times {BASELINE}", f"{figures.ratio:.1f} times", figures.ratio >= MIN_RATIO),
        (f"at least {MIN_RATE:,} headlines/s", f"{rate:,.0f}", rate >= MIN_RATE),
        (f"first score within {MAX_FIRST_S} s of the start", f"{fresh.first_s:.2f} s", fresh.first_s < MAX_FIRST_S),
        (
            f"less than {MAX_PEAK_MB} MB for {fresh.count:,} headlines",
            f"{fresh.peak_mb:.0f} MB",
            fresh.peak_mb < MAX_PEAK_MB,
        ),
    ):
        yield f"| {goal} | {measured} | {'met' if is_met else 'not met'} |"


def describe_speed(figures: Figures) -> dict[str, Any]:
    """Return what pipeline.card.format_speed reads."""
    return {
        "headlines_per_s": round(figures.find_row(SHIPPED).rate, 1),
        "row_count": len(figures.lengths),
        "mean_token_count": round(float(figures.lengths.mean()), 1),
        "thread_count": figures.threads,
        "baseline": BASELINE,
        "baseline_ratio": round(figures.ratio, 1),
        "limit_share": round(figures.find_row(SHIPPED).rate / figures.find_limit(figures.find_row(SHIPPED)), 3),
        "first_score_s": round(figures.shipped.first_s, 3),
        "peak_mb": round(figures.shipped.peak_mb, 1),
        "processor": figures.machine.processor,
        "instructions": list(figures.machine.instructions),
        "onnxruntime": figures.machine.versions["onnxruntime"],
        "measured_on": f"{figures.measured_at:%Y-%m-%d}",
    }
