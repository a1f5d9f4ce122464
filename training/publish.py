"""A run folder -> one commit in a Hub repository. The only place of the project that writes to the Hub.

What is uploaded is a sealed copy with its card: the run folder itself stays as it was. An upload is one commit, so it
is there whole or not at all, and may be tried again.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import logging

from pipeline.card import CARD
from pipeline.errors import ModelError
from pipeline.hub import PATTERNS, REPOSITORY
from pipeline.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    FULL_WEIGHTS,
    METRICS,
    PROVENANCE,
    RECIPE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    check_hashes,
    hash_file,
    order_labels,
    read_json,
    refuse_unsafe,
    require_files,
    write_provenance,
)

from .card import write_card
from .patience import Patience, PublishError
from .predictions import PREDICTIONS

UNFINISHED = ".unfinished"
WRITTEN = "a finished folder written by `python -m training train`"
FACTS = ("base", "recipe", "seed", "max_length", "data", "splits", "contamination")
_ABSOLUTE = re.compile(r"(file://)?(/[^/\s]+){2,}/?|~/.+|[A-Za-z]:[\\/].+")


def publish_run(
    folder: Path,
    repository: str,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    patience: Patience | None = None,
) -> str:
    """Upload the run ``folder``, without its predictions, to ``repository`` (OWNER/NAME) in one commit, and check it.

    Returns the commit, 40 hex digits: the last one where the repository holds this very folder already. The repository
    is made if it is missing; what it held of an earlier run and this one lacks is removed by the same commit.
    ``token`` None takes HF_TOKEN or that of `hf auth login`; ``endpoint`` None the client's own Hub.

    Raises:
        ModelError: the folder is unfinished, damaged, unsafe or mislabelled, or names a path of this machine.
        PublishError: the Hub refuses, cannot be reached, or somebody else commits meanwhile.
    """
    if not REPOSITORY.fullmatch(repository):
        raise PublishError(f"{repository}: expected a Hub repository OWNER/NAME")
    provenance = check_run(folder)
    if not (token or get_token()):
        raise PublishError(f"{repository}: no token; set HF_TOKEN to one that may write, or run `hf auth login`")
    persist = (patience or Patience()).persist
    api = HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as name, _quiet():
        place = Path(name)
        copy_run(folder, place, provenance, repository)
        parent = persist(repository, lambda: open_repository(api, repository, private))
        message = f"Publish {provenance['recipe']}, seed {provenance['seed']}"
        revision = persist(repository, lambda: commit_folder(api, repository, place, parent, message))
        check_published(persist(repository, lambda: list_files(api, repository, revision)), place, repository)
    return revision


def check_run(folder: Path) -> dict[str, Any]:
    """Return the run folder's provenance once it is whole, unchanged, safe, labelled and free of this machine's paths.

    Raises:
        ModelError: names the folder and the file.
    """
    if not folder.is_dir() or folder.name.endswith(UNFINISHED):
        raise ModelError(f"{folder}: {'unfinished' if folder.is_dir() else 'no such folder'}; expected {WRITTEN}")
    has_adapter = (folder / ADAPTER_CONFIG).is_file()
    weights = (ADAPTER_WEIGHTS, ADAPTER_CONFIG) if has_adapter else (FULL_WEIGHTS,)
    needed = (*weights, CONFIG, TOKENIZER, TOKENIZER_CONFIG, RECIPE, METRICS)
    require_files(folder, (*needed, PROVENANCE), WRITTEN)
    refuse_unsafe(folder)
    provenance = read_json(folder / PROVENANCE)
    if missing := [key for key in FACTS if key not in provenance]:
        raise ModelError(f"{folder}/{PROVENANCE}: {missing[0]} is missing; expected {', '.join(FACTS)}")
    check_hashes(folder, provenance, needed)
    order_labels(read_json(folder / CONFIG).get("id2label"), folder / CONFIG)
    for name in (*list_published(folder, provenance), PROVENANCE):
        _refuse_paths(folder, name)
    return provenance


def list_published(folder: Path, provenance: Mapping[str, Any]) -> list[str]:
    """Return the names of the sealed files that are published: all but predictions and an old card.

    Raises:
        ModelError: one of them is of a kind that the daily line would not fetch.
    """
    names = [name for name in provenance["files"] if name not in (PREDICTIONS, CARD)]
    for name in names:
        if not any(fnmatch(name, pattern) for pattern in PATTERNS):
            raise ModelError(f"{folder}: {name} would be published; expected only {', '.join(PATTERNS)}")
    return names


def copy_run(folder: Path, place: Path, provenance: Mapping[str, Any], repository: str) -> None:
    """Copy what is published into ``place``, write its card, and seal it anew."""
    for name in list_published(folder, provenance):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, place / name)
    write_provenance(place, provenance)
    write_card(place, repository)
    write_provenance(place, provenance)


def open_repository(api: HfApi, repository: str, private: bool) -> str:
    """Return the repository's last commit; make the repository if it is missing.

    Raises:
        PublishError: it is to be private and is public.
    """
    api.create_repo(repository, private=private or None, exist_ok=True)
    found = api.model_info(repository)
    if private and not found.private:
        raise PublishError(f"{repository}: exists and is public; make it private on the Hub, or leave --private out")
    return str(found.sha)


def commit_folder(api: HfApi, repository: str, place: Path, parent: str, message: str) -> str:
    """Return the commit that holds exactly ``place``: the last one if it does already, else a new one on ``parent``.

    Called again after a lost answer, it finds its own commit and adds none.

    Raises:
        PublishError: the last commit is neither ``parent`` nor this folder.
    """
    head, changed, stale = compare_files(api, repository, place)
    if not changed and not stale:
        return head
    if head != parent:
        raise PublishError(f"{repository}: somebody else committed {head} meanwhile; nothing of it was overwritten")
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, place / name) for name in changed),
        *(CommitOperationDelete(name) for name in stale),
    ]
    try:
        return api.create_commit(repository, operations, commit_message=message, parent_commit=parent).oid
    except ValueError:  # the client makes a commit at another Hub than HF_ENDPOINT, then cannot read its address
        head, changed, stale = compare_files(api, repository, place)
        if changed or stale:
            raise
        return head


def compare_files(api: HfApi, repository: str, place: Path) -> tuple[str, list[str], list[str]]:
    """Return the repository's last commit, the files of ``place`` it lacks, and those it has and ``place`` lacks."""
    head = str(api.model_info(repository).sha)
    held = list_files(api, repository, head)
    changed = [name for name in _names(place) if not _is_same(held.get(name), place / name)]
    return head, changed, sorted(held.keys() - set(_names(place)))


