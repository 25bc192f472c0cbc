"""`--web`: the live page of a running program, from its flags to its server.

All that can be wrong with it is found before the first price is asked for. The server's library is
an extra, and is loaded when somebody wants the page. What it must never do: hold up a run, or let
a page be reached that nobody guards.
"""

from __future__ import annotations

import argparse
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ttslo_app.face.health import healthz
from ttslo_app.face.web import words
from ttslo_app.run.by_hand import Command, Hands, Verb
from ttslo_app.signs.beat import Signs
from ttslo_app.signs.telling import settings_of

if TYPE_CHECKING:
    from ttslo_app.face.web.server import Figures, WebServer
    from ttslo_app.run.program import Program

_HERE = "127.0.0.1"
_MOST_PORT = 65_535


def add_flags(add: Callable[..., object]) -> None:
    """Add what a user may choose, by the `add_argument` of a parser."""
    add("--web", type=port_of, metavar="PORT",
        help="serve a live page on this machine, such as 8765; needs aiohttp")  # fmt: skip
    add("--web-host", metavar="ADDRESS", help="let other machines reach the page by this address; "
        "needs a certificate, and a token in TTSLO_WEB_TOKEN")  # fmt: skip
    add("--web-actions", action="store_true", help="let the page arm, disarm, fire and cancel the "
        "program's own rows, each after a question; needs a token in TTSLO_WEB_TOKEN")  # fmt: skip
    add("--web-cert", metavar="FILE", help="the certificate of the page, in PEM form")
    add("--web-key", metavar="FILE", help="its key, where it is not in the same file")


def port_of(text: str) -> int:
    """Return a port that a person can find again.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    bare = text.strip()
    port = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 9 else 0
    if not 1 <= port <= _MOST_PORT:
        raise argparse.ArgumentTypeError(words.no_such_port(text))
    return port


def stray_flag(options: argparse.Namespace) -> str:
    """Return what is wrong with flags of the page that are given without it; empty for nothing."""
    if options.web is None:
        for name in ("web_host", "web_cert", "web_key", "web_actions"):
            if getattr(options, name, None):
                return words.needs_web(f"--{name.replace('_', '-')}")
    elif options.once:
        return "--web shows a program while it runs, --once ends it at once; leave one out"
    return ""


def server_from(options: argparse.Namespace, env_file: str | None) -> WebServer | None:
    """Return the server that the flags ask for, with its port; None where no page is wanted.

    May read files and look up a name.

    Raises:
        PageUnavailable: If it cannot be had as it was asked for.
        ValueError: If the file with the token cannot be read.
    """
    if options.web is None:
        return None
    from ttslo_app.face.web.guard import Guard, PageUnavailable, check_reach, check_token

    if not _is_there("aiohttp"):
        raise PageUnavailable(words.NEEDS_AIOHTTP)
    token = check_token(next(settings_of("TTSLO_WEB_TOKEN", env_file), ""))
    if options.web_actions and not token:
        raise PageUnavailable(words.ACTIONS_NEED_LOGIN)
    host = options.web_host or _HERE
    tls = _certificate(options.web_cert, options.web_key) if options.web_cert else None
    addresses = _addresses_of(host, options.web)
    check_reach(host, addresses, has_cert=tls is not None, has_token=bool(token))
    from ttslo_app.face.web.server import WebServer  # its library is an extra

    return WebServer(options.web, Guard(host, tls is not None, token), tls, addresses[0])


def _is_there(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # a stand-in that is no true module
        return False


def _addresses_of(host: str, port: int) -> list[str]:
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        from ttslo_app.face.web.guard import PageUnavailable

        why = getattr(error, "strerror", None) or str(error)
        raise PageUnavailable(words.no_such_host(host, why)) from None
    return [str(address[0]) for *_, address in found]


def _certificate(cert: str, key: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a password would ask a terminal for it, and there may be none.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        from ttslo_app.face.web.guard import PageUnavailable

        why = getattr(error, "strerror", None) or str(error)
        raise PageUnavailable(words.no_certificate(cert, why)) from None
    return context


@contextmanager
def serving(
    server: WebServer | None, program: Program, signs: Signs, hands: Hands | None = None
) -> Iterator[None]:
    """Serve the page of a program from here to the end of the `with`, where one is wanted.

    Args:
        server: Of the page; None where none is wanted.
        program: What it shows.
        signs: Takes the snapshots.
        hands: Does what readers of the page ask for; None for a page that can only be read.
    """
    if server is None:
        yield
        return
    signs.follow(server)
    server.start(figures_of(program, hands))
    try:
        yield
    finally:
        server.stop()


def figures_of(program: Program, hands: Hands | None = None) -> Figures:
    """Return the figures of a program, as the page's server serves them."""
    from ttslo_app.face import metrics  # here, for who wants no figures
    from ttslo_app.face.web.server import Figures
    from ttslo_app.run.parts import sources_of

    def health() -> tuple[int, str]:
        live = program.live
        if live is None:
            return 503, words.NOT_BEGUN
        return healthz(live.armed(), live.orderless())

    def figures() -> tuple[str, bytes] | None:
        live = program.live
        return None if live is None else metrics.exposition(sources_of(program, live))

    def do(verb: str, row: str) -> tuple[bool, str]:
        assert hands is not None  # else nobody is asked
        answer = hands.request(Command(Verb(verb), row))
        return answer.is_done, answer.text

    shown = figures if metrics.PROMETHEUS_AVAILABLE else None
    return Figures(shown, health, None if hands is None else do)
