"""Runs this Python on the processor at hand or on another kind that qemu-user emulates, and says what it was.

onnxruntime has no switch that makes it compute as on another processor: it asks the processor what it can do
(MLAS_PLATFORM, onnxruntime/core/mlas/lib/platform.cpp). qemu-user answers for the processor it plays, and refuses the
instructions that one lacks. Version 7.2 plays AVX2 and what is older; of AVX-512, AVX-VNNI and AMX it knows nothing.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

EMULATOR = "qemu-x86_64"
NATIVE = ""
"""The processor at hand, where a name of qemu's list is expected."""
HOME = Path(__file__).parent.parent


class EmulatorError(Exception):
    """What was to run on another processor did not; the message is one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a guest gave back: arrays by name, the instruction set it found, seconds from start to end."""

    arrays: dict[str, np.ndarray]
    instructions: str
    seconds: float


def find_obstacle() -> str:
    """Return why no other processor can be emulated here, in words; empty when it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"{EMULATOR} runs this Python on x86-64 alone, and this machine is {platform.machine()}"
    if not shutil.which(EMULATOR):
        return f"{EMULATOR} is not installed (Debian and Ubuntu have it in the package qemu-user)"
    return ""


def run_python(cpu: str, arguments: Sequence[str]) -> float:
    """Run this Python with ``arguments`` in the project's folder on ``cpu``, and return the seconds it took.

    Raises:
        EmulatorError: it cannot be emulated here, or ended with an error; holds its last line.
    """
    if cpu != NATIVE and (obstacle := find_obstacle()):
        raise EmulatorError(obstacle)
    command = [*([EMULATOR, "-cpu", cpu] if cpu != NATIVE else []), sys.executable, *arguments]
    started = perf_counter()
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if "TCG doesn't support" not in line][-1:]
        raise EmulatorError(f"{' '.join(command[:4])} ...: ended with {done.returncode}: {' '.join(last)}")
    return perf_counter() - started


def run_guest(cpu: str, job: str, *paths: Path) -> Answer:
    """Run a job of benchmarks.guest on ``cpu`` and return what it gave back."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "answer.npz"
        seconds = run_python(cpu, ["-m", "benchmarks.guest", job, str(output), *map(str, paths)])
        with np.load(output) as found:
            arrays = dict(found)
    return Answer(arrays, str(arrays.pop("instructions")), seconds)
