"""An encoder of many layers -> the same one with a few of them, for a smaller model to train. Changes it in place."""

from __future__ import annotations

from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from pipeline.errors import ModelError

UNEVEN = ("modernbert",)
"""Architectures whose layers differ by their place, so that a kept one would be read back as another kind."""


def keep_layers(model: PreTrainedModel, count: int) -> None:
    """Leave ``count`` of the encoder's layers in ``model``, its configuration saying so; 0 or all leave it as it is.

    Comes before an adapter is put on. Which layers stay follows from the two numbers alone (:func:`choose_layers`).

    Raises:
        ModelError: the encoder has fewer, or layers that cannot change their place; names the key ``layers``.
    """
    total = model.config.num_hidden_layers
    if count in (0, total):
        return
    if not 0 < count < total:
        raise ModelError(f"layers is {count}; the base has {total}")
    if model.config.model_type in UNEVEN:
        raise ModelError(f"layers is {count}; expected 0, for the layers of {model.config.model_type} differ by place")
    kept = choose_layers(total, count)
    name, stack = find_stack(model, total)
    model.set_submodule(name, nn.ModuleList(stack[i] for i in kept))
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[i] for i in kept]
    model.config.num_hidden_layers = count
    _renumber_layers(model, name)


def choose_layers(total: int, count: int) -> list[int]:
    """Return ``count`` of the indices 0..``total`` - 1, ascending, evenly spread, the last among them.

    Index floor((i + 1) * total / count) - 1 for i from 0: where the gaps cannot be equal the lowest layers stay, which
    pretrained encoders can spare least (Sajjad et al. 2023). 6 -> 4 keeps 0, 2, 3, 5 and 6 -> 3 keeps 1, 3, 5.
    """
    return [(i + 1) * total // count - 1 for i in range(count)]


def find_stack(model: PreTrainedModel, total: int) -> tuple[str, nn.ModuleList]:
    """Return the name of the list that holds the encoder's ``total`` layers, and the list.

    Raises:
        ModelError: there is no such list, or more than one; names the key ``layers``.
    """
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] in ("layer", "layers") and len(module) == total
    ]
    if len(found) != 1:
        raise ModelError(f"layers: {type(model).__name__} has {len(found)} lists of {total} layers; expected one")
    return found[0]


def _renumber_layers(model: PreTrainedModel, name: str) -> None:
    """Tell the layers of a decoder their new place, which they look up what they remember by."""
    for i, layer in enumerate(model.get_submodule(name).children()):
        for module in cast(Any, layer).modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = i
