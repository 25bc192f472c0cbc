"""Kraken's WebSocket v2: the protocol of the feed, and the connection that carries it."""
