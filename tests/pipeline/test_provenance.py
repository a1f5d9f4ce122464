"""The manifest says on which processor a session was made, and on which of its instruction sets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from pipeline import provenance
from pipeline.provenance import INSTRUCTIONS, describe_cpu, find_cpu, name_instructions

AVX2 = "fpu sse sse2 ssse3 fma cx16 sse4_1 sse4_2 avx f16c bmi1 avx2 bmi2"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"
CASES = [
    ("Maker Server 7000", AVX2, "Maker Server 7000 (avx2)"),
    ("Maker Server 7000", f"{AVX2} avx_vnni", "Maker Server 7000 (avx_vnni)"),
    ("Maker Server 8000", AVX512, "Maker Server 8000 (avx512)"),
    ("Maker Server 8000", f"{AVX512} avx_vnni", "Maker Server 8000 (avx512)"),
    ("Maker Server 9000", f"{AVX512} avx512_vnni", "Maker Server 9000 (avx512_vnni)"),
    ("Maker Server 9000", f"avx512_vnni {AVX512} avx_vnni", "Maker Server 9000 (avx512_vnni)"),
    ("Maker Server 9900", f"{AVX512} avx512_vnni amx_bf16 amx_tile amx_int8", "Maker Server 9900 (amx_int8)"),
    ("Maker Server 9900", f"{AVX512} avx512_vnni amx_bf16 amx_tile", "Maker Server 9900 (avx512_vnni)"),
    ("Maker Wide 100", f"{AVX2} avx512f avx512cd avx512_vnni", "Maker Wide 100 (avx2)"),
    ("Maker Desk 3000", AVX2.replace(" fma", ""), "Maker Desk 3000 (sse2)"),
    ("Maker Desk 2000", "fpu sse sse2 avx", "Maker Desk 2000 (sse2)"),
    ("Maker(R) Server(R)   CPU  @ 2.80GHz", AVX2, "Maker(R) Server(R) CPU @ 2.80GHz (avx2)"),
    ("Maker Server 1", "fpu vme", "Maker Server 1"),
    ("", AVX2, "(avx2)"),
]
ARM = [
    ("fp asimd aes asimdhp asimddp sve i8mm bf16", "Arm 0x41 0xd49 (neon i8mm)"),
    ("fp asimd aes asimdhp asimddp", "Arm 0x41 0xd49 (neon dotprod)"),
    ("fp asimd aes crc32", "Arm 0x41 0xd49 (neon)"),
    ("fp", "Arm 0x41 0xd49"),
]


def write_x86(model: str, flags: str, cores: int = 2) -> str:
    """Return what the kernel writes of ``cores`` equal x86 processors."""
    one = f"vendor_id\t: Maker\nmodel\t\t: 2\nmodel name\t: {model}\nflags\t\t: {flags}\nvmx flags\t: ept amx_int8\n"
    return "\n".join(f"processor\t: {core}\n{one}" for core in range(cores))


def write_arm(features: str) -> str:
    """Return what the kernel writes of an Arm processor."""
    return (
        f"processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd49\nCPU revision\t: 0\n"
    )


@pytest.mark.parametrize(("model", "flags", "expected"), CASES)
def test_an_x86_processor_is_named_with_what_its_products_run_on(model: str, flags: str, expected: str) -> None:
    assert describe_cpu(write_x86(model, flags)) == expected


@pytest.mark.parametrize(("features", "expected"), ARM)
def test_an_arm_processor_is_named_by_implementer_and_part(features: str, expected: str) -> None:
    assert describe_cpu(write_arm(features)) == expected


@pytest.mark.parametrize("text", ["", "\n", "processor : 0\n", "no colon at all\n", "\x00\ufffd: \n"])
def test_a_text_that_says_nothing_gives_nothing(text: str) -> None:
    assert describe_cpu(text) == ""


def test_the_first_processor_stands_for_all() -> None:
    assert describe_cpu(write_x86("Maker One", AVX512) + "\n" + write_x86("Maker Two", AVX2)) == "Maker One (avx512)"


def test_each_instruction_set_is_found_by_its_own_flags_and_all_are_needed() -> None:
    for name, needed in INSTRUCTIONS.items():
        assert name_instructions(needed) == name
        assert all(name_instructions(needed - {flag}) != name for flag in needed)


@pytest.mark.parametrize("content", [None, b"", b"nothing known\n"])
def test_without_the_kernels_word_the_platform_is_named(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_bytes(content)
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert find_cpu() == "arm64"


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_bytes(b"model name\t: Maker \xff\xfe One\nflags\t\t: fma avx2\n")
    monkeypatch.setattr(provenance, "_CPUINFO", tmp_path / "cpuinfo")
    assert find_cpu() == "Maker \ufffd\ufffd One (avx2)"


def test_the_name_is_one_cell_of_a_csv() -> None:
    name = describe_cpu(write_x86('Maker, "Server"\r', AVX2))
    line = io.StringIO()
    csv.writer(line).writerow([name])
    assert name == 'Maker, "Server" (avx2)'
    assert next(csv.reader([line.getvalue()])) == [name]
