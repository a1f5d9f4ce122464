"""A pull request that changes nothing but the pinned adapter. The checkout is left alone; nothing reaches the base."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from ..config import load_settings
from ..errors import ConfigError
from ..git import GitError, Repository
from .client import ApiError, GitHub
from .issue import cut_text

LONGEST_BODY = 60_000
_TABLE = "adapter"
_VALUE = re.compile(r"""^(\s*(?:repository|revision|sha256)\s*=\s*)("[^"\n]*"|'[^'\n]*')""")


def propose(
    github: GitHub, repository: Repository, path: Path, branch: str, base: str, title: str, body: str
) -> str | None:
    """Push ``path`` as it is here, on top of the remote's ``base``, to ``branch``, and open a pull request.

    ``branch`` belongs to this verb: what it held before is replaced, and its open pull request gets the new text.

    Returns:
        The address of the pull request; None when the remote's base has the same file already.

    Raises:
        ConfigError: the file differs from the base's in more than the values of [adapter], or is no
            valid settings file.
        GitError: the remote cannot be read or will not take the branch.
        ApiError: the pull request cannot be opened; names the page on which a person can.
    """
    check_branch(repository, branch, base)
    load_settings(path)
    name = path.resolve().relative_to(repository.root.resolve()).as_posix()
    tip = repository.fetch(base)
    if name not in repository.list_blobs(tip, name):
        raise ConfigError(f"{path}: {base} has no such file")
    theirs, ours = repository.read_blob(tip, name), path.read_bytes()
    if theirs == ours:
        return None
    check_change(theirs, ours, str(path))
    blobs = repository.hash_files(repository.root, [name])
    repository.push(repository.write_commit(tip, blobs, f"{title}\n"), branch, force=True)
    return _open_or_update(github, branch, base, title, cut_text(body, LONGEST_BODY))


def check_branch(repository: Repository, branch: str, base: str) -> None:
    """Refuse a name that git does not take for a branch, and a ``branch`` that is the ``base``. Raises ConfigError."""
    for option, name in (("--branch", branch), ("--base", base)):
        try:
            repository.run("check-ref-format", f"refs/heads/{name}")
        except GitError as error:
            raise ConfigError(f"{option} {name}: not the name of a branch") from error
    if branch == base:
        raise ConfigError(f"--branch {branch}: is the base itself; expected a branch for the pull request")


def check_change(theirs: bytes, ours: bytes, where: str) -> None:
    """Do nothing if two settings files differ in nothing but the values of [adapter]: repository, revision, sha256.

    Both what the files mean and every other letter of them is compared.

    Raises:
        ConfigError: they differ in more, or one is not TOML.
    """
    before, after = (_read_rest(content, where) for content in (theirs, ours))
    if before != after:
        keys = ", ".join(sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)))
        raise ConfigError(f"{where}: differs from the base in {keys}; expected a change of [{_TABLE}] alone")
    old, new = (_blank_values(content.decode()) for content in (theirs, ours))
    for number, (line, other) in enumerate(zip(old, new, strict=False), start=1):
        if line != other:
            raise ConfigError(f"{where}:{number}: differs from the base; expected a change of [{_TABLE}] alone")
    if len(old) != len(new):
        raise ConfigError(f"{where}: {len(new)} lines, {len(old)} in the base; expected a change of [{_TABLE}] alone")


def _read_rest(content: bytes, where: str) -> dict[str, Any]:
    """Return all that a settings file says outside [adapter]."""
    try:
        found = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not valid TOML, here or in the base: {error}") from error
    return {key: value for key, value in found.items() if key != _TABLE}


def _blank_values(text: str) -> list[str]:
    """Return the lines of ``text`` with the values that may change left out."""
    lines, is_inside = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("["):
            is_inside = line.split("#")[0].strip() == f"[{_TABLE}]"
        lines.append(_VALUE.sub(r"\1", line) if is_inside else line)
    return lines


def _open_or_update(github: GitHub, branch: str, base: str, title: str, body: str) -> str:
    def find() -> dict[str, Any] | None:
        head = f"{github.context.owner}:{branch}"
        return next(github.list_items("/pulls", state="open", head=head, base=base), None)

    try:
        if found := find():
            github.change("PATCH", f"/pulls/{found['number']}", {"title": title, "body": body})
        else:
            found = github.create("/pulls", {"title": title, "head": branch, "base": base, "body": body}, find)
    except ApiError as error:
        page = f"{github.context.home_url}/compare/{base}...{branch}"
        raise ApiError(f"{error}; the branch is pushed, open the pull request at {page}", error.status) from error
    return f"{github.context.home_url}/pull/{found.get('number')}"
