"""A server that can misbehave, and providers that talk to it."""

from __future__ import annotations

from tests.kits.stream.stream_kit import make, server

__all__ = ["make", "server"]
