"""From an address to a connected socket: TCP, the proxy of the environment, TLS.

It must never trust a certificate that is not checked, ask a proxy for this machine's loopback, or
put a proxy's password into a sentence.

Sources: RFC 9110 (CONNECT), RFC 1928 (SOCKS); PySocks 1.7, certifi (read 2026-11).
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import sys
import urllib.parse
import urllib.request
from contextlib import suppress

from krakenlink.errors import KrakenConnectionError, unusable_proxy
from krakenlink.machine import is_loopback

# Who finds out the address behind a name: in `socks5h` and `socks4a` the proxy, else this machine.
_SOCKS_SCHEMES = ("socks5", "socks5h", "socks4", "socks4a")


def open_socket(parts: urllib.parse.SplitResult, timeout: float) -> socket.socket:
    """Return a connected socket, through the proxy that the environment names, with TLS if due."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    # A proxy elsewhere cannot reach this machine's loopback, whatever the environment says.
    proxy = None if is_loopback(host) else proxy_for(host)
    if proxy is None:
        sock = socket.create_connection((host, port), timeout)
    else:
        sock = _tunnel(proxy, host, port, timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            sock = tls_context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    return sock


def tls_context() -> ssl.SSLContext:
    """Return the context of every `wss:` connection: certificate and host name are checked.

    Who may vouch for them is told by the system, or by `SSL_CERT_FILE` and `SSL_CERT_DIR`. Where
    neither tells anything, as with a fresh Python on macOS, or not all, as on Windows, which
    fetches roots when its own programs need them, it is certifi's list: REST's, too.
    """
    context = ssl.create_default_context()
    is_chosen = bool({"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys())
    if not is_chosen and (sys.platform == "win32" or not _has_roots(context)):
        with suppress(ImportError):
            import certifi  # here, because most systems need none

            context.load_verify_locations(certifi.where())
    return context


def _has_roots(context: ssl.SSLContext) -> bool:
    """Tell whether the system vouches for anybody, in a file or in a folder of files."""
    folder = ssl.get_default_verify_paths().capath
    return bool(context.get_ca_certs()) or (folder is not None and any(os.scandir(folder)))


def proxy_for(host: str) -> str | None:
    """Return the proxy for `host`, from where requests takes it too; None for none."""
    if urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get("https") or proxies.get("all")


def _tunnel(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    instead = (
        f"set HTTPS_PROXY to an http: proxy, or NO_PROXY to {host}; meanwhile prices come over REST"
    )
    if parts.hostname and parts.scheme == "http":
        return _http_tunnel(parts, host, port, timeout)
    if parts.hostname and parts.scheme in _SOCKS_SCHEMES:
        try:
            return _socks_tunnel(parts, host, port, timeout)
        except ImportError:
            cure = f"which needs the package PySocks: install it, or {instead}"
    else:
        cure = f"which the stream cannot use: {instead}"
    raise KrakenConnectionError(unusable_proxy(proxy, os.environ, cure), request_sent=False)


def _http_tunnel(
    proxy: urllib.parse.SplitResult, host: str, port: int, timeout: float
) -> socket.socket:
    headers = {}
    name, password = _login(proxy)
    if name is not None:
        login = f"{name}:{password or ''}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    assert proxy.hostname is not None  # as with the SOCKS proxy, `_tunnel` has looked
    http_connection = http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=timeout)
    http_connection.set_tunnel(host, port, headers)
    http_connection.connect()
    sock = http_connection.sock
    http_connection.sock = None  # the socket outlives this helper object
    assert isinstance(sock, socket.socket)
    return sock


def _socks_tunnel(
    proxy: urllib.parse.SplitResult, host: str, port: int, timeout: float
) -> socket.socket:
    import socks  # here, because few need it: it comes with an extra

    name, password = _login(proxy)
    sock = socks.create_connection(
        (host, port),
        timeout=timeout,  # type: ignore[arg-type]  # fractions are fine, whatever the stubs say
        proxy_type=socks.SOCKS4 if proxy.scheme.startswith("socks4") else socks.SOCKS5,
        proxy_addr=proxy.hostname,
        proxy_port=proxy.port or 1080,
        proxy_rdns=proxy.scheme in ("socks5h", "socks4a"),
        proxy_username=name,
        proxy_password=password,
    )
    plain = socket.socket(fileno=sock.detach())  # what the proxy had to be told is told
    plain.settimeout(timeout)
    return plain


def _login(proxy: urllib.parse.SplitResult) -> tuple[str | None, str | None]:
    name, password = (
        text and urllib.parse.unquote(text) for text in (proxy.username, proxy.password)
    )
    return name or None, password
