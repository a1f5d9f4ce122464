"""What a killed backfill leaves of sessions that it did not seal, and its removal."""

from __future__ import annotations

from .files import list_dated
from .schema import FEATURE_TABLE, HEADLINE_TABLE, LINE_TABLE, MANIFEST_PATH
from .store import FeatureStore
from .tables import to_frame


def remove_leftovers(store: FeatureStore) -> None:
    """Remove the files of sessions that are not sealed, for the next backfill may not come as far.

    To be called under the store's lock and after backfill.list_pending, which refuses a store whose open sessions hold
    evidence of the daily line. Sealed sessions and what belongs to their restatements stay.
    """
    if not (store.root / MANIFEST_PATH).exists():
        return
    sealed = store.sealed_dates()
    for table in (FEATURE_TABLE, LINE_TABLE):
        for (day, _), path in list_dated(store.root, table).items():
            if day not in sealed:
                path.unlink()
    store.replace_open_headlines(to_frame(HEADLINE_TABLE, []))
    store.create()  # a kill just before the manifest leaves a datapackage.json that is ahead of it
