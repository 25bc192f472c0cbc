"""Prices of one connection for many readers, over a broker, with a proof of life of their own."""
