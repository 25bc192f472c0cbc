"""The services that people are told by: addresses as apprise knows them, and how to send to one.

What it must never do: show an address, for it is a password, or what a library says of a send,
which may quote it.

Source: apprise 1.9 to 2.3, its addresses, its plug-ins and what they log (read 2026-11).
"""

from __future__ import annotations

import logging
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from ttslo_app.face import words
from ttslo_app.face.outbox import Level, Outbox, Parcel
from ttslo_app.face.voice import LIBRARIES
from ttslo_app.messages import Kind, Said

# A send that has not ended after so many seconds is given up; its thread is left to itself.
DEADLINE = 15.0

_LEVELLED = re.compile(rf"({'|'.join(Level)})=(.*)", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}(?=://)", re.ASCII)
# The services whose addresses begin with a host that is no secret.
_WEB = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})


class NotifyUnavailable(ValueError):
    """Nobody can be told as asked; the sentence says why, and what to do, and no secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody is told, and of what; the address itself is in no text of it.

    Attributes:
        number: Which of the addresses it is, from 1, for people to find it by.
    """

    url: str = field(repr=False)
    level: Level = Level.WARNINGS
    number: int = 1

    @property
    def name(self) -> str:
        """What it is called where people read: the service, and nothing that is secret."""
        return f"notification address {self.number} ({place_of(self.url)})"


