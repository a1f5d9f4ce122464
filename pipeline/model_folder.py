"""A model folder: what is published and what is scored. Reads, checks and seals it; needs neither torch nor onnx.

config.json               architecture and id2label, in whatever order the model was trained
tokenizer.json, tokenizer_config.json (model_max_length, mark_company), special_tokens_map.json
onnx/model_quantized.onnx the model
golden.json               a few headlines with the probabilities they had at export
README.md, metrics.json, recipe.toml
provenance.json           base, adapter, data, libraries, and the SHA-256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ModelError
from .text import LABELS

if TYPE_CHECKING:
    from .score import Scorer

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
MARK_COMPANY = "mark_company"
"""In tokenizer_config.json: whether the company's name stands between marks in what the model reads."""
ONNX_FILE = "onnx/model_quantized.onnx"
GOLDEN = "golden.json"
METRICS = "metrics.json"
RECIPE = "recipe.toml"
PROVENANCE = "provenance.json"
ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
FULL_WEIGHTS = "model.safetensors"
"""What a run holds before it is exported: LoRA's weights, or a whole model."""
GOLDEN_TOLERANCE = 0.01
"""How far a score may lie from the one recorded at export before the model counts as damaged on this CPU.

Another CPU rounds its float sums otherwise, which now and then tips an activation into the next of 256 steps
(docs/QUANTIZATION.md). Weights that saturate there move it by more than this.
"""
REQUIRED = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, ONNX_FILE, GOLDEN)

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5")
_CONFIGS = (CONFIG, TOKENIZER_CONFIG, ADAPTER_CONFIG)
_REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class GoldenScore:
    """A (headline, company) pair and its probabilities in LABELS order, as the exporting machine computed them."""

    headline: str
    company: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that passed every check.

    ``label_order[i]`` is the model's own column that holds LABELS[i]. ``revision`` is 40 hex digits. ``max_length``
    counts tokens of both segments, special ones included. ``is_marked``: the model looks for the company's name between
    marks in the headline.
    """

    path: Path
    onnx_path: Path
    tokenizer_path: Path
    max_length: int
    is_marked: bool
    label_order: tuple[int, ...]
    revision: str
    golden: tuple[GoldenScore, ...]


def read_model_folder(path: Path) -> ModelFolder:
    """Return the checked folder at ``path``.

    Raises:
        ModelError: a file is missing or changed since it was sealed, the labels are not exactly LABELS, weights are
            pickled, or code would have to be run. One line with folder, file and what was expected.
    """
    if not path.is_dir():
        raise ModelError(
            f"{path}: no such folder; expected a model folder written by `python -m pipeline export-model`"
        )
    refuse_unsafe(path)
    require_files(path, (*REQUIRED, PROVENANCE), "a model folder written by `python -m pipeline export-model`")
    label_order = order_labels(read_json(path / CONFIG).get("id2label"), path / CONFIG)
    provenance = read_json(path / PROVENANCE)
    check_hashes(path, provenance, REQUIRED)
    return ModelFolder(
        path=path,
        onnx_path=path / ONNX_FILE,
        tokenizer_path=path / TOKENIZER,
        max_length=read_max_length(path),
        is_marked=read_marked(path),
        label_order=label_order,
        revision=check_revision(provenance.get("revision"), f"{path}/{PROVENANCE}: revision"),
        golden=_read_golden(path / GOLDEN),
    )


def check_golden(scorer: Scorer, folder: ModelFolder, tolerance: float) -> float:
    """Score the folder's golden headlines and return the largest difference of a probability, in 0..1.

    A damaged file, a foreign runtime or a CPU whose integer arithmetic saturates shows here before it shows in data.

    Raises:
        ModelError: a probability differs by more than ``tolerance``; names the worst headline.
    """
    expected = np.array([golden.probabilities for golden in folder.golden])
    found = scorer.score([(golden.headline, golden.company) for golden in folder.golden])
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= tolerance:
        golden = folder.golden[worst]
        raise ModelError(
            f"{folder.path}: {golden.headline!r} ({golden.company or 'no company'}) scores {_digits(found[worst])}, "
            f"at export {_digits(golden.probabilities)}: differs by {differences[worst]:.3f}, allowed {tolerance:g}; "
            "the model or its runtime is not the exported one"
        )
    return float(differences[worst])


def order_labels(id2label: Any, where: Path) -> tuple[int, ...]:
    """Return for each of LABELS the index under which ``id2label`` has it.

    Raises:
        ModelError: the indices are not 0, 1, 2 or the names not exactly LABELS, in any order.
    """
    names = list(id2label.values()) if isinstance(id2label, dict) else []
    keys = sorted(map(str, id2label)) if isinstance(id2label, dict) else []
    if sorted(map(str, names)) != sorted(LABELS) or keys != [str(i) for i in range(len(LABELS))]:
        raise ModelError(f"{where}: id2label is {id2label}; expected 0, 1, 2 for {', '.join(LABELS)}, in any order")
    index = {name: int(i) for i, name in id2label.items()}
    return tuple(index[label] for label in LABELS)


def read_max_length(path: Path) -> int:
    """Return model_max_length of the folder's tokenizer_config.json, 8 to 512 tokens."""
    length = read_json(path / TOKENIZER_CONFIG).get("model_max_length")
    if type(length) is not int or not 8 <= length <= 512:
        raise ModelError(f"{path}/{TOKENIZER_CONFIG}: model_max_length is {length!r}; expected 8..512 tokens")
    return length


