"""Requests over a connection that stands: what leaves, what is read, and what becomes of both."""

import gzip
import select
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import LifoQueue, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
import responses
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ClosedPoolError

import krakenlink.rest.kept
from kraken_api import KrakenAPI
from krakenlink.errors import (
    ArgumentError,
    KrakenConnectionError,
    KrakenTimeout,
    KrakenTransportError,
    ProtocolError,
    RateLimitError,
)
from krakenlink.rest import sockets
from krakenlink.rest.kept import Messages, exchanged, unpacked
from krakenlink.rest.sockets import watched
from krakenlink.rest.transport import _OneServer
from krakenlink.sockets import MOST_BYTES, NEVER, Call, TooLong
from tests.kits.common.interrupt_kit import at_each_instant
from tests.kits.rest.rest_kit import (
    LONG,
    Loopback,
    answer_never,
    client_of,
    forever_ok,
    http,
    ok,
    read_request,
    refusal,
    reset,
)

TIME = ok({"unixtime": 1_700_000_000})
PLACED = ok({"txid": ["OABC"]})
Treat = Callable[[socket.socket], object]


@contextmanager
def warm(second: Treat, read: float = LONG) -> Iterator[tuple[KrakenAPI, Loopback, list[bytes]]]:
    """Yield a client whose connection stands, its server, and the requests that came.

    Each connection's first request is answered well, and what comes then meets `second`.
    """
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        asked.append(read_request(sock))
        sock.sendall(http(TIME))
        second(sock)

    with Loopback(treat) as server, client_of(server.url, LONG, read) as api:
        api.warm_up()
        yield api, server, asked


@contextmanager
def listening() -> Iterator[tuple[KrakenAPI, Loopback, list[bytes]]]:
    """Yield a client, its server, which answers all alike, and the requests as they come."""
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request)
            sock.sendall(http(TIME))

    with Loopback(treat) as server, client_of(server.url, LONG, LONG) as api:
        yield api, server, asked


def order(api: KrakenAPI) -> dict[str, Any]:
    """Place an order."""
    return api.add_order("XBTUSD", "market", "sell", "1")


def failed(second: Treat, read: float = LONG) -> KrakenTransportError:
    """Return what becomes of an order over a connection that stands, whose server does `second`."""
    with warm(second, read) as (api, server, _):
        with pytest.raises(KrakenTransportError) as caught:
            order(api)
        assert server.connections == 1  # nothing was sent a second time
        server.wait_closed(0)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        api.warm_up()  # over a new one
        assert server.connections == 2
    return caught.value


def answering(*answers: bytes) -> Treat:
    """Return a server that gives one answer after the other."""

    def treat(sock: socket.socket) -> None:
        for answer in answers:
            if not read_request(sock):
                return
            sock.sendall(answer)
        sock.recv(1)

    return treat


# --- what leaves ---------------------------------------------------------------------------------


def test_request_says_the_same_as_the_first_one() -> None:
    """Over the connection that stands go the lines that the libraries wrote, and the body."""
    with listening() as (api, server, asked):
        for _ in range(2):
            api.server_time()
        for _ in range(2):
            api._private("Balance", {"asset": "a b"})
        assert server.connections == 1
    first, second, third, fourth = (lines_of(request) for request in asked)
    assert first == second
    assert first[0] == b"GET /0/public/Time HTTP/1.1"
    assert third[0] == b"POST /0/private/Balance HTTP/1.1"
    names = [line.partition(b":")[0] for line in third[1:-1]]
    assert names.count(b"API-Key") == names.count(b"API-Sign") == names.count(b"Host") == 1
    assert {line.partition(b":")[0] for line in first[1:-1]} < set(names)
    assert f"Content-Length: {len(third[-1])}".encode() in third
    assert len(fourth) == len(third)


