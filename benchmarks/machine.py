"""What a figure was measured on: processor, instruction sets, cores, libraries, other work."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

from pipeline.score import count_cores

INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")
"""Flags of the kernel's list that decide how fast eight-bit products are: x86, then Arm."""
LIBRARIES = ("onnxruntime", "tokenizers", "torch", "transformers", "openvino", "nncf")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """What does not change while it is measured on."""

    processor: str
    instructions: tuple[str, ...]
    cores: int
    versions: dict[str, str]


def describe_machine() -> Machine:
    """Return this machine as it is now."""
    return Machine(describe_processor(), list_instructions(), count_cores(), list_versions())


def describe_processor() -> str:
    """Return the processor's name as the kernel gives it, else as Python does."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read_cpuinfo(), re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def list_instructions() -> tuple[str, ...]:
    """Return which of INSTRUCTIONS the processor has; none where the kernel does not say."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read_cpuinfo(), re.MULTILINE)
    flags = set(found.group(1).split()) if found else set()
    return tuple(name for name in INSTRUCTIONS if name in flags)


def list_versions() -> dict[str, str]:
    """Return Python's version and that of every one of LIBRARIES that is installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Neighbours:
    """Watches, from now on, how much of the machine other processes take: beside much, figures mean little."""

    def __init__(self) -> None:
        self._began = perf_counter(), _read_busy_s(), _own_busy_s()

    def find_share(self) -> float:
        """Return the share (0..1) of all cores' time that neither this process nor its ended children took."""
        now = perf_counter(), _read_busy_s(), _own_busy_s()
        wall, busy, own = (late - early for late, early in zip(now, self._began, strict=True))
        return max(0.0, (busy - own) / (wall * (os.cpu_count() or 1)))


def read_peak_memory() -> float:
    """Return the most memory this process ever held, in MB of a million bytes.

    From the kernel's VmHWM: getrusage of a new process still knows the peak of the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE).group(1)) * 1024 / 1e6  # type: ignore[union-attr]


def _read_cpuinfo() -> str:
    return _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.is_file() else ""


def _read_busy_s() -> float:
    """Return the seconds all cores together have worked, for this machine or, on a virtual one, been taken away."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)[1:9]
    user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, fields)
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def _own_busy_s() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
