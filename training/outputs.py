"""What a verb hands on to the next step of a workflow: lines NAME=VALUE at the end of a file, as in GITHUB_OUTPUT."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import PipelineError


def check_target(option: str, path: Path | None) -> None:
    """Refuse a file that could not be written, before hours of work are done for it. ``path`` None is no file.

    Raises:
        PipelineError: begins with ``option``.
    """
    if path and not path.parent.is_dir():
        raise PipelineError(f"{option} {path}: folder {path.parent} does not exist")
    if path and path.is_dir():
        raise PipelineError(f"{option} {path}: is a folder; expected a file")


def make_parent(option: str, path: Path | None) -> None:
    """Make the folder that the file ``path`` goes into, and refuse what :func:`check_target` refuses.

    Raises:
        PipelineError: begins with ``option``.
    """
    if path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PipelineError(f"{option} {path}: folder {path.parent} cannot be made: {error.strerror}") from error
    check_target(option, path)


def append_output(path: Path | None, name: str, value: str) -> None:
    """Append ``name=value`` to the file at ``path``, None for no file.

    Raises:
        PipelineError: the value has several lines, which would be read as values of other names; or no disk takes it.
    """
    if path is None:
        return
    if value.splitlines() not in ([], [value]):
        raise PipelineError(f"{path}: {name} has several lines; expected one")
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")
    except OSError as error:
        raise PipelineError(f"{path}: cannot be written: {error.strerror}") from error
