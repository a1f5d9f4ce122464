"""How far scores and files made on two processors lie apart, and the page that says so. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.model_folder import GOLDEN_TOLERANCE

from .machine import Machine

DECIMALS = (6, 5, 4, 3, 2, 1)
SHIPPED, USUAL = "as shipped", "usual eight bits"
HEADER = """\
# Scores on other kinds of processor

Written by `python -m benchmarks.cpus --write docs/CPUS.md`; everything here was measured in that one run. What it
means is in [QUANTIZATION.md](QUANTIZATION.md#other-kinds-of-processor).
"""
NOTES = """\
The first processor is the machine's own; qemu-user plays the others. Times under it say nothing about theirs. Changes
of sentiment_score are against the same weights on the first processor. "Usual eight bits" is the same model with each
column of its weights scaled up to 127, so that pairs of products may pass 16 bits. Golden: the largest change of a
probability of the model folder's golden headlines since its export, allowed {tolerance:g}.
"""
ROUNDING = """\
Of the {count} headlines, as shipped, how many would be written alike by the first processor and by the others if
probabilities were rounded to so many decimals (the evidence files have 6):
"""
SUMS = """\
All {count} matrices of the model in MatMulInteger alone, held against exact sums. Activations are random bytes, or the
worst that there are for a column: 255 where its weights have one sign, 0 elsewhere.
"""
FILES = """\
The recorded day (`pipeline/sample_day`) through `python -m pipeline daily` on each processor, files compared cell by
cell with the first one's:
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """How (n, 3) probabilities differ from others: sentiment scores absolute in 0..2, labels counted."""

    count: int
    largest: float
    mean: float
    labels_changed: int


@dataclass(frozen=True, slots=True)
class Scored:
    """What a processor made of all headlines: probabilities float32 (n, 3), and the largest change of a golden one."""

    processor: str
    instructions: str
    weights: str
    scores: np.ndarray
    golden: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums of products that a processor got wrong, of ``count``, and by how much at most."""

    instructions: str
    weights: str
    activations: str
    count: int
    wrong: int
    largest: int


@dataclass(frozen=True, slots=True)
class Filed:
    """A file of the recorded day beside the first processor's: rows and cells that differ, and the widest column."""

    processor: str
    table: str
    rows: int
    rows_changed: int
    cells_changed: int
    largest: float
    column: str


@dataclass(frozen=True, slots=True)
class Figures:
    """All of one run. ``scored``: the model as shipped, then with usual weights, each on the machine's own first."""

    machine: Machine
    emulator: str
    measured_at: datetime
    revision: str
    scored: Sequence[Scored]
    matrix_count: int
    summed: Sequence[Summed]
    filed: Sequence[Filed]
    wall_s: float

    def find_own(self, weights: str = SHIPPED) -> Scored:
        """Return what the others with the same ``weights`` are held against."""
        return next(scored for scored in self.scored if scored.weights == weights)

    def list_others(self) -> list[Scored]:
        """Return the other processors with the model as shipped."""
        return [scored for scored in self.scored if scored.weights == SHIPPED][1:]


def compare_probabilities(first: np.ndarray, second: np.ndarray) -> Difference:
    """Return how two float (n, 3) arrays in LABELS order differ."""
    changes = np.abs((second[:, 2] - second[:, 0]) - (first[:, 2] - first[:, 0]))
    labels_changed = int((first.argmax(axis=1) != second.argmax(axis=1)).sum())
    return Difference(len(first), float(changes.max()), float(changes.mean()), labels_changed)


def count_equal(first: np.ndarray, second: np.ndarray, decimals: int) -> tuple[int, int]:
    """Return how many sentiment scores, and how many whole rows, are written alike with ``decimals``.

    Rounded as the evidence is: first the probabilities, then their difference.
    """
    one, two = (np.round(scores.astype(float), decimals) for scores in (first, second))
    scores = [np.round(rounded[:, 2] - rounded[:, 0], decimals) for rounded in (one, two)]
    return int((scores[0] == scores[1]).sum()), int((one == two).all(axis=1).sum())


def compare_frames(processor: str, table: str, first: pd.DataFrame, second: pd.DataFrame) -> Filed:
    """Return how two tables of text cells differ; a cell that is no number, or is missing once, differs by infinity.

    Raises:
        ValueError: they have not the same columns and number of rows.
    """
    if list(first) != list(second) or len(first) != len(second):
        raise ValueError(f"{table}: {first.shape} and {second.shape} cells; expected the same columns and rows")
    is_changed = first.to_numpy() != second.to_numpy()
    numbers = [frame.apply(pd.to_numeric, errors="coerce").to_numpy(float) for frame in (first, second)]
    apart = np.where(is_changed, np.nan_to_num(np.abs(numbers[0] - numbers[1]), nan=np.inf), 0)
    widest = int(apart.max(axis=0).argmax())
    return Filed(
        processor=processor,
        table=table,
        rows=len(first),
        rows_changed=int(is_changed.any(axis=1).sum()),
        cells_changed=int(is_changed.sum()),
        largest=float(apart.max()),
        column=list(first)[widest] if is_changed.any() else "",
    )


def render_report(figures: Figures) -> str:
    """Return the page."""
    count = len(figures.find_own().scores)
    parts = [
        HEADER,
        *describe_run(figures),
        "",
        NOTES.format(tolerance=GOLDEN_TOLERANCE),
        *format_scores(figures),
        "",
        *format_twins(figures),
        ROUNDING.format(count=count),
        *format_rounding(figures),
        "",
        SUMS.format(count=figures.matrix_count),
        *format_sums(figures),
        "",
        FILES,
        *format_files(figures),
    ]
    return "\n".join(parts) + "\n"


def describe_run(figures: Figures) -> Iterator[str]:
    """Yield what was measured, on what, when."""
    libraries = ", ".join(f"{name} {figures.machine.versions[name]}" for name in ("python", "onnxruntime"))
    yield f"- {figures.measured_at:%Y-%m-%d %H:%M} UTC, {figures.wall_s:.0f} s in all, {figures.emulator}, {libraries}"
    yield f"- model: revision {figures.revision}"
    yield f"- {len(figures.find_own().scores)} headlines of `pipeline/parity_set.csv`"


def format_scores(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of scores."""
    yield "| processor | instructions | weights | largest change | mean change | other label | golden | s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for scored in figures.scored:
        found = compare_probabilities(figures.find_own(scored.weights).scores, scored.scores)
        yield (
            f"| {scored.processor} | {scored.instructions} | {scored.weights} | {found.largest:.6f} | "
            f"{found.mean:.6f} | {found.labels_changed} | {scored.golden:.6f} | {scored.seconds:.1f} |"
        )


def format_twins(figures: Figures) -> Iterator[str]:
    """Yield a paragraph for each two emulated processors of one instruction set: whether they gave the same bits."""
    for one, two in combinations(figures.list_others(), 2):
        if one.instructions == two.instructions:
            equal = int((one.scores == two.scores).all(axis=1).sum())
            yield f"{one.processor} and {two.processor}: {equal} of {len(one.scores)} rows equal to the last bit.\n"


def format_rounding(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of decimals: sentiment scores alike, then whole rows alike."""
    own, others = figures.find_own().scores, figures.list_others()
    heads = [f"{scored.processor} ({scored.instructions}): scores | whole rows" for scored in others]
    yield f"| decimals | {' | '.join(heads)} |"
    yield "| --- |" + " --- | --- |" * len(others)
    for decimals in DECIMALS:
        found = [count_equal(own, scored.scores, decimals) for scored in others]
        yield f"| {decimals} | " + " | ".join(f"{n} ({n / len(own):.1%})" for pair in found for n in pair) + " |"


def format_sums(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of sums."""
    yield "| instructions | weights | activations | sums | wrong | largest error |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for summed in figures.summed:
        share = f"{summed.wrong:,} ({summed.wrong / summed.count:.1%})" if summed.wrong else "0"
        yield (
            f"| {summed.instructions} | {summed.weights} | {summed.activations} | {summed.count:,} | {share} | "
            f"{summed.largest:,} |"
        )


def format_files(figures: Figures) -> Iterator[str]:
    """Yield the lines of the table of the recorded day's files."""
    yield "| processor | file | rows | rows that differ | cells that differ | largest change | in column |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for filed in figures.filed:
        yield (
            f"| {filed.processor} | {filed.table} | {filed.rows} | {filed.rows_changed} | {filed.cells_changed} | "
            f"{filed.largest:.6f} | {filed.column} |"
        )
