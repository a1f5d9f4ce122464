"""A recipe -> encoder and head, whole or with LoRA; a run folder -> the same model as it was trained.

Weights are safetensors, remote code never runs, and no local path is written into what is published.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from pipeline.errors import ModelError, PipelineError
from pipeline.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    FULL_WEIGHTS,
    MARK_COMPANY,
    PROVENANCE,
    RECIPE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_hashes,
    read_json,
    read_max_length,
    refuse_unsafe,
    require_files,
    write_json,
)
from pipeline.text import LABELS

from .bases import (
    check_length,
    label_names,
    load_classifier,
    load_tokenizer,
    name_base,
    open_base,
    read_base,
    read_config,
    set_dropout,
)
from .heads import (
    add_score_row,
    cut_score_row,
    find_columns,
    find_last,
    find_new_modules,
    renew_rows,
    reorder_rows,
)
from .layers import keep_layers
from .recipe import MODEL, RUN, Recipe

__all__ = [
    "build_model",
    "load_base",
    "load_labelled_base",
    "load_run",
    "load_trainable",
    "save_model",
    "trainable_state",
    "unquantise_model",
]

REDUNDANT = ("vocab.txt", "vocab.json", "merges.txt", "spm.model", "added_tokens.json")
"""What a tokenizer class writes beside tokenizer.json, which holds it all."""
Model = PreTrainedModel | PeftModel


def build_model(recipe: Recipe) -> tuple[Model, PreTrainedTokenizerFast]:
    """Return the model the recipe trains, on the CPU, a 4-bit one on the GPU where there is one, and its tokenizer.

    ``recipe.method`` "full" gives the plain model, "lora" and "qlora" give it with an adapter and a head to train.
    With ``recipe.score_head`` "separate" the model has four logits, the score's last. New weights take torch's global
    random state; seed it first for a repeatable model.

    Raises:
        ModelError: the base is absent, or is not what the recipe says of it.
    """
    model, tokenizer, missing = _load_parts(recipe)
    if recipe.score_head == "separate":
        add_score_row(model)
    if recipe.method == "full":
        return model, tokenizer
    whole = find_new_modules(model, missing)
    if recipe.method == "qlora":
        from .nf4 import quantise_model

        quantise_model(model, whole)
    return get_peft_model(model, _describe_adapter(recipe, model, whole)), tokenizer


def load_base(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return the recipe's base with a head of three classes in LABELS order, and its tokenizer.

    A base that has these classes under its own order keeps their rows, moved by name; any other last layer is new, and
    so is that of an exported model of ours.
    """
    model, tokenizer, _ = _load_parts(recipe)
    return model, tokenizer


def load_labelled_base(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, tuple[int, ...]] | None:
    """Return the base with the head it was published with, its tokenizer and the column of each of LABELS.

    None where the base has no classes by our names, whatever their case: it cannot answer without training.
    """
    base = name_base(recipe)
    with open_base(base) as folder:
        config = read_config(folder, base)
        columns = find_columns(config.id2label)
        if columns is None:
            return None
        tokenizer = load_tokenizer(folder, base)
        config.pad_token_id = tokenizer.pad_token_id
        model, _ = load_classifier(folder, config, f"base {base.id}")
        return model.eval(), tokenizer, columns


def load_run(folder: Path) -> tuple[Model, PreTrainedTokenizerFast, int]:
    """Return the trained model of a run folder in evaluation mode, its tokenizer and its maximum length in tokens.

    The recipe is not read: provenance.json names the base, which a model trained whole does not need. A 4-bit run
    comes back on the float32 base, as it is exported.

    Raises:
        ModelError: a file is missing, changed, damaged or unsafe, the labels are not this project's, or the base cannot
            be had.
    """
    weights = (FULL_WEIGHTS,) if (folder / FULL_WEIGHTS).is_file() else (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    needed = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, *weights)
    require_files(folder, (*needed, PROVENANCE), "a folder written by `python -m training train`")
    refuse_unsafe(folder)
    check_hashes(folder, read_json(folder / PROVENANCE), needed)
    names = read_json(folder / CONFIG).get("id2label")
    if names != {str(i): name for i, name in enumerate(LABELS)}:
        raise ModelError(f"{folder}/{CONFIG}: id2label is {names}; expected {', '.join(LABELS)} in this order")
    length = read_max_length(folder)
    try:
        return _load_weights(folder).eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True), length
    except PipelineError:
        raise
    # Not a list of types: tokenizers raises a bare Exception, safetensors its own, peft a KeyError for a lost head.
    except Exception as error:
        raise ModelError(f"{folder}: cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}") from error


