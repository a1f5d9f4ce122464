"""The head of a classifier: which weights it has, its rows by name, a fourth row for the score, all as one matrix.

A model's last linear layer has a row per output; every change of a head is a change of those rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from pipeline.text import LABELS

LAST_LAYERS = ("classifier.out_proj", "classifier", "score")
"""The last linear layer: RoBERTa's, that of the other encoders, that of a decoder."""
_WRAPPED = "modules_to_save.default"


def find_columns(names: Mapping[int, str] | None) -> tuple[int, ...] | None:
    """Return for each of LABELS the output that ``names`` (id2label) gives it, whatever the case; None without all."""
    index = {str(name).casefold(): int(i) for i, name in (names or {}).items()}
    return tuple(index[label] for label in LABELS) if sorted(index) == sorted(LABELS) else None


def find_last(model: PreTrainedModel | PeftModel) -> tuple[str, nn.Linear]:
    """Return the name, in the plain model, of the last linear layer, and the layer (with LoRA, the trained copy)."""
    plain = cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model
    modules = dict(plain.named_modules())
    for name in LAST_LAYERS:
        top, _, rest = name.partition(".")
        for path in (".".join(filter(None, (top, _WRAPPED, rest))), name):
            if isinstance(modules.get(path), nn.Linear):
                return name, cast(nn.Linear, modules[path])
    raise AssertionError(f"{type(plain).__name__} has none of {LAST_LAYERS}")


def find_new_modules(model: PreTrainedModel, missing: Iterable[str]) -> list[str]:
    """Return the modules to train whole: the head's, and those of the encoder whose weights were ``missing``."""
    prefix = model.base_model_prefix
    head = {name for name, module in model.named_children() if name != prefix and list(module.parameters())}
    return sorted(head | {key.rpartition(".")[0] for key in missing if key.startswith(f"{prefix}.")})


def reorder_rows(model: PreTrainedModel, columns: Sequence[int]) -> None:
    """Make row i of the last layer the old row ``columns[i]``, in place."""
    layer = find_last(model)[1]
    for weight in layer.parameters():
        weight.data = weight.data[list(columns)].clone()


def renew_rows(model: PreTrainedModel) -> None:
    """Draw the last layer anew from torch's global random state."""
    layer = find_last(model)[1]
    nn.init.normal_(layer.weight, std=model.config.initializer_range)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def add_score_row(model: PreTrainedModel) -> None:
    """Give the last layer a fourth output, drawn from torch's global random state; the others stay as they are."""
    name, layer = find_last(model)
    wide = nn.Linear(layer.in_features, len(LABELS) + 1, bias=layer.bias is not None)
    nn.init.normal_(wide.weight, std=model.config.initializer_range)
    nn.init.zeros_(wide.bias) if wide.bias is not None else None
    for new, old in zip(wide.parameters(), layer.parameters(), strict=True):
        new.data[: len(LABELS)] = old.data
    model.set_submodule(name, wide)


def cut_score_row(model: PreTrainedModel | PeftModel, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return ``state`` with only the classes' rows of the last layer."""
    name = find_last(model)[0]
    ends = (f".{name}.weight", f".{name}.bias")
    return {key: value[: len(LABELS)] if f".{key}".endswith(ends) else value for key, value in state.items()}


def read_head(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """Return the classes' rows of the last layer, float64 (3, d) on the CPU, its bias, if any, as the last column."""
    parts = [weight.detach().cpu().double()[: len(LABELS)] for weight in find_last(model)[1].parameters()]
    return torch.cat([part.reshape(len(LABELS), -1) for part in parts], dim=1)


def write_head(model: PreTrainedModel | PeftModel, head: torch.Tensor) -> None:
    """Put ``head``, as :func:`read_head` gives it, into the last layer, in place.

    Whoever loads the saved model then reads calibrated probabilities without knowing how they came about.
    """
    layer = find_last(model)[1]
    layer.weight.data[: len(LABELS)] = head[:, : layer.in_features].to(layer.weight)
    if layer.bias is not None:
        layer.bias.data[: len(LABELS)] = head[:, -1].to(layer.bias)
