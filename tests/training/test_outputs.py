"""What a verb hands on: a line of its own in the file, never two, and a file that cannot be written shows early."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from training.outputs import append_output, check_target, make_parent


def test_a_line_is_added_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    for name, value in (("revision", "a" * 40), ("accepted", "true")):
        append_output(path, name, value)
    append_output(None, "ignored", "x")
    assert path.read_text() == f"revision={'a' * 40}\naccepted=true\n"


@pytest.mark.parametrize("value", ["a\nb=c", "a\r", "a\u2028b"])
def test_a_value_is_one_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(PipelineError, match="expected one"):
        append_output(tmp_path / "outputs", "name", value)
    assert not (tmp_path / "outputs").exists()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="--x .*: folder .*absent does not exist"):
        check_target("--x", tmp_path / "absent" / "file")
    with pytest.raises(PipelineError, match="is a folder; expected a file"):
        check_target("--x", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="--x .*: folder .*file cannot be made: "):
        make_parent("--x", tmp_path / "file" / "report.md")
    with pytest.raises(PipelineError, match="cannot be written: "):
        append_output(tmp_path, "name", "value")
    make_parent("--x", tmp_path / "a" / "b" / "report.md")
    assert (tmp_path / "a" / "b").is_dir()
