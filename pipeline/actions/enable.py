"""Workflows that are switched on again: GitHub switches schedules off after 60 days without a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import ConfigError
from .client import ApiError, GitHub

_FILE = re.compile(r"[\w-][\w.-]*\.ya?ml", re.ASCII)


def enable_workflows(github: GitHub, files: Sequence[str]) -> Iterator[str]:
    """Switch each workflow on, whether it was off or not; yield a line for each.

    ``files`` are file names below .github/workflows. One that fails keeps none of the others from being switched on.

    Raises:
        ConfigError: a name is no workflow's.
        ApiError: names every workflow that could not be switched on.
    """
    for file in files:
        if not _FILE.fullmatch(file):
            raise ConfigError(f"{file}: expected the name of a workflow's file, such as daily.yml")
    faults = []
    for file in files:
        try:
            github.change("PUT", f"/actions/workflows/{file}/enable")
            yield f"enabled {file}"
        except ApiError as error:
            faults.append(f"{file}: {error}")
    if faults:
        raise ApiError("; ".join(faults))
