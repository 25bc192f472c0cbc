"""Every sentence about the live page: where it is, and why it cannot be.

Pure. What it must never do: show a token.
"""

from __future__ import annotations

from ttslo_app.messages import Kind, Sentence


def page_at(url: str) -> Sentence:
    """Say where the page is."""
    return Sentence(Kind.START, "INFO", f"The live page is at {url}")


NEEDS_AIOHTTP = '--web needs the library aiohttp: pip install "ttslo[web]"'


def no_such_port(text: str) -> str:
    """Return why a text is no port for the page."""
    return f"{text[:40]!r} is no port for the page; write a number from 1 to 65535, such as 8765"


def not_had(host: str, port: int, why: object) -> str:
    """Return why the page cannot be served there."""
    return (
        f"the live page cannot be served on {host} port {port} ({why}); choose another port with "
        "--web, or end the program that has it"
    )


def no_such_host(host: str, why: object) -> str:
    """Return that a name leads nowhere."""
    return (
        f"--web-host {host} is no address of this machine ({why}); write one, or leave it out: "
        "then the page is for this machine alone"
    )


def is_exposed(host: str, missing: str) -> str:
    """Return what is missing for a page that other machines can reach."""
    return (
        f"--web-host {host} lets other machines reach the page, which needs {missing}. Give "
        "--web-cert FILE and --web-key FILE, and a token in TTSLO_WEB_TOKEN; or leave --web-host "
        "out: then the page is for this machine alone"
    )


def no_certificate(file: str, why: object) -> str:
    """Return why a certificate cannot be used."""
    return (
        f"--web-cert {file} cannot be used ({why}); it needs a certificate in PEM form, and its "
        "key without a password in the same file or in --web-key"
    )


def weak_token(least: int) -> str:
    """Return that a token can be guessed."""
    return (
        f"TTSLO_WEB_TOKEN would keep nobody out: write at least {least} letters or "
        "digits that nobody can guess, without spaces"
    )


def needs_web(flag: str) -> str:
    """Return that a flag means nothing without the page."""
    return f"{flag} needs --web PORT"


# --- what a browser is told ----------------------------------------------------------------------


FOREIGN_HOST = (
    "This page is not served under that name; open it by the address that ttslo has printed"
)
FOREIGN_ORIGIN = "Other pages may not ask this one"
NOT_LOGGED_IN = "This page needs the token of TTSLO_WEB_TOKEN, as `Authorization: Bearer TOKEN`"


def is_full(most: int) -> str:
    """Return what one is told who comes when too many look already."""
    return f"{most} pages are open already, and more would cost the program; close one of them"


NO_METRICS = 'Figures need the library prometheus-client: pip install "ttslo[metrics]"'
NOT_BEGUN = "Nothing is watched yet: the program is starting"
NOT_HERE = "There are /, /events, /metrics and /healthz"
ACTIONS_NEED_LOGIN = (
    "--web-actions lets the page place and cancel orders, which needs a token even on this "
    "machine: set TTSLO_WEB_TOKEN, or leave --web-actions out"
)
READ_ONLY = (
    "this page can only be read; start the program with --web-actions to let it do something"
)
NO_WISH = "this asks for nothing that can be done; name a row, and arm, disarm, fire or cancel"


def confirm(verb: str, row: str) -> str:
    """Return what will happen, for a person to agree to."""
    what = {
        "arm": f"Arm {row}: its threshold is watched, and its order placed once it is crossed",
        "disarm": f"Disarm {row}: no order is placed for it any more",
        "fire": f"Fire {row}: its trailing stop is placed NOW, at today's price",
        "cancel": f"Cancel the order of {row}: what it protects is PROTECTED NO MORE",
    }
    return what[verb]


NOT_CONFIRMED = (
    "nothing was done: that question was not asked, is answered, or is too old; ask again"
)
