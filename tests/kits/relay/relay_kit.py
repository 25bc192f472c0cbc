"""A real redis-server on a free port, a relay in this process, and readers of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from krakenlink.relay.broker import Broker
from krakenlink.relay.hub import Line
from krakenlink.relay.server import RelayServer
from krakenlink.stream.settings import DEFAULT_SETTINGS, FeedSettings
from tests.kits.common.ports import kept_ports
from ttslo_app.commands.relay import providers_of

LONG = 60.0  # seconds that nothing here takes unless it is broken


BROKERS = ("redis-server", "valkey-server")


class RedisServer:
    """One broker, which can be ended and started again on its port.

    Args:
        folder: Where it may write.
        program: One of `BROKERS`; a test that needs one that is not there is skipped.
        lines: More of its configuration.
        certificate: With its key: then it speaks TLS alone, as `localhost`.
    """

    def __init__(
        self,
        folder: Path,
        program: str,
        lines: Sequence[str] = (),
        certificate: Path | None = None,
    ) -> None:
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"needs {program} (Debian: apt-get install {program})")
        pytest.importorskip("redis", reason="needs the package redis: the extra `relay`")
        self._program, self._folder, self._certificate = found, folder, certificate
        (self.port,) = kept_ports(1)
        told = [f"port {self.port}", 'save ""', "appendonly no", f"dir {folder}", *lines]
        if certificate is not None:
            told[0] = f"port 0\ntls-port {self.port}\ntls-auth-clients no"
            told += [f"tls-cert-file {certificate}", f"tls-key-file {certificate}"]
        self._settings = folder / "broker.conf"
        self._settings.write_text("\n".join(["bind 127.0.0.1", *told]) + "\n", encoding="utf-8")
        self.start()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        log = self._folder / "broker.log"
        with log.open("wb") as told:
            self.process = subprocess.Popen([self._program, str(self._settings)], stdout=told)
        wait_until(lambda: self.process.poll() is not None or self._answers())
        if self.process.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace")
            if self._certificate is not None and "TLS support" in said:
                pytest.skip(f"this {Path(self._program).name} was built without TLS")
            pytest.fail(f"the broker has ended: {said[-500:]}")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=LONG) as sock:
                if self._certificate is not None:
                    return True
                sock.sendall(b"PING\r\n")
                return sock.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
        except OSError:
            return False

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(LONG)

    def url(self, *names: str, host: str = "localhost") -> str:
        """Return the address of relays of these names."""
        if self._certificate is not None:
            return f"rediss://{host}:{self.port}/{','.join(names)}"
        return f"redis://127.0.0.1:{self.port}/{','.join(names)}"


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until `is_so`, and fail where it never is."""
    ends_at = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < ends_at, "it has not come"
        time.sleep(0.01)


# As a relay has them, and for tests in which silence is not the matter: a busy machine, on which
# nothing comes for seconds, must not look dead.
SETTINGS = replace(DEFAULT_SETTINGS, pool_most=1, gather_for=0.0)
PATIENT = replace(
    SETTINGS,
    ping_after=50 * LONG,
    dead_after=100 * LONG,
    mute_after=LONG,
    lag_check_every=100 * LONG,
    connect_timeout=LONG,
    connect_patience=LONG,
)


@contextmanager
def relay(url: str, stream_url: str, settings: FeedSettings = SETTINGS) -> Iterator[RelayServer]:
    """Run a relay in this process, from the stream at `stream_url`."""
    server = RelayServer(Broker(url, LONG), settings)
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
