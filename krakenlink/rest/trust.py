"""Who vouches for the servers of REST: a file of certificates, read once and not per connection.

urllib3 makes a context for each connection and reads the whole file into it, which takes 20 ms and
0.8 MB; requests tells it no more than the file's name. Here connections for which nothing else is
chosen share one context, made as urllib3 makes its own. It is made anew once `state_of` tells that
it would be another, and once it has refused a server. What it must never do: let a connection trust
whom urllib3's own context would not, or change a context that another thread may be using.

Source: urllib3 2.0 to 2.8, requests 2.32 to 2.34, truststore 0.10 (read 2026-11).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import ALPN_PROTOCOLS, create_urllib3_context, resolve_cert_reqs

from krakenlink.sockets import state_of

# What else urllib3 puts into a context or reads into it: with one of these, each makes its own. A
# certificate of the client's is among them because it would be read into the shared one while
# others connect; a folder of certificates, because it is looked through without being read.
_CHOICES = (
    *("ssl_context", "ssl_version", "ssl_minimum_version", "ssl_maximum_version"),
    *("assert_hostname", "assert_fingerprint", "ca_cert_dir", "ca_cert_data"),
    *("cert_file", "key_file"),
)


@contextmanager
def sharing(connection: HTTPConnection) -> Iterator[None]:
    """Let a connection that is made in here check its server by what is read already.

    Where that cannot be, it does so by itself as ever, and says in its own words why it fails.
    """
    file = _file_of(connection)
    context = None
    if file is not None:
        with suppress(OSError):
            context = _context_of(file, state_of(file))
    if not isinstance(connection, HTTPSConnection) or context is None:
        yield
        return
    connection.ssl_context, connection.ca_certs = context, None
    try:
        yield
    except ssl.SSLCertVerificationError:
        _context_of.cache_clear()  # whoever vouches for it may have come, whatever the file's stamp
        raise
    finally:  # it may be connected again, and the file be another by then
        connection.ssl_context, connection.ca_certs = None, file


def _file_of(connection: HTTPConnection) -> str | None:
    """Return the one file that tells whom to trust; None if there is none, or more to it."""
    if not isinstance(connection, HTTPSConnection):
        return None
    is_chosen = any(getattr(connection, name, None) is not None for name in _CHOICES)
    is_checked = resolve_cert_reqs(connection.cert_reqs) == ssl.CERT_REQUIRED
    # A proxy that is itself spoken to over TLS is checked by the same file, in its own context.
    proxy = connection.proxy
    is_direct = proxy is None or proxy.scheme != "https"
    return connection.ca_certs if is_checked and is_direct and not is_chosen else None


@lru_cache(maxsize=1)  # which holds no lock while one is made, nor over a fork
def _context_of(file: str, _state: object) -> ssl.SSLContext | None:
    """Return the context of all who trust `file`; None if there can be none."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    if type(context).__module__ != ssl.__name__:
        return None  # truststore's or pyOpenSSL's: nothing says that threads may share it
    context.load_verify_locations(file)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # urllib3 sets them anew for each connection, and frees those that another thread may just be
    # copying (CPython, 141012).
    setattr(context, "set_alpn_protocols", lambda _: None)  # noqa: B010 - hides a method
    return context
