"""python -m training publish: a folder to the Hub with whichever token may write there, and what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import HfApi

from .hub_login import Login, log_in, mask_token
from .outputs import append_output, check_target
from .patience import Patience, PublishError, read_fault
from .publish import publish_run


def run(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    """Publish as ``options`` say and print the commit."""
    check_target("--revision-file", options.revision_file)
    revision = publish(options.folder, options.repository, options.private, environment, print)
    append_output(options.revision_file, "revision", revision)
    print(f"published: {options.repository} at {revision}")
    print(f"pin it if it is better: python -m training promote {options.repository} --revision {revision}")


def publish(
    folder: Path,
    repository: str,
    private: bool,
    environment: Mapping[str, str],
    say: Callable[[str], None],
    patience: Patience | None = None,
) -> str:
    """Upload ``folder`` and return the commit, 40 hex digits; ``say`` is told by which token.

    An exchanged token that expires on the way is renewed once: what was sent by then is not sent again.

    Raises:
        PipelineError: see :func:`publish_run` and :func:`log_in`.
    """
    for is_last in (False, True):
        login = log_in(repository, environment, HfApi().endpoint)
        for line in _describe(login, environment):
            say(line)
        try:
            return publish_run(
                folder, repository, private, None, login.token, patience, may_create=not login.is_exchanged
            )
        except PublishError as error:
            if is_last or not login.is_exchanged or not _is_expired(error):
                raise
            say("the token is no longer good; asking for another")
    raise AssertionError("the last try returns or raises")


def _describe(login: Login, environment: Mapping[str, str]) -> list[str]:
    note = f"warning: {login.note}; using HF_TOKEN instead" if login.note else ""
    return [line for line in (mask_token(login, environment), note, f"signed in with {login.way}") if line]


def _is_expired(error: PublishError) -> bool:
    return error.__cause__ is not None and read_fault(error.__cause__).status == 401
