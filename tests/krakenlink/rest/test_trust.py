"""One reading of the certificates for all connections, and the same servers refused as ever."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.ssl_
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

from krakenlink.errors import KrakenConnectionError
from krakenlink.rest import sockets, trust
from krakenlink.rest.transport import Timeouts, Transport
from tests.kits.chaos.chaos_kit import CERTIFICATE
from tests.kits.rest.rest_kit import LONG, Loopback, client_of, forever_ok, http, ok, read_request

# For `localhost`, made for these tests, and good on one day of the past alone.
EXPIRED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQMrSJriUiN6b7pL5
zlue/1hJlg2sCSxvyMsQ3X+fPi2hRANCAARah09mHrFDmYIKQyDqkpxF02ROS01t
88/Uu/nC7j3I5HVPPpaFufH3E3CLAGWvd1QlwC/gShL887tJJ5mYpjgY
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkjCCATmgAwIBAgIUcstbgg7+ZklVqlSimKP4K9z3KKUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MDEwMTAwMDAwMFoXDTI2MDEwMjAw
MDAwMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEWodPZh6xQ5mCCkMg6pKcRdNkTktNbfPP1Lv5wu49yOR1Tz6Whbnx9xNw
iwBlr3dUJcAv4EoS/PO7SSeZmKY4GKNpMGcwHQYDVR0OBBYEFCNOVcDfTEEJ1Gid
BuvpTQe7QiL+MB8GA1UdIwQYMBaAFCNOVcDfTEEJ1GidBuvpTQe7QiL+MBQGA1Ud
EQQNMAuCCWxvY2FsaG9zdDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cA
MEQCIBeCgmaCmT4QQpgnMJIat7t94LmSJnUPOfA0encAM2jcAiA0ea4Ae+s1IAte
Zpxd/EtsPRkikDS8PMQr5ju+2Zt45A==
-----END CERTIFICATE-----
"""
PATIENT = Timeouts(connect=LONG, read=LONG, read_order=LONG, retry_pauses=())


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing have been read, and nothing of the environment choose what is."""
    trust._context_of.cache_clear()
    for name in ("CURL_CA_BUNDLE", "SSLKEYLOGFILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hand out the file that tells whom to trust: whoever has the certificate for these tests."""
    file = tmp_path / "trusted.pem"
    file.write_text(CERTIFICATE, encoding="ascii")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    return file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hand out the files of certificates that have been read, in turn."""
    files: list[str] = []
    load = ssl.SSLContext.load_verify_locations

    def noted(self: ssl.SSLContext, cafile: str, *others: Any) -> None:
        files.append(cafile)
        load(self, cafile, *others)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", noted)
    return files


def is_kept() -> bool:
    """Tell whether there is a context for connections to share."""
    return trust._context_of.cache_info().currsize > 0


@contextmanager
def tls_server(
    folder: Path,
    certificate: str = CERTIFICATE,
    treat: Callable[[socket.socket], None] = forever_ok,
) -> Iterator[str]:
    """Run a server that speaks TLS, and hand out its address by name."""
    file = folder / f"server-{len(list(folder.iterdir()))}.pem"
    file.write_text(certificate, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols(["http/1.1"])

    def encrypted(sock: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(sock, server_side=True) as inner:
            treat(inner)

    with Loopback(encrypted) as server:
        yield f"https://localhost:{server.port}"


def ask(transport: Transport) -> int:
    """Return the status of a call over a connection that is made for it."""
    transport.drop_idle()
    return transport.get("Time", None).status


# --- once --------------------------------------------------------------------------------------


def test_all_connections_read_the_certificates_once(
    tmp_path: Path, trusted: Path, read: list[str]
) -> None:
    """One after another, of several clients, side by side, and after a close."""
    with tls_server(tmp_path) as url:
        clients = [Transport(url, PATIENT) for _ in range(3)]
        assert [ask(client) for client in clients * 2] == [200] * 6
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, clients * 8)) == {200}
        clients[0].close()
        assert ask(clients[0]) == 200
    assert read == [str(trusted)]


def test_order_whose_connection_is_gone_reads_nothing(
    tmp_path: Path, trusted: Path, read: list[str]
) -> None:
    """Between a crossing and its order stands a handshake, and no list of authorities."""
    asked: list[bytes] = []

    def answer_once(sock: socket.socket) -> None:
        asked.append(read_request(sock))
        sock.sendall(http(ok({"unixtime": 1_700_000_000}), extra="Connection: close\r\n"))

    with tls_server(tmp_path, treat=answer_once) as url:
        api = client_of(url, use_websocket=False)
        assert api.server_time() == 1_700_000_000
        before = len(read)
        for _ in range(3):
            assert api.add_order("XBTUSD", "market", "sell", "1") == {"unixtime": 1_700_000_000}
        api.close()
    assert (before, len(read)) == (1, 1)
    assert len(asked) == 4


def test_protocols_of_what_is_shared_are_set_once(
    tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To set them while another thread connects would free what that one reads."""
    told: list[list[str]] = []
    tell = ssl.SSLContext.set_alpn_protocols

    def noted(self: ssl.SSLContext, protocols: Any) -> None:
        told.append(list(protocols))
        tell(self, protocols)

    with tls_server(tmp_path) as url:
        monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", noted)
        transport = Transport(url, PATIENT)
        assert {ask(transport) for _ in range(4)} == {200}
    assert told == [["http/1.1"]]


