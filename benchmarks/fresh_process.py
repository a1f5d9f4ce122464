"""One scorer in a process of its own: how soon its first score is there, and how much memory many take.

    python -m benchmarks.fresh_process shipped FOLDER PAIRS.json [THREADS]
    python -m benchmarks.fresh_process pipeline FOLDER PAIRS.json [THREADS]

Used by benchmarks.scoring, which holds the clock: prints "scored" after the first pair, then the peak memory in MB
after all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import read_peak_memory

Pair = tuple[str, str]


def load_shipped(folder: str, threads: int) -> Callable[[Sequence[Pair]], Any]:
    """Return the model folder's scorer, as the daily line loads it."""
    from pipeline.score import OnnxScorer

    return OnnxScorer(Path(folder), threads).score


def load_pipeline(folder: str, threads: int) -> Callable[[Sequence[Pair]], Any]:
    """Return transformers' pipeline over a folder of safetensors, batches of 32."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(threads)
    classify = pipeline("text-classification", model=folder, top_k=None, device="cpu")
    return lambda pairs: classify([{"text": text, "text_pair": pair} for text, pair in pairs], batch_size=32)


def main() -> None:
    """Load, score one pair, say so, score the rest, say what it took."""
    kind, folder, path = sys.argv[1:4]
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    score = (load_shipped if kind == "shipped" else load_pipeline)(folder, threads)
    score([("Example Corp beats estimates", "Example Corp")])
    print("scored", flush=True)
    score([(headline, company) for headline, company in json.loads(Path(path).read_text(encoding="utf-8"))])
    print(read_peak_memory(), flush=True)


if __name__ == "__main__":
    main()
