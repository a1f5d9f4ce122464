"""The state of a row's first token, which an encoder's head reads: a teacher's, and a linear image of a student's.

Three probabilities say little of what a teacher sees in a row; its state says more (FitNets: Romero et al. 2015; for
BERT's first token: Sun et al. 2019). What maps one state to the other belongs to the fit and is dropped after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedTokenizerFast

from pipeline.errors import ModelError

from .bases import DECODERS
from .batches import predict_outputs

PROJECTION = "state_projection"
LEAST_DEVIATION = 1e-6


def read_states(
    model: nn.Module, tokenizer: PreTrainedTokenizerFast, encoded: Sequence[dict[str, list[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits float32 (n, outputs) and first-token states float32 (n, width), both on the CPU.

    Raises:
        ModelError: see :func:`check_encoder`.
    """
    check_encoder(model)

    def read(output: Any) -> torch.Tensor:
        return torch.cat([output.logits, find_state(output)], dim=1)

    found = predict_outputs(model, tokenizer, encoded, read, title="teacher", output_hidden_states=True)
    width = found.shape[1] - int(model.config.num_labels)  # type: ignore[union-attr, arg-type]
    return found[:, :-width], found[:, -width:]


def check_encoder(model: nn.Module) -> None:
    """Refuse a decoder, whose first token sees no other.

    Raises:
        ModelError: names the key ``state_weight``.
    """
    kind = model.config.model_type  # type: ignore[union-attr]
    if kind in DECODERS:
        raise ModelError(f"state_weight: {kind} is a decoder, whose first token sees no other; expected an encoder")


def find_state(output: Any) -> torch.Tensor:
    """Return the first token's state after the last layer, (n, width), of a model's output."""
    return output.hidden_states[-1][:, 0]


def standardise(states: torch.Tensor) -> torch.Tensor:
    """Return ``states`` with mean 0 and deviation 1 in every column: whoever knows nothing of them is off by 1."""
    return (states - states.mean(dim=0)) / states.std(dim=0, correction=0).clamp_min(LEAST_DEVIATION)


def add_projection(model: nn.Module, width: int) -> RemovableHandle:
    """Let the outputs of ``model`` hold "projected", its state mapped to (n, ``width``), where states are asked for.

    Raises:
        ModelError: see :func:`check_encoder`.
    """
    check_encoder(model)
    model.add_module(PROJECTION, nn.Linear(model.config.hidden_size, width))  # type: ignore[union-attr, arg-type]
    # In a hook, not after the call: processes share the gradients only of what is used inside it.
    return model.register_forward_hook(_project)


def drop_projection(model: nn.Module, hook: RemovableHandle) -> None:
    """Leave ``model`` as it was before :func:`add_projection`, but for what it has learned."""
    hook.remove()
    delattr(model, PROJECTION)


def _project(model: nn.Module, _: Any, output: Any) -> Any:
    if output.hidden_states is not None:
        output["projected"] = model.get_submodule(PROJECTION)(find_state(output))
    return output
