"""A float32 model -> the same model with its encoder's linear layers in 4-bit NF4, for QLoRA. In place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from pipeline.errors import ModelError


def quantise_model(model: PreTrainedModel, whole: Sequence[str]) -> None:
    """Freeze ``model`` and store its linear layers, but those in modules trained ``whole``, as double-quantised NF4.

    Dettmers et al. 2023, QLoRA. Arithmetic is bfloat16 on a GPU that has it, else float32. The model moves to the GPU
    where there is one; bitsandbytes rounds the weights as they arrive.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    try:
        import bitsandbytes as bnb
    except ImportError as error:
        raise ModelError("method is 'qlora'; expected bitsandbytes to be installed") from error
    has_gpu = torch.cuda.is_available()
    compute = torch.bfloat16 if has_gpu and torch.cuda.is_bf16_supported() else torch.float32
    model.requires_grad_(False)
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, nn.Linear) or any(f"{name}.".startswith(f"{part}.") for part in whole):
            continue
        packed = bnb.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=compute,
            compress_statistics=True,
            quant_type="nf4",
        )
        packed.load_state_dict(layer.state_dict())
        packed.requires_grad_(False)
        # On a CPU with AVX512_BF16 scoring would repack the weights, and the next training step would fail.
        packed.support_avx512bf16_for_cpu = False
        model.set_submodule(name, packed)
    cast(nn.Module, model).to(f"cuda:{torch.cuda.current_device()}" if has_gpu else "cpu")
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # what peft asks before it picks the 4-bit form of LoRA
