"""The folder of a run that is not done: claimed, gone on from or refused, and what to say when a run ends in it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pipeline.model_folder import RECIPE

from .checkpoint import load_checkpoint, write_atomic
from .recipe import Recipe, format_recipe, load_recipe
from .rules import RecipeError
from .steps import TrainingError

CHECKPOINT = "checkpoint.pt"
ANSWERS = "teachers.pt"
"""What the teachers say of every row: often dearer than the fit itself."""
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EACCES)


class TrainingInterruptedError(TrainingError):
    """Ctrl-C; the same command goes on from what was done."""


def claim_folder(output: Path, recipe: Recipe) -> tuple[Path, Path]:
    """Return where the run goes and where its unfinished work lies, after making sure that ``output`` is a folder.

    Raises:
        TrainingError: the run is there already, or ``output`` cannot be made.
    """
    folder = output / f"{recipe.name}-seed{recipe.seed}"
    if folder.exists():
        raise TrainingError(f"{folder} exists; remove it or choose another --output")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"--output {output} cannot be made: {error.strerror}") from error
    return folder, folder.with_name(f"{folder.name}.unfinished")


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Make ``folder`` if need be and hold it for one run; the lock goes with the process and leaves no file.

    Raises:
        TrainingError: another process, or this one, holds it, or it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise TrainingError(f"{folder}: another process is training this run; expected one at a time") from error
    try:
        yield
    finally:
        os.close(descriptor)


def begin_unfinished(folder: Path, recipe: Recipe, restart: bool) -> None:
    """Put the recipe into ``folder``, unless there is work of a run in it that ``restart`` does not discard."""
    for path in folder.iterdir() if restart else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any((folder / name).exists() for name in (CHECKPOINT, ANSWERS)):
        write_atomic(folder / RECIPE, format_recipe(recipe).encode())


def read_unfinished(folder: Path, name: str, recipe: Recipe, facts: dict[str, Any]) -> dict[str, Any] | None:
    """Return what CHECKPOINT or ANSWERS, as ``name`` says, holds in ``folder``, None where there is no such file yet.

    ``facts``, of :func:`list_facts`, must be as they were.

    Raises:
        TrainingError: the recipe or a fact is another one, and is named, or an older version wrote the checkpoint.
        CheckpointError: the checkpoint is torn.
    """
    try:
        before, now = asdict(load_recipe(folder / RECIPE)), asdict(recipe)
    except RecipeError as error:
        raise TrainingError(f"{error}; train with --restart to begin anew") from error
    for key in now:
        _compare(folder, f"recipe key {key}", before[key], now[key])
    if not (folder / name).exists():
        return None
    state = load_checkpoint(folder / name)
    known = state.get("facts")
    if not isinstance(known, dict):
        raise TrainingError(f"{folder}: an older version wrote its checkpoint; train with --restart to begin anew")
    for what in known | facts:
        _compare(folder, what, known.get(what), facts.get(what))
    return state


def list_facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a run's ``provenance`` its numbers hang on beside the recipe, by the name an error gives it.

    Where the data was read from is none of it: its rows are.
    """
    return {
        **{f"data: {source}": known["sha256"][:12] for source, known in provenance["data"].items()},
        **{f"data: {name} rows": digest[:12] for name, digest in provenance["splits"].items()},
        **{f"library {name}": version for name, version in provenance["libraries"].items()},
        **{key: provenance[key] for key in ("torch_threads", "processes", "device")},
        **{f"teacher {i}": known["sha256"][:12] for i, known in enumerate(provenance["teachers"], 1)},
        **{key: known["sha256"][:12] for key in ("encoder", "start") if (known := provenance[key])},
        **{f"unlabelled {file}": digest[:12] for file, digest in provenance["unlabelled"].items()},
    }


@contextlib.contextmanager
def end_in_one_line(recipe: Recipe, folder: Path) -> Iterator[None]:
    """Turn Ctrl-C, too little memory and a dead disk into a TrainingError that says how to go on from ``folder``."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise TrainingInterruptedError(f"interrupted; {_how_to_go_on(folder)}") from error
    # Not a list of types: torch, safetensors and tokenizers report the same full disk as three kinds of exception.
    except Exception as error:
        reason = explain_fault(error, recipe)
        if reason is None:
            raise
        raise TrainingError(f"{reason}; {_how_to_go_on(folder)}") from error


def explain_fault(error: Exception, recipe: Recipe) -> str | None:
    """Return what to tell a person of an ``error`` of memory or disk, None for any other."""
    if is_out_of_memory(error):
        parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
        return f"out of memory at batch_size {recipe.batch_size}{parts}: free some, or raise accumulate and --restart"
    if is_disk_fault(error):
        return f"the disk failed: {str(error).splitlines()[0]}"
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Say whether ``error`` is Python's or torch's way (on a GPU, on a CPU) of running out of memory."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def is_disk_fault(error: Exception) -> bool:
    """Say whether ``error`` is Python's or a native library's way of saying that the disk is full or gone."""
    if isinstance(error, OSError):
        return error.errno in DISK_FAULTS
    return any(int(number) in DISK_FAULTS for number in re.findall(r"os error (\d+)\b", str(error)))


def _compare(folder: Path, what: str, before: Any, now: Any) -> None:
    if before != now:
        raise TrainingError(f"{folder}: {what} was {before!r}, now {now!r}; train with --restart to begin anew")


def _how_to_go_on(folder: Path) -> str:
    return f"nothing was published, the same command goes on from {folder}"
