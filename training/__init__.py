"""The training line: data -> splits -> model -> train -> evaluate -> publish -> promote."""

import logging

# Without a GPU, bitsandbytes warns on import of an optional kernel that it does without.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
