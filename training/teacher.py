"""Teachers' folders -> what they are, and what they say, on average, about the rows a run learns from.

Refused if it may have learned from our held-out rows. What its base has seen, its soft labels may pass on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tqdm import tqdm

from pipeline.card import read_licence
from pipeline.errors import ModelError
from pipeline.model_folder import PROVENANCE, check_hashes, hash_file, read_json

from .contamination import find_contamination
from .data import Example
from .reword import NEAR, find_near_words
from .rows import Rows


def ask_teachers(folders: Sequence[Path], rows: Sequence[Example], device: torch.device, is_bf16: bool) -> np.ndarray:
    """Return the mean probabilities of the models in ``folders``, runs or exported ones, on ``rows``: float (n, 3).

    ``is_bf16`` lets run folders compute as the student does.

    Raises:
        ModelError: a folder holds no model.
    """
    from .predict import load_scorer

    with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
        return np.mean([load_scorer(folder)(rows) for folder in tqdm(folders, desc="teachers", leave=False)], axis=0)


def ask_states(
    folders: Sequence[Path], rows: Sequence[Example], device: torch.device, is_bf16: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean probabilities, float32 (n, 3), of the runs in ``folders``, and their states.

    States are standardised and side by side, float16 (n, sum of their widths).

    Raises:
        ModelError: a folder holds no run; an exported model shows no states.
    """
    from .batches import encode_examples
    from .model import load_run
    from .states import read_states, standardise

    probabilities, states = [], []
    for folder in folders:
        model, tokenizer, max_length = load_run(folder)
        encoded = encode_examples(rows, tokenizer, max_length)
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
            logits, found = read_states(cast(torch.nn.Module, model).to(device), tokenizer, encoded)
        probabilities.append(logits.softmax(dim=1))
        states.append(standardise(found).half())
    return torch.stack(probabilities).mean(dim=0), torch.cat(states, dim=1)


def read_near_words(folder: Path) -> dict[str, list[str]]:
    """Return :func:`find_near_words` of the whole words of three letters or more that the run in ``folder`` has.

    Raises:
        ModelError: it is no run, its tokenizer has no WordPiece vocabulary, which alone tells words from parts, or that
            has too few words.
    """
    from .model import load_run

    model, tokenizer, _ = load_run(folder)
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind != "WordPiece":
        raise ModelError(f"reworded_rows: {folder} has a tokenizer of kind {kind}; expected WordPiece")
    vocabulary = tokenizer.get_vocab()
    words = sorted(word for word in vocabulary if re.fullmatch(r"[a-z]{3,}", word))
    if len(words) <= NEAR:
        raise ModelError(f"reworded_rows: {folder} has {len(words)} whole words; expected more than {NEAR}")
    weights: torch.Tensor = cast(Any, model).get_input_embeddings().weight.detach()
    return find_near_words(words, weights[[vocabulary[word] for word in words]])


def describe_teacher(name: str, folder: Path, rows: Rows) -> dict[str, Any]:
    """Return {"sha256", "base", "licence", "contamination"} of the model in ``folder``, which errors call ``name``.

    ``sha256`` is that of its provenance.json, which seals every other file. ``licence`` is the tag that follows from
    its own recipe, base and teachers. ``contamination`` is what it records, of its own teachers too, or, where it
    records none, what is known of its base.

    Raises:
        ModelError: a file is missing or changed, or :func:`check_splits` refuses it.
    """
    if not (path := folder / PROVENANCE).is_file():
        raise ModelError(f"{name}: {PROVENANCE} is missing; expected a folder written by the training line")
    provenance = read_json(path)
    check_splits(name, provenance, rows.fingerprints)
    check_hashes(folder, provenance, ())
    base = provenance.get("base")
    if not isinstance(base, dict) or not isinstance(base.get("id"), str):
        raise ModelError(f"{name}: base is {base} in {path}; expected its id")
    known = provenance.get("contamination")
    if not isinstance(known, list):
        known = find_contamination(base["id"], rows.examples, rows.splits)
    licence = read_licence(folder, provenance).tag
    return {"sha256": hash_file(path), "base": base, "licence": licence, "contamination": known}


def check_splits(name: str, provenance: Mapping[str, Any], fingerprints: Mapping[str, str]) -> None:
    """Refuse a teacher or encoder, called ``name``, unless it was split like us: else it may have learned from our
    held-out rows.

    ``fingerprints`` are those of our splits. Its soft labels would carry what it knows of test rows into the student;
    if it knew validation rows, the student's epoch and temperature would be chosen on them.

    Raises:
        ModelError: ``provenance`` names no validation or test rows, or others.
    """
    splits = provenance.get("splits")
    for part in ("test", "validation"):
        found = splits.get(part) if isinstance(splits, dict) else None
        if found != fingerprints[part]:
            held = f"{str(found)[:12]}..." if found else "not recorded"
            raise ModelError(
                f"{name}: its {part} rows are {held}; expected {fingerprints[part][:12]}..., ours, "
                "or it may have been trained on them"
            )
