"""A model -> the same one with fewer neurons in every feed-forward part of its encoder, for a faster model to train.

Neurons go one at a time, each the one whose loss the others can make up for best on given texts, and the weights of
those others take its work over: the Optimal Brain Surgeon (Hassibi, Stork 1993) with whole columns for weights, as in
ZipLM (Kurtic, Frantar, Alistarh 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.errors import ModelError

from .batches import encode_examples, pad_batch
from .data import Example
from .layers import find_stack
from .model import Model
from .recipe import Recipe

NARROWED = ("bert", "roberta", "deberta-v2")
"""Architectures whose layers are known here to keep their feed-forward part in intermediate.dense and output.dense."""
SHOWN_ROWS = 1000
"""On so many, what neurons say is measured before some of them go."""
DAMPING = 1e-3
"""Share of the mean variance that is added to each: keeps the inverse finite where two neurons say the same."""


def narrow_model(model: Model, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, examples: Sequence[Example]) -> None:
    """Leave the recipe's ``intermediate_size`` neurons in ``model``, in place, judged by a sample of ``examples``.

    Raises:
        ModelError: see :func:`narrow_layers`.
    """
    if recipe.intermediate_size:
        shown = Random(recipe.seed).sample(examples, min(SHOWN_ROWS, len(examples)))
        encoded = encode_examples(shown, tokenizer, recipe.max_length)
        narrow_layers(
            cast(PreTrainedModel, model), recipe.intermediate_size, (pad_batch([row], tokenizer) for row in encoded)
        )


def narrow_layers(encoder: PreTrainedModel, size: int, rows: Iterable[Mapping[str, torch.Tensor]]) -> None:
    """Leave ``size`` neurons in the feed-forward part of every layer, in place; its configuration says so.

    ``rows`` are inputs without padding, each a batch; they show what the neurons say. 0 or all leave it as it is.

    Raises:
        ModelError: there are fewer, or the architecture is unknown here; names the key ``intermediate_size``.
    """
    total = encoder.config.intermediate_size if encoder.config.model_type in NARROWED else 0
    if size in (0, total):
        return
    if not total:
        raise ModelError(f"intermediate_size is {size}; expected 0 for {encoder.config.model_type}")
    if size > total:
        raise ModelError(f"intermediate_size is {size}; the base has {total}")
    _, stack = find_stack(encoder, encoder.config.num_hidden_layers)
    layers = [cast(Any, layer) for layer in stack]
    for layer, (mean, covariance) in zip(layers, _observe(encoder, layers, rows), strict=True):
        wide, narrow = layer.intermediate.dense, layer.output.dense
        kept, weights = remove_neurons(narrow.weight.detach().double(), covariance, size)
        shift = narrow.weight.detach().double() @ mean - weights @ mean[kept]
        _set(wide, wide.weight[kept], wide.bias[kept])
        _set(narrow, weights, narrow.bias + shift)
    encoder.config.intermediate_size = size


def remove_neurons(weights: torch.Tensor, covariance: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of the ``size`` neurons that stay, ascending, and their weights, float64 (n, size).

    ``weights`` float64 (n, k) read k neurons of ``covariance`` float64 (k, k). Without neuron i its output changes
    least, by |w_i|^2 / c_ii in the mean square, where the others' weights take up -w_i c_i / c_ii; c is the inverse.
    """
    damped = covariance + DAMPING * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    weights, inverse = weights.clone(), torch.linalg.inv(damped)
    stays = torch.ones(len(covariance), dtype=torch.bool)
    for _ in range(len(covariance) - size):
        loss = weights.square().sum(dim=0) / inverse.diagonal()
        i = int(loss.where(stays, torch.inf).argmin())
        row = inverse[i] / inverse[i, i]
        weights -= torch.outer(weights[:, i], row)
        inverse -= torch.outer(inverse[:, i], row)
        stays[i], inverse[i, i] = False, 1.0  # its row and column are 0 now, and stay so
    kept = stays.nonzero()[:, 0]
    return kept, weights[:, kept]


@torch.no_grad()
def _observe(
    encoder: PreTrainedModel, layers: list[Any], rows: Iterable[Mapping[str, torch.Tensor]]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each layer's mean (k,) and covariance (k, k) of what its neurons say to ``rows``, float64."""
    width = encoder.config.intermediate_size
    sums = [torch.zeros(width, dtype=torch.float64) for _ in layers]
    squares = [torch.zeros(width, width, dtype=torch.float64) for _ in layers]
    count = 0

    def add(i: int, output: torch.Tensor) -> None:
        said = output.reshape(-1, width)
        sums[i] += said.sum(dim=0)
        squares[i] += said.T @ said

    hooks = [
        layer.intermediate.register_forward_hook(lambda _module, _inputs, output, i=i: add(i, output))
        for i, layer in enumerate(layers)
    ]
    encoder.eval()
    for row in rows:
        encoder(**row)
        count += row["input_ids"].numel()
    for hook in hooks:
        hook.remove()
    means = [total / count for total in sums]
    return [(mean, square / count - torch.outer(mean, mean)) for mean, square in zip(means, squares, strict=True)]


def _set(layer: nn.Linear, weights: torch.Tensor, bias: torch.Tensor) -> None:
    layer.weight, layer.bias = (nn.Parameter(values.detach().float()) for values in (weights, bias))
    layer.out_features, layer.in_features = weights.shape
