"""All that speaks with Kraken: `rest` asks and orders, `stream` listens.

Imported through the doors `kraken_api` and `ws_price_provider`. This file imports nothing of ours:
REST alone must stay quick to load.
"""

import logging

VERSION = "1.0.0"
"""Of everything here; packaging reads it, and whoever speaks to a server tells it."""

# The one handler of every logger in here: a library says nothing unless its caller wants it said.
logging.getLogger(__name__).addHandler(logging.NullHandler())
