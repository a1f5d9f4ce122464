"""A verdict on an adapter -> text for a terminal, and Markdown for a pull request. Pure."""

from __future__ import annotations

from pipeline.markdown import escape_text

from .promote import Promotion

MARKS = {True: "pass", False: "FAIL", None: "-"}


def format_promotion(promotion: Promotion) -> str:
    """Return every condition as a table, then the verdict."""
    width = max(len(condition.name) for condition in promotion.conditions)
    lines = [f"{MARKS[one.is_met]:4}  {one.name:{width}}  {one.figures}" for one in promotion.conditions]
    return "\n".join([*lines, conclude(promotion)])


def format_markdown(promotion: Promotion) -> str:
    """Return the same as Markdown. The names in it are a stranger's, so that every cell is escaped."""
    rows = [(MARKS[one.is_met], one.name, one.figures) for one in promotion.conditions]
    lines = [f"| {' | '.join(escape_text(cell) for cell in row)} |" for row in rows]
    return "\n".join(["| | condition | figures |", "| --- | --- | --- |", *lines, "", escape_text(conclude(promotion))])


def conclude(promotion: Promotion) -> str:
    """Return the verdict as one line."""
    name = f"{promotion.challenger}{f' at {promotion.revision}' if promotion.revision else ''}"
    if not promotion.is_accepted:
        failed = sum(not condition.is_met for condition in promotion.conditions)
        return f"refused: {name} fails {failed} of {len(promotion.conditions)}; {promotion.settings} is as it was"
    if promotion.is_dry_run:
        return f"dry run: {name} is better than {promotion.champion}; {promotion.settings} is as it was"
    return f"promoted: {name}, pinned in {promotion.settings}; put it to use: python -m pipeline export-model"
