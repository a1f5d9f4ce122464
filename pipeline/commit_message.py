"""What a commit of the store says: sessions, counts, model revision. Dates, numbers and hex digits only. Pure.

No text of a feed gets in here: a commit message is read by programs that nobody thinks of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from .manifest import Entries, Key
from .merge import Merge


def compose_message(sealed: Entries, captured: Mapping[date, int], pruned: int = 0, merge: Merge | None = None) -> str:
    """Return the message of a commit.

    ``sealed`` are the new lines of the manifest, ``captured`` the open sessions whose evidence changed with how many
    rows were added, ``pruned`` the number of evidence files that went to an archive, ``merge`` what became of a run
    that others had overtaken.
    """
    lines = [
        *(_describe_sealed(key, entry) for key, entry in sealed.items()),
        *(f"{day}: open, {count:+,} headline rows" for day, count in sorted(captured.items())),
        *([f"evidence files moved to an archive: {pruned:,}"] if pruned else []),
        *(_describe_merge(merge) if merge else []),
    ]
    subject = _choose_subject(list(sealed), captured, pruned)
    return "\n".join([subject, "", *lines]) + "\n" if lines else f"{subject}\n"


def _choose_subject(sealed: Sequence[Key], captured: Mapping[date, int], pruned: int) -> str:
    first = [day for day, revision in sealed if revision == 1]
    if first:
        return f"Seal {_range(first)}"
    if sealed:
        return f"Restate {_range([day for day, _ in sealed])}"
    if captured:
        return f"Capture {sum(captured.values()):,} headline rows for {_range(sorted(captured))}"
    return "Prune evidence" if pruned else "Note how the feeds answered"


def _range(days: Sequence[date]) -> str:
    return f"{min(days)}" if len(set(days)) == 1 else f"{min(days)} to {max(days)}"


def _describe_sealed(key: Key, entry: Mapping[str, str]) -> str:
    day, revision = key
    state = entry["state"] if revision == 1 else f"revision {revision}"
    return (
        f"{day}: {state}, {int(entry['rows']):,} rows, {int(entry['headline_rows']):,} headline rows, "
        f"model {entry['model_revision']}, {entry['feeds_ok']} feeds answered, {entry['feeds_failed']} did not"
    )


def _describe_merge(merge: Merge) -> list[str]:
    lines = [f"Merged with what others had published meanwhile; headline rows added: {merge.row_count:,}."]
    if merge.refused:
        days = ", ".join(str(day) for day, _ in merge.refused)
        lines.append(f"Not taken, since others were first or it rests on what they changed: our sealing of {days}.")
    return lines
