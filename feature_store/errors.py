"""The one error of the reader."""

from __future__ import annotations


class FeatureStoreError(ValueError):
    """A store, a request or a frame is not as it must be.

    The message is one line that names the file, URL, column or ticker, what was found and what was expected.
    """
