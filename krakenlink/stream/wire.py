"""A socket below a WebSocket library: reads ahead, and can be woken while it waits.

It must never wait without a deadline, or let a wake-up or a close by another thread touch a socket
that is somebody else's by then. What the bytes mean is `connection`'s affair.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from krakenlink.errors import KrakenConnectionError


class Wire:
    """The socket below websocket-client: reads ahead, and can be woken while it waits.

    The library takes the socket for a non-blocking one and asks for bytes two at a time; here
    they come out of one buffer that each system call fills as far as it can.
    """

    def __init__(self, sock: socket.socket, send_timeout: float) -> None:
        self.buffer = bytearray()
        self.at = 0  # where in the buffer the next frame begins
        self.deadline = 0.0  # until when `recv` of the library may wait: the handshake only
        self._send_timeout = send_timeout
        self._sock = sock
        sock.setblocking(False)
        self._pending = getattr(sock, "pending", None)  # TLS: bytes decrypted and not yet taken
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._wait_readable = readable_waiter(sock, self._wake_out)
        # Guards: _is_closed, and the closing of the sockets against wake() and shutdown() by other
        # threads, whose file numbers might be somebody else's by then. Only the owner waits for it.
        self._close_lock = threading.Lock()
        self._wakes: deque[None] = deque()
        self._is_closing = False
        self._is_closed = False
        self._owner = threading.get_ident()
        self._pid = os.getpid()

    # -- what the library calls

    def gettimeout(self) -> float:
        """Return 0: a socket that does not block."""
        return 0.0

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: deadlines are kept here, not by the library."""

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes, waiting until `deadline`: for the handshake alone."""
        while self.at >= len(self.buffer):
            remaining = self.deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the handshake took too long")
            self.fill(remaining)
        data = bytes(self.buffer[self.at : self.at + count])
        self.at += len(data)
        return data

    def send(self, data: bytes) -> int:
        """Send all of `data`, or raise `OSError` when the socket takes no more for too long."""
        deadline = time.monotonic() + self._send_timeout
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait_writable(deadline)
        return len(data)

    def _wait_writable(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or self._is_closing:
            raise TimeoutError("the socket takes no more bytes")
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_WRITE)
            selector.select(remaining)

    # -- what the connection calls

    def fill(self, timeout: float) -> None:
        """Read what is there, waiting up to `timeout` seconds; returns early when woken."""
        if self._is_closing:
            raise KrakenConnectionError("closed on this side", request_sent=True)
        if not (self._pending and self._pending()):
            has_data, is_woken = self._wait_readable(timeout)
            if is_woken:
                with suppress(BlockingIOError):
                    self._wake_out.recv(4096)
            if not has_data:
                return
        try:
            chunk = self._sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # half a TLS record
        if not chunk:
            raise KrakenConnectionError("closed by the server without a word", request_sent=True)
        del self.buffer[: self.at]
        self.at = 0
        self.buffer += chunk

    def wake(self) -> None:
        """Make a waiting `fill` return at once. From anywhere: it waits for no lock."""
        self._wakes.append(None)
        # Who finds the lock held leaves it to the holder, who looks again after letting it go.
        while self._wakes and self._close_lock.acquire(blocking=False):
            try:
                self._wakes.clear()
                if not self._is_closed:
                    if self._is_closing:
                        with suppress(OSError):
                            self._sock.shutdown(socket.SHUT_RDWR)
                    with suppress(OSError):  # full: it is awake already
                        self._wake_in.send(b"w")
            finally:
                self._close_lock.release()

    def close(self) -> None:
        """Close; from a foreign thread only shut down, so that the owner wakes up and closes."""
        is_child = os.getpid() != self._pid
        if not is_child and threading.get_ident() != self._owner:
            self._is_closing = True
            self.wake()
            return
        if is_child:
            # A copy made by fork: giving back our file numbers must not end the parent's
            # connection. Its lock may have been copied in the locked state.
            self._close_lock = threading.Lock()
        with self._close_lock:
            if self._is_closed:
                return
            self._is_closing = self._is_closed = True
            for sock in (self._sock, self._wake_in, self._wake_out):
                sock.close()


def readable_waiter(
    sock: socket.socket, wake: socket.socket
) -> Callable[[float], tuple[bool, bool]]:
    """Return a function that waits up to so many seconds and tells which of the two is readable.

    `poll` is there on every system but Windows, and costs a third of what `selectors` adds to it:
    at a thousand bursts a second the way to the socket costs more than the frames. Errors and the
    end count as readable.
    """
    if not hasattr(select, "poll"):
        return lambda timeout: _select_two(sock, wake, timeout)
    poller = select.poll()
    number = sock.fileno()
    poller.register(number, select.POLLIN)
    poller.register(wake.fileno(), select.POLLIN)
    poll = poller.poll

    def wait(timeout: float) -> tuple[bool, bool]:
        ready = poll(1000 * timeout)  # rounded up to milliseconds
        if len(ready) == 1:
            has_data = ready[0][0] == number
            return has_data, not has_data
        return bool(ready), bool(ready)

    return wait


def _select_two(sock: socket.socket, wake: socket.socket, timeout: float) -> tuple[bool, bool]:
    ready, _, failed = select.select([sock, wake], [], [sock], timeout)
    return sock in ready or sock in failed, wake in ready
