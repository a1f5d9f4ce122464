"""What may be published: a whole, unchanged, labelled folder without pickles or paths of this machine."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline.card import CARD
from pipeline.errors import ModelError
from pipeline.hub import PATTERNS
from pipeline.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    FULL_WEIGHTS,
    GOLDEN,
    METRICS,
    ONNX_FILE,
    PROVENANCE,
    RECIPE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_hashes,
    order_labels,
    read_json,
    read_model_folder,
    refuse_unsafe,
    require_files,
)

from .predictions import PREDICTIONS

UNFINISHED = ".unfinished"
WRITTEN = "a finished folder written by `python -m training train`"
FACTS = ("base", "recipe", "seed", "max_length", "data", "splits", "contamination")
_ABSOLUTE = re.compile(r"(file://)?(/[^/\s]+){2,}/?|~/.+|[A-Za-z]:[\\/].+")


def is_exported(folder: Path) -> bool:
    """Say whether ``folder`` holds an exported model and not the weights it was exported from."""
    return (folder / ONNX_FILE).is_file()


def check_model(folder: Path) -> dict[str, Any]:
    """Return an exported folder's provenance once it is what the daily line would score with, and nothing else.

    Raises:
        ModelError: names the folder and the file.
    """
    read_model_folder(folder)
    provenance = read_json(folder / PROVENANCE)
    _require_facts(folder, provenance)
    check_hashes(folder, provenance, (CARD, RECIPE, METRICS))
    _refuse_kinds(folder, provenance["files"], (*PATTERNS, ONNX_FILE))
    for name in (*provenance["files"], PROVENANCE):
        _refuse_paths(folder, name)
    return provenance


def check_run(folder: Path) -> dict[str, Any]:
    """Return the run folder's provenance once it is whole, unchanged, safe, labelled and free of this machine's paths.

    Raises:
        ModelError: names the folder and the file.
    """
    if not folder.is_dir() or folder.name.endswith(UNFINISHED):
        raise ModelError(f"{folder}: {'unfinished' if folder.is_dir() else 'no such folder'}; expected {WRITTEN}")
    has_adapter = (folder / ADAPTER_CONFIG).is_file()
    weights = (ADAPTER_WEIGHTS, ADAPTER_CONFIG) if has_adapter else (FULL_WEIGHTS,)
    needed = (*weights, CONFIG, TOKENIZER, TOKENIZER_CONFIG, RECIPE, METRICS)
    require_files(folder, (*needed, PROVENANCE), WRITTEN)
    refuse_unsafe(folder)
    provenance = read_json(folder / PROVENANCE)
    _require_facts(folder, provenance)
    check_hashes(folder, provenance, needed)
    order_labels(read_json(folder / CONFIG).get("id2label"), folder / CONFIG)
    for name in (*list_published(folder, provenance), PROVENANCE):
        _refuse_paths(folder, name)
    return provenance


def list_published(folder: Path, provenance: Mapping[str, Any]) -> list[str]:
    """Return the names of the sealed files that are published: all but predictions and an old card.

    Raises:
        ModelError: one of them is of a kind that the daily line would not fetch.
    """
    names = [name for name in provenance["files"] if name not in (PREDICTIONS, CARD)]
    _refuse_kinds(folder, names, PATTERNS)
    return names


def _require_facts(folder: Path, provenance: Mapping[str, Any]) -> None:
    if missing := [key for key in FACTS if key not in provenance]:
        raise ModelError(f"{folder}/{PROVENANCE}: {missing[0]} is missing; expected {', '.join(FACTS)}")


def _refuse_kinds(folder: Path, names: Iterable[str], patterns: Sequence[str]) -> None:
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in patterns):
            raise ModelError(f"{folder}: {name} would be published; expected only {', '.join(patterns)}")


def _refuse_paths(folder: Path, name: str) -> None:
    """Refuse a configuration with an absolute path in it: that means nothing elsewhere, and says where we live."""
    if name.endswith(".toml"):
        found: Any = tomllib.loads((folder / name).read_text(encoding="utf-8"))
    elif name.endswith(".json") and name not in (TOKENIZER, GOLDEN):  # a vocabulary may hold anything
        found = read_json(folder / name)
    else:
        return
    for key, value in _texts(found, ""):
        if _ABSOLUTE.fullmatch(value.removeprefix("encoder:").removeprefix("run:")):
            raise ModelError(f"{folder}: {name}: {key.strip('.')} is {value}; expected no path of this machine")


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) for every text in a parsed file."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{key}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)
