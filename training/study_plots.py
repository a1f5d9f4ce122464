"""A study -> four small pictures. Deterministic: the same study gives the same bytes with one matplotlib."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .study import Study
from .study_incremental import COMPARISONS
from .study_panel import LEGS
from .study_portfolio import BASIS_POINT
from .study_protocol import COSTS_BP, HORIZONS, SIGNALS, STORE_SIGNALS

TRADABLE = 3
"""The first of LEGS that one can trade."""
BLUE, GREY, RED = "#2b6ca3", "#8a8a8a", "#b5483a"
DPI = 90


def draw_plots(study: Study, folder: Path) -> dict[str, str]:
    """Write the pictures below ``folder`` (it must exist) and return file name -> what it shows."""
    plots: dict[str, tuple[Callable[[Study], Figure], str]] = {
        "rank_ic.png": (draw_ics, "Mean daily rank IC with 95 % HAC intervals; grey are baselines"),
        "around_the_news.png": (draw_legs, "Top less bottom by sentiment, around the session; only blue can be traded"),
        "long_short.png": (draw_books, "Summed long-short returns of sentiment_score and sentiment_score_21"),
        "increment.png": (draw_gains, "Difference of the daily rank IC with 95 % bootstrap intervals"),
    }
    for name, (draw, _) in plots.items():
        figure = draw(study)
        FigureCanvasAgg(figure)
        figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})
    return {name: title for name, (_, title) in plots.items()}


def draw_ics(study: Study) -> Figure:
    """Return the rank ICs by signal, one panel a horizon."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    panels = figure.subplots(1, len(HORIZONS), sharey=True)
    places, signals = np.arange(len(SIGNALS))[::-1], list(SIGNALS)
    for axes, horizon in zip(panels, HORIZONS, strict=True):
        tests = [study.ics[signal, horizon].test for signal in signals]
        for place, signal, test in zip(places, signals, tests, strict=True):
            _draw_interval(axes, test.mean, test.half_width, place, BLUE if signal in STORE_SIGNALS else GREY)
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(_name_horizon(horizon), fontsize=9)
        axes.tick_params(labelsize=7)
    panels[0].set_yticks(places, signals, fontsize=7)
    return figure


def draw_legs(study: Study) -> Figure:
    """Return top less bottom of sentiment_score in each return around its session."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    tests = [study.leg_spreads["sentiment_score", leg].gross_test for leg in LEGS]
    for place, test in enumerate(tests):
        color = BLUE if place >= TRADABLE else RED
        axes.bar(place, test.mean / BASIS_POINT, yerr=test.half_width / BASIS_POINT, color=color, capsize=3)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xticks(range(len(LEGS)), [leg.replace(" ", "\n", 1) for leg in LEGS], fontsize=7)
    axes.set_ylabel("basis points", fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    return figure


def draw_books(study: Study) -> Figure:
    """Return summed returns, gross and net of the lower cost, against the number of days held."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (signal, horizon) in zip(panels, (("sentiment_score", "1"), ("sentiment_score_21", "21")), strict=True):
        book = study.books.get((signal, horizon))
        if book:
            axes.plot(100 * book.gross.cumsum().to_numpy(), color=BLUE, linewidth=1, label="gross")
            net = f"net of {COSTS_BP[0]:g} bp a side"
            axes.plot(100 * book.net(COSTS_BP[0]).cumsum().to_numpy(), color=RED, linewidth=1, label=net)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_title(f"{signal}, {_name_horizon(horizon)}", fontsize=9)
        axes.set_xlabel("days with an open book", fontsize=8)
        axes.set_ylabel("percent", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7)
    return figure


def draw_gains(study: Study) -> Figure:
    """Return the gains in rank IC by comparison, one panel a horizon."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    panels = figure.subplots(1, len(study.increments), sharey=True, squeeze=False)[0]
    learners = list(dict.fromkeys(key[0] for key in next(iter(study.increments.values())).gains))
    names = list(COMPARISONS)
    for axes, (horizon, increment) in zip(panels, study.increments.items(), strict=True):
        for row, comparison in enumerate(reversed(names)):
            for step, (learner, color) in enumerate(zip(learners, (GREY, BLUE), strict=False)):
                gain = increment.gains[learner, comparison, "rank IC"]
                axes.plot([gain.low, gain.high], [row + step * 0.25] * 2, color=color, linewidth=1.5)
                axes.plot(
                    gain.value, row + step * 0.25, "o", color=color, markersize=4, label=learner if not row else None
                )
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_title(_name_horizon(horizon), fontsize=9)
        axes.tick_params(labelsize=7)
    panels[0].set_yticks(range(len(names)), list(reversed(names)), fontsize=7)
    panels[-1].legend(fontsize=7)
    return figure


def _draw_interval(axes: Axes, mean: float, half: float, place: float, color: str) -> None:
    axes.plot([mean - half, mean + half], [place] * 2, color=color, linewidth=1.5)
    axes.plot(mean, place, "o", color=color, markersize=3)


def _name_horizon(horizon: str) -> str:
    return "next open to close" if horizon == "open-close" else f"{horizon} session{'s' * (horizon != '1')}"
