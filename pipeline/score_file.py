"""Scores that one process leaves for another, as a CSV file without a word of any headline.

    model_revision,5accb876c599...
    onnx_sha256,20b1c1...
    cpu,AMD EPYC (avx2)
    key,p_negative,p_neutral,p_positive
    004c7e5a9d01b2f3,0.0123456789,...        one line a pair, sorted by key; keys are hashes of headline and company
    sha256,77aa...                           of every byte above

Probabilities are written so that their float32 comes back to the last bit. A file that is damaged in any way is
refused: half a score is worse than none.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from .errors import PipelineError
from .files import compute_sha256, write_atomically
from .text import LABELS, short_hash

PATTERN = "scores-*.csv"
"""What score files of a folder are called."""
COLUMNS = ("key", *(f"p_{label}" for label in LABELS))

_KEY = re.compile(r"[0-9a-f]{16}")
_SEAL = "sha256,"


class ScoreFileError(PipelineError):
    """A score file is damaged, or of another model."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where scores come from: the model's revision, the SHA-256 of its graph, the processor it ran on."""

    model_revision: str
    onnx_sha256: str
    cpu: str


@dataclass(frozen=True, slots=True)
class Scores:
    """``keys`` uint64 (n,), ascending, each once; ``probabilities`` float32 (n, 3), columns in LABELS order."""

    keys: np.ndarray
    probabilities: np.ndarray


def find_keys(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return uint64 (n,): a hash of each pair of headline and company name."""
    return np.array([int(short_hash(*pair), 16) for pair in pairs], np.uint64)


def write_scores(path: Path, origin: Origin, scores: Scores) -> None:
    """Write a score file as a whole or not at all."""
    write_atomically(path, encode_scores(origin, scores))


def read_scores(path: Path) -> tuple[Origin, Scores]:
    """Read a score file. Raises ScoreFileError, naming file and line, if it is not as it was written."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ScoreFileError(f"{path}: not UTF-8; expected a score file") from error
    return decode_scores(text, str(path))


def encode_scores(origin: Origin, scores: Scores) -> bytes:
    """Return the bytes of a score file: the same for the same scores."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerows((field.name, getattr(origin, field.name)) for field in fields(Origin))
    table.writerow(COLUMNS)
    for key, row in zip(scores.keys.tolist(), scores.probabilities.astype(float).tolist(), strict=True):
        table.writerow((f"{key:016x}", *map(repr, row)))
    content = out.getvalue()
    return f"{content}{_SEAL}{compute_sha256(content.encode())}\n".encode()


def decode_scores(text: str, where: str) -> tuple[Origin, Scores]:
    """Return what a score file holds. Raises ScoreFileError, naming ``where`` and line, if it is not as written."""
    *lines, seal = text.splitlines(keepends=True) or [""]
    if seal != f"{_SEAL}{compute_sha256(''.join(lines).encode())}\n":
        raise ScoreFileError(f"{where}: damaged: its last line is not the SHA-256 of those above; score it again")
    rows = list(csv.reader(lines))
    names = [field.name for field in fields(Origin)]
    head, body = rows[: len(names) + 1], rows[len(names) + 1 :]
    if [row[0] for row in head[:-1] if len(row) == 2] != names or tuple(head[-1]) != COLUMNS:
        raise ScoreFileError(f"{where}: expected lines {', '.join(names)}, then columns {','.join(COLUMNS)}")
    origin = Origin(*(row[1] for row in head[:-1]))
    return origin, _decode_rows(body, where, first_line=len(head) + 1)


def _decode_rows(rows: Sequence[Sequence[str]], where: str, first_line: int) -> Scores:
    keys = np.empty(len(rows), np.uint64)
    probabilities = np.empty((len(rows), len(LABELS)), float)
    for i, row in enumerate(rows):
        try:
            keys[i], probabilities[i] = _decode_key(row[0]), [float(cell) for cell in row[1:]]
        except (ValueError, IndexError) as error:
            raise ScoreFileError(f"{where}: line {first_line + i}: expected a key and three probabilities") from error
    exact = probabilities.astype(np.float32)
    is_bad = ~((exact == probabilities) & (exact >= 0) & (exact <= 1)).all(axis=1)
    if is_bad.any():
        raise ScoreFileError(f"{where}: line {first_line + int(is_bad.argmax())}: expected float32 from 0 to 1")
    is_again = keys[1:] <= keys[:-1]
    if is_again.any():
        line = first_line + 1 + int(is_again.argmax())
        raise ScoreFileError(f"{where}: line {line}: expected keys in ascending order, each once")
    return Scores(keys, exact)


def _decode_key(cell: str) -> int:
    if not _KEY.fullmatch(cell):
        raise ValueError(cell)
    return int(cell, 16)