def read_marked(path: Path) -> bool:
    """Return mark_company of the folder's tokenizer_config.json, False where it is not there."""
    found = read_json(path / TOKENIZER_CONFIG).get(MARK_COMPANY, False)
    if type(found) is not bool:
        raise ModelError(f"{path}/{TOKENIZER_CONFIG}: {MARK_COMPANY} is {found!r}; expected true or false")
    return found


def refuse_unsafe(path: Path) -> None:
    """Refuse pickled weights and configurations that point at code.

    Raises:
        ModelError: names the file.
    """
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in _PICKLES:
            raise ModelError(
                f"{path}: {file.relative_to(path)} may hold pickled code; expected safetensors or ONNX only"
            )
        if file.name in _CONFIGS and "auto_map" in read_json(file):
            raise ModelError(f"{path}: {file.relative_to(path)} has auto_map; expected a model without code of its own")


def require_files(path: Path, names: Iterable[str], expected: str) -> None:
    """Refuse a folder in which one of ``names`` is missing.

    Raises:
        ModelError: names the file and what was ``expected``.
    """
    for name in names:
        if not (path / name).is_file():
            raise ModelError(f"{path}: {name} is missing; expected {expected}")


def check_hashes(path: Path, provenance: Mapping[str, Any], needed: Iterable[str]) -> None:
    """Hold the folder's files against the SHA-256 of each in ``provenance``; ``needed`` files must be listed.

    Raises:
        ModelError: a file is missing, changed, or not listed.
    """
    files = provenance.get("files")
    if not isinstance(files, dict):
        raise ModelError(f"{path}/{PROVENANCE}: no table of files; expected the SHA-256 of every file")
    for name in needed:
        if name not in files:
            raise ModelError(f"{path}/{PROVENANCE}: no SHA-256 of {name}; expected one for every file")
    require_files(path, files, f"every file listed in {PROVENANCE}")
    for name, digest in files.items():
        if (found := hash_file(path / name)) != digest:
            raise ModelError(f"{path}: {name} has SHA-256 {found[:12]}...; {PROVENANCE} expects {str(digest)[:12]}...")


def check_revision(revision: Any, what: str) -> str:
    """Return ``revision`` if it is 40 lower-case hex digits: a commit, never a branch or a tag.

    Raises:
        ModelError: begins with ``what``.
    """
    if not isinstance(revision, str) or not _REVISION.fullmatch(revision):
        raise ModelError(f"{what} is {revision!r}; expected a commit of 40 hex digits, not a branch or tag")
    return revision


def write_golden(path: Path, pairs: Iterable[tuple[str, str]], probabilities: np.ndarray) -> None:
    """Write golden.json into the folder: ``pairs`` beside ``probabilities`` (n, 3) in LABELS order, six decimals."""
    rows = [
        {"headline": headline, "company": company, "probabilities": [round(float(p), 6) for p in row]}
        for (headline, company), row in zip(pairs, probabilities, strict=True)
    ]
    write_json(path / GOLDEN, rows)


def write_provenance(path: Path, facts: Mapping[str, Any]) -> None:
    """Seal the folder: write ``facts`` and the SHA-256 of every file in it except provenance.json itself."""
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    hashes = {name: hash_file(path / name) for name in names if name != PROVENANCE}
    write_json(path / PROVENANCE, {**{key: value for key, value in facts.items() if key != "files"}, "files": hashes})


def replace_folder(new: Path, old: Path) -> None:
    """Put the complete folder ``new`` where ``old`` is or was; on a fault ``old`` stays. Both on one disk."""
    retired = new.with_name(f"{old.name}.retired")
    if old.exists():
        os.replace(old, retired)
    try:
        os.replace(new, old)
    except OSError:
        if retired.exists():
            os.replace(retired, old)
        raise
    if retired.exists():
        shutil.rmtree(retired)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ModelError: it cannot be read, or is no JSON object.
    """
    content = _load_json(path)
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}; expected a JSON object")
    return content


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` readable, in its own key order."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error


def _read_golden(path: Path) -> tuple[GoldenScore, ...]:
    rows = _load_json(path)
    try:
        golden = tuple(GoldenScore(r["headline"], r["company"], tuple(map(float, r["probabilities"]))) for r in rows)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: expected a list of headline, company, probabilities: {error!r}") from error
    if not golden or any(len(row.probabilities) != len(LABELS) for row in golden):
        raise ModelError(f"{path}: expected at least one row, each with {len(LABELS)} probabilities")
    return golden


def _digits(probabilities: Iterable[float]) -> str:
    return "/".join(f"{p:.3f}" for p in probabilities)
