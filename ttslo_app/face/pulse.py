"""Signs of life for who watches over the program: an address that is fetched, and systemd.

A sign is given only while orders can be placed and every armed row has a proven price: who watches
raises the alarm when it stays away, whatever the cause. One thread asks how things are and speaks
to systemd; each fetch has a thread of its own, as an address may never answer. What it must never
do: give a sign of a program that does not see, or make anybody wait.

Source: systemd, sd_notify(3) and sd_watchdog_enabled(3); healthchecks.io, pinging (read 2026-11).
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from krakenlink import VERSION
from krakenlink.foreign import shown
from krakenlink.machine import feed_clock
from krakenlink.once import Once
from krakenlink.stream.wire import tls_context
from ttslo_app.face import words
from ttslo_app.face.services import Errand
from ttslo_app.messages import Say, tell

_log = logging.getLogger(__name__)

# Seconds between two signs to the address; each may take so long, and is left to itself then.
PING_EVERY, PING_DEADLINE = 60.0, 20.0
_BEAT = 0.5
_STATUS_EVERY = 10.0
# A row that lost its price, or a thread that is at work, gets so long before that is said.
_PATIENCE = 30.0
_MOST_HANGING = 3


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the program is; each is called on the pulse's thread and must not block.

    Attributes:
        is_armed: Whether its rows are on the books and its prices come.
        trouble: Why it could miss a crossing; empty while it could not.
        status: One line on where it stands.
        is_stopping: Whether it comes to its end.
    """

    is_armed: Callable[[], bool]
    trouble: Callable[[], str]
    status: Callable[[], str]
    is_stopping: Callable[[], bool]


# --- systemd -----------------------------------------------------------------------------------


class Systemd:
    """The socket on which systemd hears of this process; nothing where there is none.

    Args:
        environ: The environment, with `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` where
            systemd has started the program.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._name = environ.get("NOTIFY_SOCKET", "")
        self.watch_every = _watch_every(environ)

    @property
    def is_there(self) -> bool:
        """Whether somebody listens."""
        return self._name[:1] in ("/", "@") and hasattr(socket, "AF_UNIX")

    def tell(self, **lines: object) -> None:
        """Send some assignments, such as `READY=1`. Never blocks, never raises OSError."""
        if not self.is_there:
            return
        # An abstract name begins with a zero byte, for which systemd writes an @.
        name = f"\0{self._name[1:]}" if self._name.startswith("@") else self._name
        text = "\n".join(f"{key}={value}" for key, value in lines.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), name)


def _watch_every(environ: Mapping[str, str]) -> float | None:
    """Return half of the time after which systemd misses a sign, in seconds; None without it."""
    for_another = environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid())
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return None if for_another or microseconds <= 0 else microseconds / 2e6


# --- an address --------------------------------------------------------------------------------


def place_of_ping(url: str) -> str:
    """Return the address of a ping without its path, which is its secret."""
    parts = urlsplit(url)
    return shown(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", 80)


def check_ping(url: str) -> None:
    """Refuse what cannot be fetched.

    Raises:
        ValueError: If it is no address of the web; the sentence shows nothing secret.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(one.isspace() or not one.isprintable() for one in url):
        raise ValueError(
            "--ping: that is no address that can be fetched; write one that begins with https://, "
            "as the service that waits for it shows it"
        )


def fetch(url: str) -> str:
    """Fetch an address. May block for ever. Returns why that failed; empty if it did not."""
    request = urllib.request.Request(url, headers={"User-Agent": f"ttslo/{VERSION}"})  # noqa: S310 - `check_ping` has looked
    context = tls_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=PING_DEADLINE / 2, context=context):  # noqa: S310 - likewise
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answers HTTP {error.code}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        found = (text for kind, text in _MEANINGS if isinstance(reason, kind))
        return next(found, f"it cannot be fetched ({type(reason).__name__})")
    except http.client.HTTPException as error:
        return f"what it answers is no HTTP ({type(error).__name__})"


# What an error means; its own text may quote the address.
_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "nobody listens at its address"),
    (ConnectionError, "it hangs up"),
    (TimeoutError, "it does not answer"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted"),
    (socket.gaierror, "the name of its host cannot be looked up"),
)


