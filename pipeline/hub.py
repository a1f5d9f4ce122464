"""Files of one commit of a Hub repository -> a local folder, through the Hub's own client and its cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from .errors import ModelError
from .model_folder import check_revision

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
PATTERNS = ("*.safetensors", "*.json", "*.toml", "*.md", "*.txt", "*.jinja", "*.model")
"""What a model folder may consist of: weights, configuration, card, and the vocabularies of tokenizers."""


def pull_snapshot(
    repository: str, revision: str | None, endpoint: str | None = None, patterns: Sequence[str] = PATTERNS
) -> Path:
    """Return the folder that holds the weights and configuration of ``repository`` at commit ``revision``.

    Only files that match ``patterns`` are fetched, and of these only what the client's cache (HF_HOME) lacks.
    ``endpoint`` None takes the client's own (HF_ENDPOINT, else huggingface.co).

    Raises:
        ModelError: the name or revision is malformed, or the Hub refuses or cannot be reached.
    """
    if not REPOSITORY.fullmatch(repository):
        raise ModelError(f"{repository}: neither a folder here nor a Hub repository; expected OWNER/NAME")
    commit = check_revision(revision, f"{repository}: revision")
    try:
        found = Path(snapshot_download(repository, revision=commit, allow_patterns=list(patterns), endpoint=endpoint))
    except (HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{repository} at {commit}: cannot be pulled from {endpoint or 'the Hub'}: {reason}"
        ) from error
    if found.name != commit:
        raise ModelError(f"{repository}: the Hub answered with commit {found.name}; expected {commit}")
    return found
