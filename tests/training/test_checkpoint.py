"""A checkpoint comes back as it was, survives a failed write, and is refused when torn or when it holds code."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from training.checkpoint import (  # noqa: E402
    CheckpointError,
    capture_random,
    load_checkpoint,
    restore_random,
    save_checkpoint,
    write_atomic,
)


def make_state(value: float) -> dict[str, Any]:
    return {"weights": {"a": torch.full((50, 50), value)}, "records": [{"epoch": 1, "loss": value}], "scaler": None}


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state(0.1))
    found = load_checkpoint(path)
    assert torch.equal(found["weights"]["a"], make_state(0.1)["weights"]["a"])
    assert (found["records"], found["scaler"]) == ([{"epoch": 1, "loss": 0.1}], None)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state(0.1))
    before = path.read_bytes()
    (tmp_path / "checkpoint.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(path, make_state(0.2))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("kept_share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_torn_checkpoint_is_refused_in_one_line(kept_share: float, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state(0.1))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept_share * len(content))])
    with pytest.raises(CheckpointError, match="checkpoint.pt: torn or no checkpoint; train with --restart") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_changed_on_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, make_state(0.1))
    content = path.read_bytes()
    tensor = bytes(torch.full((100,), 0.1).numpy())
    assert tensor in content
    path.write_bytes(content.replace(tensor, bytes(len(tensor)), 1))
    with pytest.raises(CheckpointError, match="torn or no checkpoint"):
        load_checkpoint(path)


def save_sealed(path: Path, content: Any) -> None:
    """Write anything at all as torch does, with the hash that makes it a checkpoint."""
    torch.save(content, path)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())


class Trap:
    """What a pickle could run when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("trapped"),))


@pytest.mark.parametrize("content", [{"weights": Trap()}, Trap()])
def test_a_checkpoint_with_code_in_it_is_refused(content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_sealed(tmp_path / "checkpoint.pt", content)
    with pytest.raises(CheckpointError, match="torn or no checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    save_sealed(tmp_path / "checkpoint.pt", [1, 2])
    with pytest.raises(CheckpointError, match="holds a list"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_every_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [random.random(), random.gauss(0, 1), np.random.normal(), *torch.randn(3).tolist()]

    draw()
    np.random.normal()  # leaves the second normal number of a pair waiting
    save_checkpoint(tmp_path / "random.pt", {"random": capture_random()})
    expected = [draw(), draw()]
    restore_random(load_checkpoint(tmp_path / "random.pt")["random"])
    assert [draw(), draw()] == expected


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for content in (b"one", b"two"):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.toml"]