class _Ping:
    """The address that waits for a sign, and what became of the last ones."""

    def __init__(self, url: str, say: Say) -> None:
        self._url = url
        self._place = place_of_ping(url)
        self._say = say
        self._once = Once()
        self._errand: Errand | None = None
        self._hanging: list[Errand] = []
        self._next_at = 0.0

    def look(self, now: float, *, is_well: bool) -> None:
        """See what became of the last sign, and give the next one if it is due."""
        self._see(now)
        self._hanging = [errand for errand in self._hanging if not errand.is_over]
        is_free = self._errand is None and len(self._hanging) < _MOST_HANGING
        if is_well and is_free and now >= self._next_at:
            self._next_at = now + PING_EVERY
            self._errand = Errand(lambda: fetch(self._url), "ttslo-ping")

    def _see(self, now: float) -> None:
        errand = self._errand
        if errand is None:
            return
        answer = errand.answer()
        if answer is None:
            if now - errand.since < PING_DEADLINE:
                return
            self._hanging.append(errand)
            answer = f"it has not answered for {PING_DEADLINE:.0f} s"
        self._errand = None
        if answer and self._once.is_news("ping"):
            tell(self._say, words.ping_fails(self._place, answer))
        elif not answer and self._once.has_healed("ping"):
            tell(self._say, words.ping_works_again(self._place))


# --- both --------------------------------------------------------------------------------------


class Pulse:
    """Gives signs of life from `start` to `stop`.

    Args:
        vitals: How the program is.
        ping_url: The address to fetch; empty for none.
        systemd: Where systemd hears of this process.
        say: Takes a level and a sentence for a person; must not block.
    """

    def __init__(self, vitals: Vitals, ping_url: str, systemd: Systemd, say: Say) -> None:
        self._vitals = vitals
        self._systemd = systemd
        self._say = say
        self._ping = _Ping(ping_url, say) if ping_url else None
        self._is_ready = self._is_leaving = False
        self._watched_at = self._status_at = float("-inf")
        self._status = ""
        self._ill_since: float | None = None
        self._once = Once()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ttslo-pulse", daemon=True)

    @property
    def is_wanted(self) -> bool:
        """Whether there is anybody to give a sign to."""
        return self._ping is not None or self._systemd.is_there

    def start(self) -> Pulse:
        """Begin, where there is anybody to give a sign to."""
        if self.is_wanted:
            self._thread.start()  # a daemon: it owns nothing
        return self

    def stop(self, timeout: float = 1.0) -> None:
        """Give no more signs, and tell systemd that the end has begun. Blocks for a moment."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._leave()

    def _run(self) -> None:
        beat = min(_BEAT, self._systemd.watch_every or _BEAT)
        while not self._stopping.wait(beat):
            try:
                self.look(feed_clock())
            except Exception:  # noqa: BLE001 - a missing sign is an alarm, and must mean something
                _log.exception("The pulse met an error and goes on")

    def look(self, now: float) -> None:
        """Give the signs that are due. Never blocks."""
        if self._vitals.is_stopping():
            self._leave()
            return
        is_armed = self._vitals.is_armed()
        if is_armed and not self._is_ready:
            self._is_ready = True
            self._systemd.tell(READY=1, STATUS=self._vitals.status())
        trouble = self._vitals.trouble() if is_armed else "it has not begun yet"
        self._say_trouble(now, trouble, is_armed=is_armed)
        every = self._systemd.watch_every
        if every is not None and not trouble and now - self._watched_at >= every - _BEAT / 2:
            self._watched_at = now
            self._systemd.tell(WATCHDOG=1)
        if self._is_ready and now - self._status_at >= _STATUS_EVERY:
            self._status_at = now
            self._tell_status(trouble)
        if self._ping is not None:
            self._ping.look(now, is_well=not trouble)

    def _tell_status(self, trouble: str) -> None:
        status = self._vitals.status() + (f"; {trouble}" if trouble else "")
        if status != self._status:
            self._status = status
            self._systemd.tell(STATUS=status)

    def _say_trouble(self, now: float, trouble: str, *, is_armed: bool) -> None:
        """Say once why no sign is given, if that lasts, and once that they are given again."""
        if not trouble or not is_armed:
            self._ill_since = None
            if self._once.has_healed("trouble"):
                tell(self._say, words.PING_GIVEN_AGAIN)
            return
        self._ill_since = now if self._ill_since is None else self._ill_since
        if now - self._ill_since >= _PATIENCE and self._once.is_news("trouble"):
            tell(self._say, words.ping_withheld(trouble))

    def _leave(self) -> None:
        if not self._is_leaving:
            self._is_leaving = True
            self._systemd.tell(STOPPING=1)
