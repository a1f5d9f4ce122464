"""What `publish` puts on the Hub is the model folder itself: it comes back byte by byte and loads everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import snapshot_download

from pipeline.model_folder import read_model_folder
from pipeline.score import OnnxScorer
from tests.hub_server import TOKEN, HubServer
from tests.pipeline.conftest import hub_cache
from training.publish import publish_run

from . import test_optimum, test_transformers_js
from .conftest import MODEL, PAIRS

NAME = "made/headlines"
cache = hub_cache


@pytest.fixture(scope="module")
def pulled(cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model folder, published to a Hub on this machine and fetched again by the Hub's own client."""
    place = tmp_path_factory.mktemp("pulled") / "headlines"
    with HubServer() as hub:
        commit = publish_run(MODEL, NAME, endpoint=hub.url, token=TOKEN)
        snapshot_download(NAME, revision=commit, endpoint=hub.url, local_dir=place)
    return place


def read_bytes(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in found.items() if not name.startswith((".cache", ".gitattributes"))
    }


def test_it_comes_back_byte_by_byte(pulled: Path) -> None:
    assert read_bytes(pulled) == read_bytes(MODEL)
    assert read_model_folder(pulled).revision == read_model_folder(MODEL).revision


def test_it_scores_the_same_in_python(pulled: Path, expected: np.ndarray) -> None:
    assert np.array_equal(OnnxScorer(pulled).score(PAIRS), expected)
    by_optimum = test_optimum.score_with(test_optimum.load_pipeline(pulled), len(PAIRS))
    assert np.abs(by_optimum - expected).max() < test_optimum.TOLERANCE


def test_it_scores_the_same_under_node(pulled: Path, node: str, expected: np.ndarray) -> None:
    by_node = test_transformers_js.score_with_node(node, pulled, [PAIRS])
    assert np.abs(by_node - expected).max() < test_transformers_js.TOLERANCE
