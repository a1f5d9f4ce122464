"""A comparison -> tables, as text for a terminal or as Markdown. Pure; measures 0..1 with three decimals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .compare import PLACES, Comparison, Group, Spread
from .significance import Difference


class Table(NamedTuple):
    """A titled table of text cells."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def format_table(comparison: Comparison) -> str:
    """Return the comparison's tables in columns of even width, recipes below each other."""
    return "\n\n".join("\n".join(_align(table)) for table in build_tables(comparison))


def format_markdown(comparison: Comparison) -> str:
    """Return the comparison's tables as Markdown."""
    return "\n\n".join(mark_table(table) for table in build_tables(comparison))


def mark_table(table: Table) -> str:
    """Return one table as Markdown, its title in bold above it where it has one."""
    lines = [f"**{table.title}**", ""] if table.title else []
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in (table.header, ("---",) * len(table.header))),
                      *(f"| {' | '.join(row)} |" for row in table.rows)])  # fmt: skip


def build_tables(comparison: Comparison) -> list[Table]:
    """Return accuracy, macro-F1, score and cost, and (with a baseline) what each recipe changes."""
    tables = [_tabulate_measure(comparison, key, title) for key, title in _MEASURES]
    if comparison.baselines:
        tables.append(tabulate_baselines(comparison.baselines)._replace(title="what they have to beat"))
    tables.append(_tabulate_figures(comparison))
    if any(group.against for group in comparison.groups):
        tables.append(_tabulate_against(comparison))
    return tables


def tabulate_baselines(baselines: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Return accuracy and macro-F1 of the baselines of a run's record, by place."""
    places = [place for place in PLACES if place in baselines]
    rows = [
        (title, *(f"{baselines[p][name]['accuracy']:.3f} / {baselines[p][name]['macro_f1']:.3f}" for p in places))
        for name, title in (("majority", "majority class"), ("vader", "VADER"))
    ]
    return Table("", ("baseline", *(f"{place} acc / F1" for place in places)), tuple(rows))


def show_spread(spread: Spread | None, digits: int = 3, is_interval_shown: bool = False) -> str:
    """Return "mean ± sd", the mean alone for one seed, "" for None; with the mean's 95 % interval where asked."""
    if spread is None:
        return ""
    if spread.sd is None:
        return f"{spread.mean:.{digits}f}"
    interval = f" ({spread.low:.{digits}f} to {spread.high:.{digits}f})" if is_interval_shown else ""
    return f"{spread.mean:.{digits}f} ± {spread.sd:.{digits}f}{interval}"


def show_p(p: float) -> str:
    """Return a p-value with three decimals, or that it is below the last."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


_MEASURES = (
    ("accuracy", "accuracy on the test rows, mean ± sd over seeds (95 % interval of the mean for the mix)"),
    ("macro_f1", "macro-F1"),
)
_FIGURES = (
    ("r2", 1.0, 3),
    ("score_head_r2", 1.0, 3),
    ("ece", 1.0, 3),
    ("wall_s", 60.0, 1),
    ("peak_rss_mib", 1.0, 0),
    ("peak_gpu_mib", 1.0, 0),
)


def _tabulate_measure(comparison: Comparison, key: str, title: str) -> Table:
    places = [place for place in PLACES if any(place in group.measures for group in comparison.groups)]
    rows = []
    for group in comparison.groups:
        cells = [show_spread(group.measures.get(p, {}).get(key), is_interval_shown=p == "mix") for p in places]
        rows.append((*_name_group(group), *cells))
    return Table(title, ("recipe", "seeds", *places), tuple(rows))


def _tabulate_figures(comparison: Comparison) -> Table:
    header = ("recipe", "seeds", "FiQA R2", "of its own head", "ECE", "minutes", "peak MiB", "peak GPU MiB")
    rows = [(*_name_group(group), *_show_figures(group)) for group in comparison.groups]
    return Table("score, calibration (all test rows), cost", header, tuple(rows))


def _show_figures(group: Group) -> Iterator[str]:
    for name, unit, digits in _FIGURES:
        found = group.figures.get(name)
        scaled = found and Spread(found.mean / unit, None if found.sd is None else found.sd / unit, None, None)
        yield show_spread(scaled, digits)


def _tabulate_against(comparison: Comparison) -> Table:
    rows = []
    for group in comparison.groups:
        for place, found in group.against.items():
            seeds = " ".join(map(str, found.seeds))
            change = (f"{found.accuracy:+.3f}", show_p(found.largest_p), found.verdict, f"{found.macro_f1:+.3f}")
            draws = "; ".join(f"{seed}: {_show_draws(draw)}" for seed, draw in found.macro_f1_draws.items())
            rows.append((group.recipe, seeds, place, *change, draws))
    header = ("recipe", "seeds", "rows", "accuracy", "largest p", "verdict", "macro-F1", "by seed (95 %)")
    title = f"against {comparison.baseline}, same seeds: differences"
    return Table(f"{title} (p and interval count rows of one headline as independent)", header, tuple(rows))


def _show_draws(draw: Difference) -> str:
    return f"{draw.value:+.3f} ({draw.low:+.3f} to {draw.high:+.3f})"


def _name_group(group: Group) -> tuple[str, str]:
    return group.recipe, " ".join(map(str, group.seeds))


def _align(table: Table) -> Iterator[str]:
    used: Sequence[tuple[str, ...]] = (table.header, *table.rows)
    widths = [max(len(row[i]) for row in used) for i in range(len(table.header))]
    yield table.title
    for row in used:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
