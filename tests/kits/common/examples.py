"""How many examples a property is tried with: as many as find what is wrong, in a moment.

They are the same in every run, so trying them often proves nothing more. `TTSLO_EXAMPLES=50` tries
fifty times as many, with other ones among them: for the night, and for who has changed a model.
With `0.2` it is a fifth of them.
"""

import os

FACTOR = float(os.environ.get("TTSLO_EXAMPLES", "1"))
USUAL = 60


def many(count: int = USUAL) -> int:
    """Return how many examples to try where `count` are tried usually."""
    return max(1, round(count * FACTOR))
