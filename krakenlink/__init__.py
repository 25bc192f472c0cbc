"""All that speaks with Kraken: `rest` asks and orders, `stream` listens.

Imported through the doors `kraken_api` and `ws_price_provider`. This file imports nothing: REST
alone must stay quick to load.
"""
