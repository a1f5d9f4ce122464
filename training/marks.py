"""The part of a page that a command writes: what stands between two marks. Pure."""

from __future__ import annotations

from pipeline.errors import PipelineError


def replace_between(document: str, marks: tuple[str, str], text: str, name: object, error: type[PipelineError]) -> str:
    """Return ``document``, called ``name``, with ``text`` between the two ``marks``, a blank line on either side.

    Raises:
        PipelineError: an ``error``: a mark is missing.
    """
    begin, end = marks
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise error(f"{name}: {end if found_begin else begin!r} is missing; expected both marks, one each")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
