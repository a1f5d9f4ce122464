"""What runs on the other processor: scores headlines, or multiplies matrices; benchmarks.emulator starts it.

    python -m benchmarks.guest scores ANSWER.npz MODEL_FOLDER PAIRS.json
    python -m benchmarks.guest products ANSWER.npz FOLDER

Loads neither torch nor onnx: under emulation each import costs seconds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from pipeline.provenance import name_instructions
from pipeline.score import OnnxScorer

FLAGS = {"FMA3": "fma", "AVX512VNNI": "avx512_vnni"}
"""Numpy's name of a feature -> the kernel's, where lower case is not enough."""


def main() -> None:
    """Do the job and write its arrays."""
    job, output, *paths = sys.argv[1:]
    arrays = score(*map(Path, paths)) if job == "scores" else multiply(*map(Path, paths))
    np.savez(output, instructions=np.array(name_instructions(ask_processor())), **arrays)


def score(folder: Path, pairs: Path) -> dict[str, np.ndarray]:
    """Return "scores", float32 (n, 3), of the (headline, company) pairs in a JSON file."""
    found = [(headline, company) for headline, company in json.loads(pairs.read_text(encoding="utf-8"))]
    return {"scores": OnnxScorer(folder).score(found)}


def multiply(folder: Path) -> dict[str, np.ndarray]:
    """Return what each graph NAME.onnx makes of its input in NAME.npy, by name."""
    answers = {}
    for path in sorted(folder.glob("*.onnx")):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.get_inputs()
        (answers[path.stem],) = session.run(None, {found.name: np.load(path.with_suffix(".npy"))})
    return answers


def ask_processor() -> frozenset[str]:
    """Return the processor's flags, in the kernel's words, as the processor itself gives them.

    /proc/cpuinfo would describe the machine below the emulator. These are the features that numpy.show_runtime lists;
    it knows neither AVX-VNNI nor AMX, which qemu-user does not emulate.
    """
    from numpy._core._multiarray_umath import __cpu_features__ as features

    return frozenset(FLAGS.get(name, name.lower()) for name, is_there in features.items() if is_there)


if __name__ == "__main__":
    main()
