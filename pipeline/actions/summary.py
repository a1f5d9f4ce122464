"""The report of a run on the page of the run: report.md to the file that GitHub shows as the step's summary."""

from __future__ import annotations

from pathlib import Path

MAX_BYTES = 1_000_000
"""Of one step's summary; GitHub shows nothing of a summary above 1 MiB."""

MISSING = "The run stopped before it began a report.\n"
_NOTE = "\n\nCut here: the rest is in the report that the run keeps as an artifact.\n"


def append_summary(directory: Path, target: Path) -> str:
    """Append ``directory``/report.md, or a line that there is none, to ``target``; return a line on what was done."""
    text = read_summary(directory)
    room = MAX_BYTES - (target.stat().st_size if target.exists() else 0)
    shown = cut_bytes(text, room)
    with target.open("ab") as file:
        file.write(shown)
    return f"summary: {len(shown):,} of {len(text.encode()):,} bytes written"


def read_summary(directory: Path) -> str:
    """Return the text of ``directory``/report.md, or a line that there is none."""
    path = directory / "report.md"
    return path.read_bytes().decode("utf-8", "replace") if path.is_file() else MISSING


def cut_bytes(text: str, room: int) -> bytes:
    """Return ``text`` as UTF-8 in at most ``room`` bytes, cut at a line with a note; nothing if not even that fits."""
    content, note = text.encode(), _NOTE.encode()
    if len(content) <= room:
        return content
    if room < len(note):
        return b""
    return content[: content.rfind(b"\n", 0, room - len(note) + 1) + 1].rstrip(b"\n") + note
