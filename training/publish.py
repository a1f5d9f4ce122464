"""A run folder, or an exported model folder -> one commit in a Hub repository. The only place that writes to the Hub.

Of a run a sealed copy with its card is uploaded, and the folder itself stays as it was. A model folder has its card and
its seal already and is uploaded byte by byte. An upload is one commit, so it is there whole or not at all, and may be
tried again.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import logging

from pipeline.hub import REPOSITORY
from pipeline.model_folder import PROVENANCE, hash_file, write_provenance

from .card import write_card
from .patience import Patience, PublishError
from .publishable import check_model, check_run, is_exported, list_published


def publish_run(
    folder: Path,
    repository: str,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
    patience: Patience | None = None,
    may_create: bool = True,
) -> str:
    """Upload ``folder`` (a run's without its predictions) to ``repository`` (OWNER/NAME) in one commit, and check it.

    Returns the commit, 40 hex digits: the last one where the repository holds this very folder already. The repository
    is made if it is missing and the token may; what it held of an earlier run and this one lacks is
    removed by the same commit.
    ``token`` None takes HF_TOKEN or that of `hf auth login`; ``endpoint`` None the client's own Hub. ``may_create``
    False is for a token that cannot make repositories: the repository must be there.

    Raises:
        ModelError: the folder is unfinished, damaged, unsafe or mislabelled, or names a path of this machine.
        PublishError: the Hub refuses, cannot be reached, or somebody else commits meanwhile.
    """
    if not REPOSITORY.fullmatch(repository):
        raise PublishError(f"{repository}: expected a Hub repository OWNER/NAME")
    provenance = check_model(folder) if is_exported(folder) else check_run(folder)
    if not (token or get_token()):
        raise PublishError(f"{repository}: no token; set HF_TOKEN to one that may write, or run `hf auth login`")
    persist = (patience or Patience()).persist
    api = HfApi(endpoint=endpoint, token=token)
    with tempfile.TemporaryDirectory() as name, _quiet():
        place = Path(name)
        if is_exported(folder):
            copy_files(folder, place, (*provenance["files"], PROVENANCE))
        else:
            copy_run(folder, place, provenance, repository)
        parent = persist(repository, lambda: open_repository(api, repository, private, may_create))
        message = f"Publish {provenance['recipe']}, seed {provenance['seed']}"
        revision = persist(repository, lambda: commit_folder(api, repository, place, parent, message))
        check_published(persist(repository, lambda: list_files(api, repository, revision)), place, repository)
    return revision


def copy_run(folder: Path, place: Path, provenance: Mapping[str, Any], repository: str) -> None:
    """Copy what is published into ``place``, write its card, and seal it anew."""
    copy_files(folder, place, list_published(folder, provenance))
    write_provenance(place, provenance)
    write_card(place, repository)
    write_provenance(place, provenance)


def copy_files(folder: Path, place: Path, names: Iterable[str]) -> None:
    """Copy the files called ``names`` from ``folder`` into ``place``."""
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, place / name)


def open_repository(api: HfApi, repository: str, private: bool, may_create: bool = True) -> str:
    """Return the repository's last commit; make the repository if it is missing.

    Raises:
        PublishError: it is to be private and is public, or it is missing and the token cannot make it.
    """
    try:
        found = api.model_info(repository)
    except RepositoryNotFoundError as error:
        if not may_create:
            raise PublishError(
                f"{repository}: not found by a token of trusted publishing, which makes none; make it on the Hub first"
            ) from error
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client from logging what it tries again: its lines carry signed addresses."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