def lines_of(request: bytes) -> list[bytes]:
    """Return the first line, the headers in order of their names, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    return [first, *sorted(headers), body]


def test_server_below_a_path_is_asked_below_it() -> None:
    """The address of the server may have a path of its own."""
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request.partition(b" HTTP")[0])
            sock.sendall(http(TIME))

    with Loopback(treat) as server, client_of(f"{server.url}/kraken", LONG, LONG) as api:
        api.server_time()
        api.server_time()
    assert asked == [b"GET /kraken/0/public/Time"] * 2


@pytest.mark.parametrize(
    ("root", "host"),
    [
        ("https://api.kraken.com", b"api.kraken.com"),
        ("http://[::1]:8080", b"[::1]:8080"),
        ("https://b\u00fccher.example:8443/x", b"xn--bcher-kva.example:8443"),
    ],
)
def test_host_is_named_as_the_wire_wants_it(root: str, host: bytes) -> None:
    """With its port, and in ASCII."""
    message = Messages(root, {"A": "b"}).of("GET", "/0/public/Time", None, {})
    assert message is not None
    assert message.split(b"\r\n")[1:] == [b"Host: " + host, b"A: b", b"", b""]


@pytest.mark.parametrize("path", ["/0/public/A b", "/a\r\nX: y", "/\u00fc", "/a\x00", "/a\n", "a"])
def test_line_that_could_say_more_than_a_path_is_not_written(path: str) -> None:
    """Whoever hands in such a name adds no header with it."""
    assert Messages("http://127.0.0.1", {}).of("GET", path, None, {}) is None


def test_name_that_could_add_a_header_adds_none_on_a_connection_that_stands() -> None:
    """It is left to the libraries, which quote or leave out what cannot stand there."""
    with listening() as (api, _, asked):
        api.warm_up()
        api._query_private("Balance\r\nX-Evil: 1", {})
    first, *headers = asked[1].split(b"\r\n")
    assert first.startswith(b"POST /0/private/Balance")
    assert not any(header.startswith(b"X-Evil") for header in headers)


# --- what comes back -----------------------------------------------------------------------------

_BODY = PLACED.encode()
READ = {
    "plain": http(PLACED),
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (_BODY[:9], _BODY[9:]))
    + b"0\r\n\r\n",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(gzip.compress(_BODY)), gzip.compress(_BODY)),
    "after a word in between": b"HTTP/1.1 100 Continue\r\n\r\n" + http(PLACED),
    "after an early word": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(PLACED),
    "after several": b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + http(PLACED),
    "with one length said twice": http(PLACED, extra=f"Content-Length: {len(PLACED)}\r\n"),
}


def test_early_word_to_the_first_request_is_not_its_answer() -> None:
    """The libraries read it, and would leave the answer proper to the next order."""
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(PLACED)

    def treat(sock: socket.socket) -> None:
        answering(early, early)(sock)

    with Loopback(treat) as server, client_of(server.url, LONG, LONG) as api:
        assert order(api) == order(api) == {"txid": ["OABC"]}
        assert server.connections == 1


@pytest.mark.parametrize("answer", READ.values(), ids=READ)
def test_answer_is_read_and_the_connection_kept(answer: bytes) -> None:
    """However its end is told, the next call goes over the same connection."""
    with warm(answering(answer, answer)) as (api, server, _):
        assert order(api) == order(api) == {"txid": ["OABC"]}
        assert server.connections == 1


def test_last_answer_of_a_connection_is_read_and_the_next_call_opens_another() -> None:
    """A server may say that it closes, or just close where the answer has no other end."""
    with warm(answering(http(PLACED, extra="Connection: close\r\n"))) as (api, server, _):
        assert order(api) == {"txid": ["OABC"]}
        server.wait_closed(0)
        api.warm_up()
        assert server.connections == 2

    def until_the_end(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + _BODY)
        sock.shutdown(socket.SHUT_WR)

    with warm(until_the_end) as (api, server, _):
        assert order(api) == {"txid": ["OABC"]}
        server.wait_closed(0)


def test_refusal_and_its_wish_are_heard() -> None:
    """Headers count as they do for the first answer, whatever case they are written in."""
    busy = http(refusal("EAPI:Rate limit exceeded"), "429 Too Many", "RETRY-AFTER: 30\r\n")
    with warm(answering(busy)) as (api, _, _):
        with pytest.raises(RateLimitError) as caught:
            order(api)
        assert caught.value.retry_after == 30.0
        with pytest.raises(RateLimitError):
            api.server_time()


def test_answer_out_of_a_cache_is_none_on_a_connection_that_stands() -> None:
    """Its age may be told in two lines, of which the older counts."""
    kept = http(TIME, extra="Age: 0\r\nAge: 300\r\n")
    with (
        warm(answering(kept, kept)) as (api, _, _),  # a look is tried twice
        pytest.raises(KrakenConnectionError, match="300 s ago"),
    ):
        api.server_time()


# --- what goes wrong -----------------------------------------------------------------------------


def cut(answer: bytes) -> Treat:
    """Return a server that takes a request, says this much, and closes."""

    def treat(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_RDWR)

    return treat


def killed(sock: socket.socket) -> None:
    """Take a request and reset the connection."""
    read_request(sock)
    reset(sock)


BROKEN = {
    "nothing": cut(b""),
    "a reset": killed,
    "half a status line": cut(b"HTTP/1.1 20"),
    "no answer of HTTP": cut(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "another protocol": answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "half a body": cut(http(PLACED)[:-5]),
    "half a chunk": cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"),
    "half of what was packed": answering(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
        + gzip.compress(_BODY)[:20]
    ),
    "what was not packed": answering(http(PLACED, extra="Content-Encoding: gzip\r\n")),
    "two lengths": answering(http(PLACED, extra="Content-Length: 9\r\n")),
}


@pytest.mark.parametrize("second", BROKEN.values(), ids=BROKEN)
def test_answer_that_is_none_leaves_the_order_in_doubt(second: Treat) -> None:
    """The request may have been acted upon: it is sent once, and its connection is used no more."""
    error = failed(second)
    assert isinstance(error, KrakenConnectionError)
    assert not isinstance(error, KrakenTimeout)
    assert error.request_sent


def test_answer_that_never_comes_ends_with_the_deadline() -> None:
    """The socket is given back then, and no other connection of that age is used."""
    error = failed(answer_never, read=0.3)
    assert isinstance(error, KrakenTimeout)
    assert error.request_sent


def test_answer_without_bounds_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is longer than any of Kraken's is not read to its end."""
    monkeypatch.setattr(krakenlink.rest.kept, "MOST_BYTES", 1000)
    with warm(answering(http("x" * 1001))) as (api, server, _):
        with pytest.raises(ProtocolError, match="longer"):
            order(api)
        server.wait_closed(0)