def habits(context: ssl.SSLContext) -> tuple[Any, ...]:
    """Return all that a context asks of a server."""
    return (
        *(type(context), context.verify_mode, context.check_hostname, context.verify_flags),
        *(context.options, context.minimum_version, context.maximum_version),
        *(context.hostname_checks_common_name, context.post_handshake_auth),
        *(context.get_ciphers(), context.get_ca_certs(), context.keylog_filename),
    )


def test_what_is_shared_is_what_the_library_makes(
    tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions, checks, ciphers, authorities and protocols are those of a connection by itself."""

    def made() -> tuple[tuple[Any, ...], str | None]:
        kind = sockets.watched(HTTPSConnection)
        connection = kind("localhost", port, cert_reqs="CERT_REQUIRED", ca_certs=str(trusted))
        connection.connect()
        found = habits(connection.sock.context), connection.sock.selected_alpn_protocol()
        connection.close()
        return found

    with tls_server(tmp_path) as url:
        port = int(url.rpartition(":")[2])
        shared = made()
        assert is_kept()
        monkeypatch.setattr(sockets, "sharing", lambda _: nullcontext())
        assert made() == shared
    assert shared[1] == "http/1.1"


# --- and nobody else is trusted ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "host", "listed", "why"),
    [
        (EXPIRED, "localhost", CERTIFICATE, "self.signed"),
        (EXPIRED, "localhost", CERTIFICATE + EXPIRED, "expired"),
        (CERTIFICATE, "127.0.0.1", CERTIFICATE, "127.0.0.1"),
    ],
    ids=["unknown", "expired", "of another host"],
)
def test_bad_certificate_is_refused_by_what_is_shared(
    certificate: str, host: str, listed: str, why: str, tmp_path: Path, trusted: Path
) -> None:
    """And nothing is sent; whoever is trusted is trusted before and after."""
    trusted.write_text(listed, encoding="ascii")
    with tls_server(tmp_path) as good, tls_server(tmp_path, certificate) as bad:
        transport = Transport(good, PATIENT)
        assert ask(transport) == 200
        assert is_kept()
        refused = Transport(bad.replace("localhost", host), PATIENT)
        with pytest.raises(KrakenConnectionError, match=re.escape(str(trusted))) as caught:
            refused.post("/0/private/AddOrder", b"nonce=1", {}, is_order=True)
        assert not caught.value.request_sent
        assert ask(transport) == 200
        connection = sockets.watched(HTTPSConnection)(
            host, int(bad.rpartition(":")[2]), cert_reqs="CERT_REQUIRED", ca_certs=str(trusted)
        )
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            connection.connect()


# --- another file ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved in", "written over"])
def test_file_that_is_replaced_counts_with_the_next_connection(
    is_moved: bool, tmp_path: Path, trusted: Path, read: list[str]
) -> None:
    """Whoever is taken from it is trusted no more, and whoever is put back is."""

    def put(text: str) -> None:
        file = tmp_path / "new.pem" if is_moved else trusted
        file.write_text(text, encoding="ascii")
        if is_moved:
            file.replace(trusted)

    with tls_server(tmp_path) as url:
        transport = Transport(url, PATIENT)
        assert ask(transport) == 200
        put(f"{EXPIRED}\n")  # of another length, for clocks that are coarse
        with pytest.raises(KrakenConnectionError, match="names the certificates"):
            ask(transport)
        put(CERTIFICATE + EXPIRED)
        assert ask(transport) == 200
        assert ask(transport) == 200
    assert len(read) == 3


def test_file_that_breaks_and_is_mended_counts(tmp_path: Path, trusted: Path) -> None:
    """Nobody is trusted by a file that cannot be read, whatever was read before."""
    with tls_server(tmp_path) as url:
        transport = Transport(url, PATIENT)
        assert ask(transport) == 200
        trusted.write_text("no certificate", encoding="ascii")
        with pytest.raises(KrakenConnectionError, match="REQUESTS_CA_BUNDLE names"):
            ask(transport)
        trusted.unlink()
        with pytest.raises(KrakenConnectionError, match="which is not there"):
            ask(transport)
        trusted.write_text(CERTIFICATE, encoding="ascii")
        assert ask(transport) == 200


def test_server_that_is_not_there_is_told_before_a_file_that_is_broken(trusted: Path) -> None:
    """Nothing is told of a file that the library has not come to."""
    trusted.write_text("no certificate", encoding="ascii")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(KrakenConnectionError, match="cannot connect") as caught:
        ask(Transport(f"https://127.0.0.1:{port}", PATIENT))
    assert "REQUESTS_CA_BUNDLE" not in str(caught.value)


def test_refusal_has_the_file_read_anew(tmp_path: Path, trusted: Path, read: list[str]) -> None:
    """Where the file's stamp does not tell that somebody was added."""
    with tls_server(tmp_path, EXPIRED) as url:
        for _ in range(2):
            with pytest.raises(KrakenConnectionError):
                ask(Transport(url, PATIENT))
    assert read == [str(trusted)] * 2


def test_child_makes_its_own(
    tmp_path: Path, trusted: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is not there any more may have been in the middle of the parent's."""
    with tls_server(tmp_path) as url:
        transport = Transport(url, PATIENT)
        assert ask(transport) == 200
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert ask(transport) == 200
        assert ask(transport) == 200
    assert len(read) == 2


def test_keys_are_logged_from_when_it_is_asked_for(
    tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a context for each connection: the variable counts with the next one."""
    log = tmp_path / "keys"
    with tls_server(tmp_path) as url:
        transport = Transport(url, PATIENT)
        assert ask(transport) == 200
        monkeypatch.setenv("SSLKEYLOGFILE", str(log))
        assert ask(transport) == 200
    assert "SECRET" in log.read_text(encoding="ascii")


# --- what each connection does by itself -------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        {"cert_reqs": "CERT_NONE"},
        {"cert_file": "own.pem"},
        {"ca_cert_dir": "certs"},
        {"ca_cert_data": CERTIFICATE},
        {"assert_hostname": False},
        {"assert_fingerprint": "00" * 32},
        {"ssl_minimum_version": ssl.TLSVersion.TLSv1_3},
        {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
        {"proxy": parse_url("https://proxy")},
        {"ca_certs": None},
    ],
    ids=lambda choice: next(iter(choice)),
)
def test_other_choice_is_left_to_the_library(choice: dict[str, Any], trusted: Path) -> None:
    """What goes into a context beside the file is nobody else's."""
    told = {"cert_reqs": "CERT_REQUIRED", "ca_certs": str(trusted), **choice}
    connection = HTTPSConnection("localhost", **told)
    before = dict(vars(connection))
    with trust.sharing(connection):
        assert vars(connection) == before
    assert not is_kept()


def test_connection_is_as_it_was_once_it_stands_or_fails(trusted: Path) -> None:
    """It may be connected again, by another file's stamp; one without TLS is never touched."""
    connection = HTTPSConnection("localhost", cert_reqs="CERT_REQUIRED", ca_certs=str(trusted))
    before = dict(vars(connection))
    with suppress(OSError), trust.sharing(connection):
        assert connection.ca_certs is None
        assert connection.ssl_context is not None
        raise OSError
    assert vars(connection) == before
    plain = HTTPConnection("localhost")
    before = dict(vars(plain))
    with trust.sharing(plain):
        assert vars(plain) == before


def test_context_of_others_is_not_shared(
    tmp_path: Path, trusted: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As truststore's, which changes itself while it connects."""

    class Judge(ssl.SSLContext):
        pass

    monkeypatch.setattr(urllib3.util.ssl_, "SSLContext", Judge)
    with tls_server(tmp_path) as url:
        transport = Transport(url, PATIENT)
        assert {ask(transport) for _ in range(2)} == {200}
    assert read == [str(trusted)] * 2


def test_proxy_over_tls_is_checked_by_the_same_file(
    tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that only the file vouches for is spoken to, and one that it does not is not."""
    asked: list[bytes] = []

    def refuse(sock: socket.socket) -> None:
        asked.append(read_request(sock))
        sock.sendall(http("", "407 Proxy Authentication Required"))

    for certificate, words in ((CERTIFICATE, "407"), (EXPIRED, "certificate")):
        with tls_server(tmp_path) as url, tls_server(tmp_path, certificate, refuse) as proxy:
            assert ask(Transport(url, PATIENT)) == 200
            with monkeypatch.context() as patch:
                patch.setenv("HTTPS_PROXY", proxy)
                with pytest.raises(KrakenConnectionError, match=words):
                    ask(Transport("https://exchange.invalid", PATIENT))
    assert [request.split()[:2] for request in asked] == [[b"CONNECT", b"exchange.invalid:443"]]
