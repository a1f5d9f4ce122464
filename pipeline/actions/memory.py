"""What an issue remembers from one run to the next, in a comment on its first line that is not shown. Pure.

<!-- financial-sentiment-llm:alert daily runs=3 first=17 latest=21.1 told=2026-11-20 what=0a1b2c3d jobs=run -->
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

MARK = "financial-sentiment-llm:alert"
_TITLE = re.compile(r"[a-z][a-z0-9]{0,30}(-[a-z0-9]{1,30}){0,3}")


@dataclass(frozen=True, slots=True)
class Memory:
    """What an issue remembers of the failures so far.

    ``run_count`` failed runs, the ``first`` and the ``latest`` of them (``RUN.ATTEMPT``), the day on which the last
    comment was made, a digest of what failed, and the keys of the jobs that failed.
    """

    run_count: int
    first: int
    latest: str
    told: date
    digest: str
    jobs: tuple[str, ...]


def is_title(text: str) -> bool:
    """Tell whether ``text`` can name a workflow in an issue."""
    return bool(_TITLE.fullmatch(text))


def read_memory(body: str) -> Memory | None:
    """Return what the first line of an issue remembers; None where that has been damaged."""
    line = body.split("\n")[0].strip()
    match = _MEMORY.fullmatch(line)
    if match is None:
        return None
    try:
        told = date.fromisoformat(match["told"])
    except ValueError:
        return None
    jobs = tuple(job for job in match["jobs"].split(",") if job)
    return Memory(int(match["runs"]), int(match["first"]), match["latest"], told, match["what"], jobs)


def remember(memory: Memory | None, run: tuple[int, int], failed: Sequence[str], digest: str, today: date) -> Memory:
    """Return the memory after one more failed ``run``, its number and attempt, of the jobs ``failed``.

    An attempt that is known already is not counted again.
    """
    latest = f"{run[0]}.{run[1]}"
    if memory is None:
        return Memory(1, run[0], latest, today, digest, tuple(failed))
    is_news = digest != memory.digest or today != memory.told
    return replace(
        memory,
        run_count=memory.run_count + (latest != memory.latest),
        latest=latest,
        told=today if is_news else memory.told,
        digest=digest,
        jobs=tuple(dict.fromkeys((*memory.jobs, *failed))),
    )


def format_memory(title: str, memory: Memory) -> str:
    """Return the first line of the issue about ``title``."""
    return (
        f"<!-- {MARK} {title} runs={memory.run_count} first={memory.first} latest={memory.latest} "
        f"told={memory.told} what={memory.digest} jobs={','.join(memory.jobs)} -->"
    )


_MEMORY = re.compile(
    rf"<!-- {MARK} {_TITLE.pattern} runs=(?P<runs>\d{{1,9}}) first=(?P<first>\d{{1,18}}) "
    r"latest=(?P<latest>\d{1,18}\.\d{1,9}) told=(?P<told>\d{4}-\d\d-\d\d) what=(?P<what>[0-9a-f]{8}) "
    r"jobs=(?P<jobs>[\w,-]{0,2000}) -->",
    re.ASCII,
)