@pytest.mark.parametrize("system", [select, SimpleNamespace()], ids=["here", "without poll"])
def test_connection_that_was_closed_meanwhile_is_not_written_to(
    system: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order goes over a new one at once, and once; Windows has no `poll` to see it by."""
    monkeypatch.setattr(sockets, "select", system)
    is_closed = threading.Event()

    def leave(sock: socket.socket) -> None:
        if not is_closed.is_set():
            sock.shutdown(socket.SHUT_RDWR)
            is_closed.set()

    with warm(leave) as (api, server, asked):
        assert is_closed.wait(60)
        assert "txid" not in order(api)  # the answer of a first request
        assert server.connections == 2
        assert [b"AddOrder" in request for request in asked] == [False, True]


def pool_of(port: int) -> HTTPConnectionPool:
    """Return connections to a port of this machine, none of which stands yet."""
    pool = HTTPConnectionPool("127.0.0.1", port)
    pool.ConnectionCls = watched(pool.ConnectionCls)
    return pool


def test_no_connection_is_opened_here() -> None:
    """Addresses, proxies and certificates are for those who know of them."""
    message = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    with Loopback(forever_ok) as server:
        pool = pool_of(server.port)
        assert exchanged(pool, "GET", message) is None
        assert server.connections == 0
        assert pool.urlopen("GET", "/").status == 200
        received = exchanged(pool, "GET", message)
        assert received is not None
        assert (received.status, received.reason) == (200, "OK")
        assert server.connections == 1
        pool.close()


def test_connection_is_looked_at_anew_each_time() -> None:
    """One that was good for several requests and has ended since is not written to."""
    asked: list[bytes] = []
    ends = threading.Event()

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request)
            sock.sendall(http(PLACED))
            if len(asked) == 3:
                sock.shutdown(socket.SHUT_RDWR)
                ends.set()

    with Loopback(treat) as server, client_of(server.url, LONG, LONG) as api:
        for _ in range(3):
            order(api)
        assert server.connections == 1
        assert ends.wait(60)
        assert order(api) == order(api) == {"txid": ["OABC"]}
        assert server.connections == 2
    assert len(asked) == 5


def test_connections_that_are_no_more_are_none_to_be_had() -> None:
    """What is under way elsewhere, or broke, leaves room for others and nothing to be taken."""
    pool = HTTPConnectionPool("127.0.0.1", 9, maxsize=2)
    idle = pool.pool
    assert idle is not None
    assert exchanged(pool, "GET", b"GET / HTTP/1.1\r\n\r\n") is None
    assert idle.qsize() == 2
    idle.get()
    idle.get()
    assert exchanged(pool, "GET", b"GET / HTTP/1.1\r\n\r\n") is None
    assert idle.qsize() == 0
    pool.close()


def test_interrupt_at_any_instant_leaves_no_lock_of_the_pool_held() -> None:
    """Else every later order of the client would wait for it, and none would leave."""
    with Loopback(forever_ok) as server:
        for interrupted in at_each_instant("/rest/kept.py", "/queue.py", "/threading.py"):
            with client_of(server.url, LONG, LONG) as api:
                order(api)  # by the library, which makes the connection
                pool = api._transport._adapter.kept
                assert pool is not None
                assert pool.pool is not None
                (connection,) = filter(None, pool.pool.queue)
                interrupted.do(partial(order, api))
                assert not pool.pool.mutex.locked()
                if connection not in pool.pool.queue:
                    connection.close()  # nobody has it any more
                assert order(api)["txid"] == ["OABC"]


def test_pool_that_is_full_takes_no_connection_back() -> None:
    """Somebody else may have put one there meanwhile: ours is closed then, and the answer read."""
    with Loopback(forever_ok) as server, client_of(server.url, LONG, LONG) as api:
        order(api)
        pool = api._transport._adapter.kept
        assert pool is not None
        assert pool.pool is not None
        (connection,) = filter(None, pool.pool.queue)
        pool.pool.maxsize = 1
        assert order(api)["txid"] == ["OABC"]
        assert connection.sock is None
        assert connection not in pool.pool.queue


def test_what_fails_before_anything_leaves_is_certain() -> None:
    """The sockets see all that leaves from the first step on, so no order is in doubt for it."""
    call = Call(NEVER, LONG, NEVER, 0.0)
    pool = pool_of(9)
    pool.close()
    with call, pytest.raises(ClosedPoolError):
        exchanged(pool, "POST", b"POST / HTTP/1.1\r\n\r\n")
    assert not call.may_have_left


# --- who else sends ------------------------------------------------------------------------------


def test_pool_that_is_not_known_here_is_left_to_the_library() -> None:
    """A later urllib3 may have other names: then its own way is gone, and no order fails."""
    adapter = _OneServer()
    pool = adapter._pool = SimpleNamespace(proxy=None, scheme="https")
    assert adapter.kept is None
    pool.pool = SimpleQueue()
    assert adapter.kept is None
    pool.pool = LifoQueue()
    assert adapter.kept is pool
    del pool.pool
    assert adapter.kept is None


def test_callers_stand_in_for_the_wire_is_asked_at_any_time() -> None:
    """Tests of callers put `responses` before requests, also after a first real call."""
    with warm(answering(http(PLACED))) as (api, server, asked):
        with responses.RequestsMock() as mock:
            mock.post(f"{server.url}/0/private/AddOrder", body=ok({"txid": ["OMOCK"]}))
            assert order(api) == {"txid": ["OMOCK"]}
            assert len(asked) == 1
        assert order(api) == {"txid": ["OABC"]}


def test_proxy_that_reads_each_request_is_spoken_to_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its requests name the whole address, the second one as the first."""
    asked: list[bytes] = []

    def treat(sock: socket.socket) -> None:
        while request := read_request(sock):
            asked.append(request.partition(b" HTTP")[0])
            sock.sendall(http(TIME))

    with Loopback(treat) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with client_of("http://127.0.0.1:9", LONG, LONG) as api:
            api.server_time()
            api.server_time()
        assert proxy.connections == 1
    assert asked == [b"GET http://127.0.0.1:9/0/public/Time"] * 2


# --- unpacking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", ["gzip", " GZip ", "x-gzip", "deflate"])
def test_body_is_unpacked_piece_by_piece(packed: str) -> None:
    """However it is cut, and by either way of packing."""
    data = zlib.compress(b"abc" * 999) if packed == "deflate" else gzip.compress(b"abc" * 999)
    assert unpacked([data[:7], data[7:]], packed) == b"abc" * 999
    assert unpacked([], packed) == b""


def test_body_that_is_not_packed_stays_as_it_is() -> None:
    """What is packed in a way that nobody asked for is no answer that anybody can read."""
    assert unpacked([b"a", b"b"], "") == b"ab"
    assert unpacked([b"a", b"b"], "br") == b"ab"


def test_body_has_bounds_packed_and_unpacked() -> None:
    """A small body may unpack to one without end: it is left as soon as it is too long."""
    bomb = gzip.compress(bytes(MOST_BYTES + 1))
    with pytest.raises(TooLong):
        unpacked([bomb], "gzip")
    with pytest.raises(TooLong):
        unpacked([bytes(MOST_BYTES), b"x"], "")
    with pytest.raises(zlib.error):
        unpacked([bomb[:-9]], "gzip")


def test_key_that_no_header_takes_is_refused_before_anything_leaves() -> None:
    """What is written into a head unchecked was checked where the request was made."""
    with warm(answering(http(PLACED))) as (api, _, asked):
        api.api_key = "key\r\nX-Evil: 1"
        with pytest.raises(ArgumentError):
            order(api)
        assert len(asked) == 1
