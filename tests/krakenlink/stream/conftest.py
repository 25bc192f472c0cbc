"""A server that can misbehave, and providers that talk to it."""

from __future__ import annotations

from stream_kit import make, server

__all__ = ["make", "server"]