def save_model(model: Model, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, folder: Path) -> None:
    """Write weights, configuration and tokenizer into ``folder``: the adapter and its head, or the whole model.

    The base is named as in the recipe, never by its path; a score output is cut off. Same model, same bytes.
    """
    if isinstance(model, PeftModel):
        _write_weights(folder / ADAPTER_WEIGHTS, model, get_peft_model_state_dict(model, save_embedding_layers=False))
        _save_adapter_config(model, recipe, folder)
        config = cast(PreTrainedModel, model.get_base_model()).config
    else:
        _write_weights(folder / FULL_WEIGHTS, model, model.state_dict())
        config = model.config
    config.save_pretrained(folder)
    _save_tokenizer(tokenizer, recipe.max_length, folder)


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy, on the CPU, of every weight that training changes."""
    trained = ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    return {name: weight.detach().cpu().clone() for name, weight in trained}


def load_trainable(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put ``state``, from :func:`trainable_state` of a model of the same recipe, into ``model``.

    Raises:
        ModelError: the names or shapes are another model's.
    """
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = {name: tuple(value.shape) for name, value in state.items()}
    expected = {name: tuple(weight.shape) for name, weight in weights.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ModelError(f"{len(odd)} trained weights are another model's, the first {odd[0]}; expected the recipe's")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state[name])


def unquantise_model(model: Model, recipe: Recipe) -> Model:
    """Return the model that is saved and scored: a 4-bit run's adapter on the float32 base, any other as it is.

    The two differ by the rounding of the base, so a 4-bit run is measured on this one.
    """
    if recipe.method != "qlora":
        return model
    with torch.random.fork_rng():
        plain, _ = build_model(replace(recipe, method="lora"))
    load_trainable(plain, trainable_state(model))
    return cast(Model, cast(nn.Module, plain).to(model.device))


def _load_parts(recipe: Recipe) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, frozenset[str]]:
    base = name_base(recipe)
    with open_base(base) as folder:
        tokenizer = load_tokenizer(folder, base)
        tokenizer.init_kwargs[MARK_COMPANY] = recipe.mark_company
        config = read_config(folder, base)
        columns = find_columns(config.id2label)
        config.update({**label_names(), "pad_token_id": tokenizer.pad_token_id, "use_cache": False})
        check_length(config, recipe.max_length)
        set_dropout(config, recipe.encoder_dropout)
        model, missing = load_classifier(folder, config, f"base {base.id}")
        is_fitted = _is_head_fitted(base.id, folder)
    keep_layers(model, recipe.layers)
    if is_fitted:  # to validation rows, on which the new one is judged
        renew_rows(model)
    elif columns:
        reorder_rows(model, columns)
    elif f"{find_last(model)[0]}.weight" not in missing:
        renew_rows(model)
    model.config._name_or_path = recipe.base
    model.config.architectures = [type(model).__name__]
    return model, tokenizer, missing


def _is_head_fitted(base: str, folder: Path) -> bool:
    """Say whether validation rows made the head of ``base``; an exported one of ours counts as such."""
    if not base.startswith(RUN):
        return base.startswith(MODEL)
    return tomllib.loads((folder / RECIPE).read_text(encoding="utf-8")).get("calibration") == "head"


def _describe_adapter(recipe: Recipe, model: PreTrainedModel, whole: list[str]) -> LoraConfig:
    """Return LoRA on every linear layer but those of modules trained ``whole``."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        target_modules=recipe.target_modules,
        exclude_modules=[name for name in linear if any(f"{name}.".startswith(f"{part}.") for part in whole)],
        modules_to_save=whole,
    )


def _load_weights(folder: Path) -> Model:
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if (folder / FULL_WEIGHTS).is_file():
        model, missing = load_classifier(folder, config, str(folder))
        if missing:
            raise ModelError(f"{folder}/{FULL_WEIGHTS}: {len(missing)} weights are missing, the first {min(missing)}")
        return model
    base = read_base(read_json(folder / PROVENANCE), folder / PROVENANCE)
    with open_base(base) as place:
        model, _ = load_classifier(place, config, f"base {base.id}")
    return PeftModel.from_pretrained(model, folder)


def _write_weights(path: Path, model: Model, state: Mapping[str, torch.Tensor]) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in cut_score_row(model, state).items()}
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _save_adapter_config(model: PeftModel, recipe: Recipe, folder: Path) -> None:
    model.peft_config["default"].save_pretrained(str(folder))
    path = folder / ADAPTER_CONFIG
    adapter = read_json(path)
    adapter["base_model_name_or_path"], adapter["revision"] = recipe.base, recipe.revision or None
    adapter["inference_mode"] = True
    adapter["target_modules"] = sorted(set(adapter["target_modules"]) - set(adapter["exclude_modules"]))
    for key in ("exclude_modules", "modules_to_save"):
        adapter[key] = sorted(set(adapter[key]))
    write_json(path, dict(sorted(adapter.items())))


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, max_length: int, folder: Path) -> None:
    """Write the tokenizer without the padding and cutting that the base's own file has baked in."""
    tokenizer.model_max_length = max_length
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    for name in ("name_or_path", "max_length", "stride", "pad_to_multiple_of"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)
    for name in REDUNDANT:
        (folder / name).unlink(missing_ok=True)
