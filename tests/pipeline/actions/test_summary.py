"""The step's summary: the report as it is, or a line that there is none, never more than GitHub shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.actions.summary import MAX_BYTES, MISSING, append_summary, cut_bytes


def test_the_report_is_appended_to_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "summary"
    target.write_text("before\n")
    (tmp_path / "report.md").write_text("# daily é\n")
    assert append_summary(tmp_path, target) == "summary: 11 of 11 bytes written"
    assert target.read_text() == "before\n# daily é\n"


def test_a_run_without_a_report_says_so_in_one_line(tmp_path: Path) -> None:
    append_summary(tmp_path / "none", tmp_path / "summary")
    assert (tmp_path / "summary").read_text() == MISSING
    assert MISSING.count("\n") == 1


def test_a_long_report_is_cut_at_a_line_below_the_limit(tmp_path: Path) -> None:
    target = tmp_path / "summary"
    line = "| é row | 1 |\n"
    (tmp_path / "report.md").write_text(line * 200_000)
    append_summary(tmp_path, target)
    content = target.read_bytes()
    assert MAX_BYTES - len(line.encode()) <= len(content) <= MAX_BYTES < 1 << 20
    rows, _, note = content.decode().partition("\n\n")
    assert set(rows.split("\n")) == {line.strip()}
    assert note.startswith("Cut here")


def test_what_is_there_already_counts(tmp_path: Path) -> None:
    target = tmp_path / "summary"
    target.write_bytes(b"x" * (MAX_BYTES - 100))
    (tmp_path / "report.md").write_text("line\n" * 1000)
    append_summary(tmp_path, target)
    append_summary(tmp_path, target)
    assert target.stat().st_size <= MAX_BYTES


@pytest.mark.parametrize("room", [-5, 0, 10, 80, 100, 150, 199, 200])
def test_no_room_is_overdrawn(room: int) -> None:
    text = "é" * 30 + "\n" + "a" * 100 + "\n" + "b" * 38
    shown = cut_bytes(text, room)
    assert len(shown) <= max(room, 0)
    shown.decode()
