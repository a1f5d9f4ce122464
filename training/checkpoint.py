"""The state of a fit <-> one file that a killed run goes on from: whole or absent, and read without pickled code.

A state is a nest of dicts, lists and tuples of tensors, numbers, strings and None. The file is what torch makes of it,
then its SHA-256, since torch reads damaged tensors without complaint.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import PipelineError

DIGEST = hashlib.sha256().digest_size


class CheckpointError(PipelineError):
    """A checkpoint is torn, or is not one."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` to ``path``; after a power cut there is the old file or the new one, never a torn one.

    Serialised in memory first: torch reports a full disk as a RuntimeError of its own, a plain write as an OSError.

    Raises:
        OSError: the disk is full, gone or read-only; the old file is still there.
    """
    content = io.BytesIO()
    torch.save(state, content)
    digest = hashlib.sha256(content.getbuffer()).digest()
    content.seek(0, io.SEEK_END)
    content.write(digest)
    write_atomic(path, content.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state at ``path``, its tensors on the CPU.

    Raises:
        CheckpointError: the file cannot be read, is torn or damaged, or holds objects that are not data.
    """
    try:
        content = path.read_bytes()
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError("its SHA-256 is another")
        state = torch.load(io.BytesIO(content[:-DIGEST]), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: torn or no checkpoint; train with --restart to begin anew") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds a {type(state).__name__}; train with --restart to begin anew")
    return state


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` beside ``path``, force it to the disk, then rename it to ``path``."""
    unfinished = path.with_name(f"{path.name}.tmp")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def capture_random() -> dict[str, Any]:
    """Return the states of Python's, NumPy's and torch's global generators, this process's GPU's included."""
    numpy = np.random.get_state(legacy=False)
    keys = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": keys}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random(state: dict[str, Any]) -> None:
    """Put the generators back to a state of :func:`capture_random`."""
    random.setstate(state["python"])
    numpy = state["numpy"]
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].numpy().astype(np.uint32)}})
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
