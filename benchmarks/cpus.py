"""The same model on other kinds of processor, emulated by qemu-user: scores, sums, files; figures: docs/CPUS.md.

    python -m benchmarks.cpus [--model pipeline/default_model] [--count 703] [--cpus Haswell,EPYC-Milan,IvyBridge]
        [--write docs/CPUS.md]

Scores headlines of pipeline/parity_set.csv on this machine's processor and on each of --cpus (names of
`qemu-x86_64 -cpu help`; only those without AVX-512 can be played). Does so with the model as shipped and with its
weights in the usual eight bits, multiplies the matrices alone, and runs the recorded day. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.model_folder import ModelFolder, read_model_folder
from pipeline.parity import read_parity_set

from .cpus_report import SHIPPED, USUAL, Figures, Filed, Scored, Summed, compare_frames, render_report
from .emulator import EMULATOR, HOME, NATIVE, EmulatorError, find_obstacle, run_guest, run_python
from .machine import describe_machine
from .saturation import Weights, copy_widened, draw_activations, list_weights, multiply_exactly, write_product

SAMPLE = HOME / "pipeline" / "sample_day"
SESSION = "2026/2026-11-20.csv"
NOW = "2026-11-20T21:35:00Z"
TABLES = ("features", "headlines")


def main() -> None:
    """Measure everything, print the report, write it where asked."""
    args = parse_arguments()
    if obstacle := find_obstacle():
        raise EmulatorError(obstacle)
    folder = read_model_folder(args.model.resolve())
    report = render_report(measure(folder, args.count, [NATIVE, *args.cpus]))
    print(report)
    if args.write:
        args.write.write_text(report, encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("pipeline/default_model"))
    parser.add_argument("--count", type=int, default=703)
    parser.add_argument("--cpus", type=lambda names: names.split(","), default=["Haswell", "EPYC-Milan", "IvyBridge"])
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report here")
    args = parser.parse_args()
    if args.count < 1:
        parser.error(f"--count {args.count}: expected 1 or more")
    if args.write and not args.write.parent.is_dir():
        parser.error(f"--write {args.write}: folder {args.write.parent} does not exist")
    return args


def measure(folder: ModelFolder, count: int, cpus: Sequence[str]) -> Figures:
    """Return every figure of the report; ``cpus`` begins with the machine's own."""
    machine, started = describe_machine(), perf_counter()
    pairs = read_parity_set(HOME / "pipeline" / "parity_set.csv")[0][:count]
    matrices = list_weights(onnx.load(folder.onnx_path))
    with tempfile.TemporaryDirectory() as place:
        scored = list(score_everywhere(folder, pairs, cpus, Path(place)))
        summed = list(multiply_everywhere(matrices, cpus, Path(place)))
        filed = list(run_day_everywhere(cpus, Path(place)))
    return Figures(
        machine=machine,
        emulator=describe_emulator(),
        measured_at=datetime.now(UTC),
        revision=folder.revision,
        scored=scored,
        matrix_count=len(matrices),
        summed=summed,
        filed=filed,
        wall_s=perf_counter() - started,
    )


def score_everywhere(
    folder: ModelFolder, pairs: Sequence[tuple[str, str]], cpus: Sequence[str], place: Path
) -> Iterator[Scored]:
    """Yield what each processor makes of ``pairs``: first with the model as shipped, then with the usual eight bits."""
    golden = [(row.headline, row.company) for row in folder.golden]
    (place / "pairs.json").write_text(json.dumps([*pairs, *golden]), encoding="utf-8")
    copy_widened(folder.path, place / "usual")
    expected = np.array([row.probabilities for row in folder.golden])
    for weights, path in ((SHIPPED, folder.path), (USUAL, place / "usual")):
        for cpu in cpus:
            say(f"scoring, {weights}, on {name_cpu(cpu)}")
            answer = run_guest(cpu, "scores", path, place / "pairs.json")
            scores, found = np.split(answer.arrays["scores"], [len(pairs)])
            change = float(np.abs(found - expected).max())
            yield Scored(name_cpu(cpu), answer.instructions, weights, scores, change, answer.seconds)


def multiply_everywhere(matrices: Sequence[Weights], cpus: Sequence[str], place: Path) -> Iterator[Summed]:
    """Yield how many sums of products each processor gets wrong, by kind of weights and of activations."""
    folder = place / "products"
    folder.mkdir()
    exact: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for i, matrix in enumerate(matrices):
        for weights, values in ((SHIPPED, matrix.values), (USUAL, matrix.widen().values)):
            for kind, activations in draw_activations(values):
                name = f"{i}-{weights}-{kind}"
                write_product(folder, name, activations, values)
                exact.setdefault((weights, kind), {})[name] = multiply_exactly(activations, values)
    for cpu in cpus:
        say(f"multiplying on {name_cpu(cpu)}")
        answer = run_guest(cpu, "products", folder)
        for (weights, kind), expected in exact.items():
            errors = np.concatenate([np.abs(answer.arrays[name] - sums).ravel() for name, sums in expected.items()])
            wrong = int((errors > 0).sum())
            yield Summed(answer.instructions, weights, kind, len(errors), wrong, int(errors.max()))


def run_day_everywhere(cpus: Sequence[str], place: Path) -> Iterator[Filed]:
    """Yield how each processor's files of the recorded day differ from the first one's."""
    tables = {cpu: run_day(cpu, place / f"day-{i}", SAMPLE / "tickers.csv") for i, cpu in enumerate(cpus)}
    for cpu in cpus[1:]:
        for table in TABLES:
            yield compare_frames(name_cpu(cpu), table, tables[cpus[0]][table], tables[cpu][table])


def run_day(cpu: str, place: Path, universe: Path) -> dict[str, pd.DataFrame]:
    """Run the daily job on the recorded day for the tickers of ``universe``; return its files' cells as text."""
    say(f"the recorded day on {name_cpu(cpu)}")
    feeds = ["--settings", str(SAMPLE / "settings.toml"), "--replay", str(SAMPLE / "feeds"), "--now", NOW]
    feeds += ["--universe", str(universe)]
    run_python(cpu, ["-m", "pipeline", "daily", *feeds, "--store", str(place / "store"), "--report", str(place / "r")])
    paths = {table: place / "store" / table / SESSION for table in TABLES}
    return {table: pd.read_csv(path, dtype=str, keep_default_na=False) for table, path in paths.items()}


def name_cpu(cpu: str) -> str:
    """Return what a processor is called in the report."""
    return f"{cpu}, emulated" if cpu != NATIVE else describe_machine().processor


def describe_emulator() -> str:
    """Return the emulator and its version."""
    said = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True).stdout
    return said.splitlines()[0]


def say(what: str) -> None:
    """Show what is being done."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (EmulatorError, PipelineError) as error:
        sys.exit(f"error: {error}")
