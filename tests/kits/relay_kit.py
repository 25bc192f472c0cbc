"""A real redis-server on a free port, a relay in this process, and readers of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from krakenlink.relay.broker import Broker
from krakenlink.relay.hub import Line
from krakenlink.relay.server import RelayServer
from krakenlink.stream.settings import DEFAULT_SETTINGS
from ttslo_app.run.relay import providers_of

LONG = 60.0  # seconds that nothing here takes unless it is broken


class RedisServer:
    """One broker, which can be ended and started again on its port."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            pytest.skip(
                "needs redis-server or valkey-server (Debian: apt-get install redis-server)"
            )
        pytest.importorskip("redis", reason="needs the package redis: the extra `relay`")
        self._program, self._folder = found, folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        flags = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self.process = subprocess.Popen(
            [self._program, *flags, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=LONG) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(LONG)

    def url(self, *names: str) -> str:
        """Return the address of relays of these names."""
        return f"redis://127.0.0.1:{self.port}/{','.join(names)}"


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until `is_so`, and fail where it never is."""
    ends_at = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < ends_at, "it has not come"
        time.sleep(0.01)


@contextmanager
def relay(url: str, stream_url: str) -> Iterator[RelayServer]:
    """Run a relay in this process, from the stream at `stream_url`."""
    server = RelayServer(Broker(url, LONG), DEFAULT_SETTINGS)
    providers = providers_of(server, stream_url)
    providers[Line.PRICES].connect()
    thread = threading.Thread(target=server.run, args=(providers,), name="ttslo-relay-test")
    thread.start()
    try:
        wait_until(lambda: server.standing.proven_at is not None)
        yield server
    finally:
        server.stop()
        thread.join(LONG)
        for provider in providers.values():
            provider.stop()
