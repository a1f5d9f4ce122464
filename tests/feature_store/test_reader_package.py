"""What `pip install` of this repository brings: the reader alone, on pandas alone."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PROJECT

READER = PROJECT / "feature_store"
MODULES = sorted(READER.glob("*.py"))


def test_the_wheel_holds_the_reader_and_no_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("feature_store", "pipeline", "training"):
        shutil.copytree(
            PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "default_model", "state")
        )
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(PROJECT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    files = {name for name in names if ".dist-info/" not in name}
    assert files == {f"feature_store/{path.name}" for path in [*MODULES, READER / "py.typed"]}
    (metadata,) = (zipfile.ZipFile(wheel).read(name).decode() for name in names if name.endswith("/METADATA"))
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: pandas<4,>=2.2"
    ]
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_build_tool_is_pinned() -> None:
    requires = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert all("==" in requirement for requirement in requires)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_reader_imports_pandas_and_the_standard_library_only(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "pandas", "numpy"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] in allowed


def test_importing_the_reader_loads_nothing_else_of_the_project() -> None:
    code = "import sys, feature_store; print({n for n in sys.modules if n.split('.')[0] in ('pipeline', 'training')})"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
