"""Sizes of encoders, and how many multiplications each needs; the names of the two rows that are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.model_folder import CONFIG, read_json

BASELINE = "transformers pipeline, BERT-base, batch 32"
SHIPPED = "**shipped model, all in one call**"


@dataclass(frozen=True)
class Shape:
    """An encoder's size; all that its speed depends on."""

    layers: int
    hidden: int
    intermediate: int
    heads: int

    def count_products(self, lengths: np.ndarray) -> float:
        """Return the mean number of multiplications of a headline, ``lengths`` in tokens; pooler and head included."""
        per_token = self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)
        attention = self.layers * 2 * self.hidden * lengths.astype(float) ** 2
        return float((per_token * lengths + attention).mean()) + self.hidden**2 + 3 * self.hidden


BERT_BASE = Shape(12, 768, 3072, 12)
MINILM = Shape(6, 384, 1536, 12)


def read_shape(folder: Path) -> Shape:
    """Return the size of a model folder's encoder, from its configuration."""
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    config = read_json(folder / CONFIG)
    return Shape(*(int(config[name]) for name in names))