def list_files(api: HfApi, repository: str, revision: str) -> dict[str, RepoFile]:
    """Return what the Hub says of every file at ``revision`` but its own .gitattributes."""
    found = api.list_repo_tree(repository, recursive=True, revision=revision)
    return {one.path: one for one in found if isinstance(one, RepoFile) and one.path != ".gitattributes"}


def check_published(held: Mapping[str, RepoFile], place: Path, repository: str) -> None:
    """Hold what the Hub lists against what was sent: names, sizes and hashes.

    Raises:
        PublishError: names the first file that differs.
    """
    for name in sorted(held.keys() | set(_names(place))):
        if name not in held or not (place / name).is_file() or not _is_same(held[name], place / name):
            raise PublishError(f"{repository}: {name} is not what was sent; delete the commit and publish again")


def _names(place: Path) -> Iterable[str]:
    return [path.relative_to(place).as_posix() for path in sorted(place.rglob("*")) if path.is_file()]


def _is_same(held: RepoFile | None, path: Path) -> bool:
    """Compare by size and by the hash the Hub keeps: SHA-256 of large files, git's of small ones."""
    if held is None or held.size != path.stat().st_size:
        return False
    if held.lfs is not None:
        return held.lfs.sha256 == hash_file(path)
    content = path.read_bytes()
    return held.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _refuse_paths(folder: Path, name: str) -> None:
    """Refuse a configuration with an absolute path in it: that means nothing elsewhere, and says where we live."""
    if name.endswith(".toml"):
        found: Any = tomllib.loads((folder / name).read_text(encoding="utf-8"))
    elif name.endswith(".json") and name != TOKENIZER:  # its vocabulary may hold anything
        found = read_json(folder / name)
    else:
        return
    for key, value in _texts(found, ""):
        if _ABSOLUTE.fullmatch(value):
            raise ModelError(f"{folder}: {name}: {key.strip('.')} is {value}; expected no path of this machine")


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) for every text in a parsed file."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{key}.{name}")
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client from logging what it tries again: its lines carry signed addresses."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
