"""Where a run happens: the commit of its code and the processor, as the manifest records them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Set
from pathlib import Path

from .config import HOME

_AVX2 = frozenset({"avx2", "fma"})
_AVX512 = _AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
INSTRUCTIONS: Mapping[str, Set[str]] = {
    "amx_int8": _AVX512 | {"amx_tile", "amx_int8"},
    "avx512_vnni": _AVX512 | {"avx512_vnni"},
    "avx512": _AVX512,
    "avx_vnni": _AVX2 | {"avx_vnni"},
    "avx2": _AVX2,
    "sse2": {"sse2"},
    "neon i8mm": {"asimd", "i8mm"},
    "neon dotprod": {"asimd", "asimddp"},
    "neon": {"asimd"},
}
"""Instruction sets between which onnxruntime 1.32 chooses for products of u8 and s8, with the flags of each.

In the order in which it prefers them (MLAS_PLATFORM in onnxruntime/core/mlas/lib/platform.cpp), so the first that fits
is the one that runs. avx512 and avx2 add pairs of products in 16 bits (docs/QUANTIZATION.md).
"""
_CPUINFO = Path("/proc/cpuinfo")


def find_code_revision() -> str:
    """Return the commit of this checkout, with a + when it has local changes; empty outside a checkout."""
    git = ["git", "-C", str(HOME)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--", str(HOME)], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + "+" * bool(changes.stdout.strip())


def find_cpu() -> str:
    """Return the processor's name and instruction set, for the manifest, as :func:`describe_cpu` does.

    Where the kernel lists neither, return what Python knows of the platform.
    """
    try:
        cpuinfo = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return describe_cpu(cpuinfo) or platform.processor() or platform.machine()


def describe_cpu(cpuinfo: str) -> str:
    """Return the name and instruction set in the text of /proc/cpuinfo, such as "AMD EPYC (avx512_vnni)".

    Arm names no model there: its implementer and part stand for it, "Arm 0x41 0xd49 (neon i8mm)". What the text does
    not say is left out; empty when it says nothing.
    """
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), " ".join(value.split()))
    flags = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()
    found = name_instructions(frozenset(flags))
    return f"{_name_model(facts)} {f'({found})' if found else ''}".strip()


def name_instructions(flags: Set[str]) -> str:
    """Return the first of INSTRUCTIONS whose flags, as the Linux kernel writes them, are all there; else empty."""
    return next((name for name, needed in INSTRUCTIONS.items() if needed <= flags), "")


def _name_model(facts: Mapping[str, str]) -> str:
    arm = [facts[key] for key in ("CPU implementer", "CPU part") if facts.get(key)]
    return facts.get("model name") or (f"Arm {' '.join(arm)}" if arm else "")
