"""A server that can misbehave, and providers that talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stream_kit import Make, Server, making, serving


@pytest.fixture
def server() -> Iterator[Server]:
    """Hand out a server that behaves like Kraken until told otherwise."""
    with serving() as made:
        yield made


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Hand out a maker of providers for `server`; they are stopped at the end."""
    with making(server) as build:
        yield build
