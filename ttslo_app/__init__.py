"""The program: `rules` read rows, `watch` sees crossings, `orders` places, `run` runs."""

import logging

# The one handler of every logger in here: callers who use a part of it hear what they want to.
logging.getLogger(__name__).addHandler(logging.NullHandler())
