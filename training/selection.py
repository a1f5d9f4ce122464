"""Many unlabelled texts and a source's own -> those of the many that read most like the source. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from pipeline.text import fold_tokens

_NUMBER = re.compile(r"\d[\d.,]*")


def choose_alike(texts: Sequence[str], source: Sequence[str], count: int) -> list[str]:
    """Return the ``count`` of ``texts`` most like ``source``, the most alike first, fewer if there are fewer.

    A text's mark is the mean over its words of log p(word | source) - log p(word | texts): the difference of
    cross-entropies of Moore and Lewis 2010, with unigrams, those of the source mixed half and half with those of the
    texts. Case, accents and punctuation do not count, numbers are masked; of texts that are then equal the first stays,
    one without a word goes.
    """
    words = {text: tuple(fold_tokens(_NUMBER.sub("0", text))) for text in texts}
    first = {found: text for text, found in reversed(words.items()) if found}
    wide = Counter(word for found in words.values() for word in found)
    near = Counter(word for text in source for word in fold_tokens(_NUMBER.sub("0", text)) if word in wide)
    ratio = wide.total() / max(1, near.total())
    weights = {word: math.log((near[word] / seen * ratio + 1) / 2) for word, seen in wide.items()}
    marks = {text: sum(weights[word] for word in found) / len(found) for found, text in first.items()}
    return sorted((text for text in words if text in marks), key=marks.__getitem__, reverse=True)[:count]