def place_of(url: str) -> str:
    """Return an address without all that may be a secret, and for most services that is all."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        return "..."
    if scheme[0].lower() in _WEB and "@" not in url:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return f"{scheme[0]}://..."
        if parts.hostname:
            return shown(f"{scheme[0]}://{parts.hostname}{port}", 80)
    return f"{scheme[0]}://..."


def read_addresses(texts: Iterable[str]) -> list[Address]:
    """Return the addresses that texts name, one a word, with `#` before what is none.

    `orders=`, `warnings=` or `all=` before one says of what it is told; `warnings` where nothing
    does.

    Raises:
        NotifyUnavailable: If one of them is no address.
    """
    found: dict[str, Address] = {}
    for text in texts:
        lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for word in (word for line in lines for word in line.split()):
            levelled = _LEVELLED.fullmatch(word)
            level, url = (Level(levelled[1]), levelled[2]) if levelled else (Level.WARNINGS, word)
            address = Address(url, level, len(found) + 1)
            if _SCHEME.match(url) is None:
                raise NotifyUnavailable(
                    f"{address.name} is no address; write one as apprise knows it, such as "
                    "ntfy://NAME, with orders=, warnings= or all= before it if you like"
                )
            found.setdefault(url, address)
    return list(found.values())


# --- one service -----------------------------------------------------------------------------


class Service(Protocol):
    """Where messages go."""

    def send(self, parcel: Parcel) -> str:
        """Send a message. May block for ever. Returns why it did not arrive; empty if it did."""
        ...


class Plugin:
    """A service that apprise knows; made once, with all of its code loaded.

    Raises:
        NotifyUnavailable: If apprise is not installed, or knows no such service.
    """

    def __init__(self, address: Address) -> None:
        try:
            import apprise  # here, because few need it: it comes with an extra
        except ImportError:
            raise NotifyUnavailable(
                "--notify needs the library apprise: pip install apprise"
            ) from None
        with _OVERHEARING.heard() as heard, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its plug-ins import, which all load here
            made = apprise.Apprise.instantiate(address.url)
        if made is None:
            raise NotifyUnavailable(
                f"{address.name} cannot be used: {_why_not(heard)}. Correct it as apprise's "
                "list of services shows"
            )
        self._plugin: Any = made
        if "overflow=" not in address.url:
            self._plugin.overflow_mode = apprise.OverflowMode.SPLIT
        types = apprise.NotifyType
        self._types = {"ERROR": types.FAILURE, "WARNING": types.WARNING, "INFO": types.INFO}
        self._good = types.SUCCESS

    def send(self, parcel: Parcel) -> str:
        """Send a message. May block for ever. Returns why it did not arrive; empty if it did."""
        kind = self._good if parcel.is_good else self._types[parcel.level]
        with _OVERHEARING.heard() as heard:
            try:
                # Not by way of its own pool, whose threads would hold up the end of the program.
                has_arrived = self._plugin.notify(
                    body=parcel.body, title=parcel.title, notify_type=kind
                )
            except Exception as error:  # noqa: BLE001 - a plug-in raises what it likes, with secrets
                return f"an error inside apprise ({type(error).__name__})"
        return "" if has_arrived else _reason(heard)


class _Overhearing(logging.Filter):
    """Keeps what apprise logs from every handler, for there are addresses in it.

    It is the only reason that apprise gives, so a thread that listens has the texts of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let no record pass."""
        texts: list[str] | None = getattr(self._here, "texts", None)
        if texts is not None:
            texts.append(record.getMessage())
        return False

    @contextmanager
    def heard(self) -> Iterator[list[str]]:
        """Hand out what apprise logs on this thread in the `with`."""
        logger = logging.getLogger("apprise")
        logger.setLevel(logging.DEBUG)
        logger.addFilter(self)  # which is there once, however often it is added
        texts: list[str] = []
        self._here.texts = texts
        try:
            yield texts
        finally:
            self._here.texts = None


_OVERHEARING = _Overhearing()


# What apprise says, or what it quotes, and what that means. No text of it is shown: it may quote
# the address.
_MEANINGS = (
    (r"certificate|\bSSL", "its certificate is not trusted"),
    (r"resol|getaddrinfo|Name or service|nodename", "the name of its host cannot be looked up"),
    (r"refused", "nobody listens at its address"),
    (r"timed out|timeout", "it does not answer"),
    (r"reset|aborted|RemoteDisconnected|closed connection|hung up", "it hangs up"),
    (r"unreachable|No route|Connection Error|Connection error", "it cannot be reached"),
)


def _reason(texts: Sequence[str]) -> str:
    """Return why a message did not arrive, in words of ours."""
    said = "\n".join(texts)
    status = re.search(r"error=([1-5]\d\d)\b|\bHTTP(?:/1.1)? ([1-5]\d\d)\b", said)
    if status is not None:
        code = status[1] or status[2]
        is_wrong = code in ("400", "401", "403", "404")
        return f"it answers HTTP {code}" + ("; is the address right?" if is_wrong else "")
    found = (text for pattern, text in _MEANINGS if re.search(pattern, said, re.IGNORECASE))
    return next(found, "apprise gives no reason that is known here")


def _why_not(texts: Sequence[str]) -> str:
    is_unknown = any(re.match("(Unparseable|Unsupported) URL", text) for text in texts)
    is_off = any("disabled" in text for text in texts)
    if is_off:
        return "the service needs another package"
    return "apprise knows no such service" if is_unknown else "apprise cannot read it"


# --- trying it ---------------------------------------------------------------------------------


class Errand:
    """Something that may take for ever, done on a thread of its own.

    Args:
        work: Does it; returns why it did not succeed, empty if it did.
        name: Of the thread.
    """

    def __init__(self, work: Callable[[], str], name: str = LIBRARIES) -> None:
        self._work = work
        self._answer = ""
        self._done = threading.Event()
        self.since = feed_clock()
        # A daemon: nobody waits for a service that never answers.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._work()
        except Exception as error:  # noqa: BLE001 - it must end, and its text may hold a secret
            self._answer = f"an unforeseen error ({type(error).__name__})"
        finally:
            self._done.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    def answer(self, timeout: float = 0.0) -> str | None:
        """Return why it did not succeed, empty if it did; None if it is not over in time."""
        return self._answer if self._done.wait(timeout) else None


def send_test(address: Address, mark: str = "", timeout: float = DEADLINE) -> str:
    """Send one message to an address. Blocks for at most `timeout` seconds.

    Returns:
        Why it did not arrive; empty if it did.

    Raises:
        NotifyUnavailable: If apprise is not installed, or knows no such service.
    """
    plugin = Plugin(address)
    box = Outbox(Level.ALL, mark)
    box.take(Said(Kind.START, "INFO", "", words.TEST_TEXT, time.time()), "", 0.0)
    parcel = box.parcel(0.0, is_ending=True)
    assert parcel is not None  # it was put in just now
    answer = Errand(lambda: plugin.send(parcel)).answer(timeout)
    return f"it has not answered for {timeout:.0f} s" if answer is None else answer
