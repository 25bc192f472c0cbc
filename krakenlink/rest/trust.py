"""Who vouches for the servers of REST: a file of certificates, read once and not per connection.

urllib3 makes a context for each connection and reads the whole file into it, which takes 20 ms and
0.8 MB; requests tells it no more than the file's name. Here connections for which nothing else is
chosen share one context, made as urllib3 makes its own. It is made anew once the file is another,
once it has refused a server, and in a child that was forked. What it must never do: let a
connection trust whom urllib3's own context would not, or change a context that another thread may
be using.

Source: urllib3 2.0 to 2.8, requests 2.32 to 2.34, truststore 0.10 (read 2026-11).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import ALPN_PROTOCOLS, create_urllib3_context, resolve_cert_reqs

# By the file, with what tells that it is still the same. No lock: each value is replaced whole, and
# two threads that make one at once do no more than both used to. Nor is one held over a fork.
_contexts: dict[str, tuple[Sequence[object], ssl.SSLContext]] = {}

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
    context = None if file is None else _context_of(file)
    if not isinstance(connection, HTTPSConnection) or file is None or context is None:
        yield
        return
    connection.ssl_context, connection.ca_certs = context, None
    try:
        yield
    except ssl.SSLCertVerificationError:
        _contexts.pop(file, None)  # whoever vouches for it may have come, whatever the file's stamp
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


def _context_of(file: str) -> ssl.SSLContext | None:
    """Return the context of all who trust `file`; None if there can be none."""
    try:
        seen = Path(file).stat()
        # The last two: locks of a context may be held by a thread that a child does not have, and
        # urllib3 looks at the variable whenever it makes one.
        state = (
            *(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns),
            *(os.getpid(), os.environ.get("SSLKEYLOGFILE")),
        )
        known = _contexts.get(file)
        if known is not None and known[0] == state:
            return known[1]
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        if type(context).__module__ != ssl.__name__:
            return None  # truststore's or pyOpenSSL's: nothing says that threads may share it
        context.load_verify_locations(file)
    except OSError:
        return None
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    # urllib3 sets them anew for each connection, and frees those that another thread may just be
    # copying (CPython, 141012).
    setattr(context, "set_alpn_protocols", lambda _: None)  # noqa: B010 - hides a method
    _contexts[file] = state, context
    return context
