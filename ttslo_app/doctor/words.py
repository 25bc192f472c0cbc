"""Every sentence of the doctor: what was looked at, how it is, and what helps.

Pure: a table of sentences with holes. The level says whether something is well (ok), odd (warn) or
keeps the program from its work (fail), and all but the first have a cure. What it must never do:
call something well that was not looked at, or show a key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from krakenlink.foreign import shown
from ttslo_app.messages import Kind, Sentence

_STATUS = {"INFO": "ok", "WARNING": "warn", "ERROR": "fail"}
_LONGEST = 240


class Saying(NamedTuple):
    """A sentence and its cure, both with holes that are named in braces."""

    level: str
    text: str
    cure: str = ""


def _ok(text: str) -> Saying:
    return Saying("INFO", text)


def _warn(text: str, cure: str) -> Saying:
    return Saying("WARNING", text, cure)


def _fail(text: str, cure: str) -> Saying:
    return Saying("ERROR", text, cure)


_KEY_PAGE = "Look at Kraken's page of API keys"
_GIVE = "Give it that on Kraken's page of API keys"
_DNS = "Look at the network and its DNS server; in a container at its DNS settings"
_NET = "Look at the network, its firewall and HTTPS_PROXY, and at status.kraken.com"
_TLS = (
    "Set the clock right, renew the system's list of certificates, and see whether a company's "
    "proxy or a virus scanner reads along"
)
_ORDERS = "Compare it with your orders at Kraken and mend it, or move it away: then all is new"
_CLOCK = (
    "Let the system set it, as with `timedatectl set-ntp true`. While it is ahead the key gets "
    "used to high nonces, and refuses lower ones later"
)

SAYINGS: dict[str, Saying] = {
    # --- the checks themselves
    "broke": _fail(
        "this could not be looked at: {error}",
        "Mend what the other lines tell first; if this one stays, report it",
    ),
    "no answer": _fail(
        "no answer within {seconds:.0f} s",
        "Look at the lines above and at the disk and the network, then run it again",
    ),
    "not begun": _warn(
        "not looked at: no time was left", "Mend what took so long, then run it again"
    ),
    "not looked at": _warn("not looked at, as {check} fails", "Mend {check} first"),
    "nothing": _ok("nothing to look at: {why}"),
    # --- files
    "names differ": _ok("config, state, log and keys are files of their own"),
    "names clash": _fail(
        "{error}", "Name another file with --config, --state, --log or --env-file"
    ),
    "config gone": _fail(
        "there is no {file}",
        "Write one, or start from `ttslo --create-sample-config`; --config names another",
    ),
    "config unreadable": _fail(
        "{file} cannot be read ({error})", "Let the user of the program read it"
    ),
    "config odd": _warn("{file}: {what}", "Mend that line"),
    "config empty": _fail("{file} holds no row; there is nothing to watch", "Write a row"),
    "config read": _ok("{file}: {rows}, {armed} enabled"),
    "row refused": _fail("{row}: {what}", "Mend the row in config.csv"),
    "file unfit": _fail("{error}", "As it says; no order is placed before that is mended"),
    "log fit": _ok("{file} can be written, and kept beside its successor"),
    "log unfit": _warn("{error}", "As it says, or name another file with --log; orders need none"),
    "config fit": _ok("{file} can be replaced by rename and brought to the disk"),
    "config fixed": _warn("{error}", "As it says; that is needed once there is a trading key"),
    "state known": _ok(
        "{file} ({what}) can be replaced by rename and brought to the disk in {seconds:.3f} s"
    ),
    "state doubtful": _fail("{what}", _ORDERS),
    "journal empty": _ok("no order of an earlier run is left without its outcome"),
    "journal kept": _warn(
        "{file} tells of orders whose outcome was not written down: {rows}",
        "Start the program: it looks them up at Kraken before anything else",
    ),
    "journal damaged": _fail("{what}", "Compare it with your orders at Kraken, then move it away"),
    "lock free": _ok("no program works on {file}"),
    "lock held": _ok("{file} is in use by {holder}: the program runs, and is left alone"),
    "lock unknown": _warn(
        "the lock of {file} cannot be looked at ({error})",
        "Let the user of the program own what lies beside it",
    ),
    "space left": _ok("{megabytes} MB are free where {file} is"),
    "space low": _warn("only {megabytes} MB are free where {file} is", "Free some of it"),
    "space gone": _fail(
        "no room is left where {file} is",
        "Free some: without room no intent is written, and so no order is placed",
    ),
    "keys private": _ok("{file} is not for every user to read"),
    "keys elsewhere": _ok("there is no {file}; keys come from the environment, if any"),
    "keys exposed": _warn("{what}", "As it says; make new keys if others had a look"),
    "keys unreadable": _fail("{error}", "Correct --env-file, or let the program read that file"),
    # --- settings and machine
    "settings good": _ok("variables of ours: {names}"),
    "exchange": _ok("orders go to {rest}; prices stream from {stream}"),
    "setting odd": _warn("{what}", "Correct its name, or unset it"),
    "setting bad": _fail("{error}", "Correct that setting: the program does not start with it"),
    "python fits": _ok("Python {version} on {system}"),
    "python old": _fail("Python {version} is older than {least}", "Install a newer one"),
    "libraries": _ok("{names}"),
    "library missing": _fail("{name} {what}", "pip install '{name}>={least}'"),
    "library wanted": _warn("{name} {what}: {why}", "pip install '{name}>={least}'"),
    # --- the network
    "no proxy": _ok("no proxy is named; connections are direct"),
    "proxy": _ok("{host} is reached through the proxy {proxy}"),
    "name found": _ok("{host} is {addresses}"),
    "name lost": _fail("the name {host} is not found ({error})", _DNS),
    "port open": _ok("{host} takes connections, after {milliseconds:.0f} ms"),
    "port shut": _fail("{host} takes no connection ({error})", _NET),
    "tls good": _ok("{host} has a certificate that is trusted, until {until}"),
    "tls unused": _ok("{host} is this machine and needs no certificate"),
    "tls bad": _fail("TLS with {host} fails ({error}){variables}", _TLS),
    "clock right": _ok("REST answers; this machine's clock is right to {seconds} s"),
    "clock wrong": _warn("{what}", _CLOCK),
    "rest silent": _fail("{error}", f"{_NET}; without REST no order can be placed"),
    "engine online": _ok("Kraken's engine is online"),
    "engine": _warn(
        "Kraken's engine is {system}: orders are refused until it is online",
        "Wait, and see status.kraken.com",
    ),
    "stream unwanted": _ok("prices come over REST only, as {why}"),
    "stream impossible": _warn("prices come over REST only: {why}", "{cure}"),
    "stream open": _ok("the stream is open, after {milliseconds:.0f} ms"),
    "stream shut": _fail(
        "the stream does not open: {why}",
        "Look at the network, its firewall and proxy for WebSockets; until then prices come over "
        "REST, each some seconds old",
    ),
    "account polled": _ok("orders are looked at over REST only, as {why}"),
    "account reachable": _ok("{host} takes connections, to tell of a fill at once"),
    "account unreachable": _warn(
        "{host}, which tells of a fill at once, takes no connection ({error})",
        "Look at the firewall and HTTPS_PROXY; until then orders are looked at over REST",
    ),
    "price streams": _ok("{pair} {price}, proven {seconds:.1f} s ago"),
    "price polled": _warn(
        "{pair} {price} over REST only: {why}",
        "Nothing, if it passes; while it is polled a short spike can be missed",
    ),
    "price missing": _fail(
        "{pair} has no price, neither streamed nor over REST: {why}",
        "Check the pair at Kraken: without a price its threshold is not watched",
    ),
    # --- keys
    "key absent": _warn(
        "no trading key: the program watches and CANNOT PLACE ORDERS", "Set {names}"
    ),
    "key unused": _ok("no reading key: orders are watched with the trading key"),
    "key halved": _fail(
        "the {which} key is half a key: {given} is set, {missing} is not", "Set {missing}"
    ),
    "key taken": _ok("Kraken takes the {which} key"),
    "key untold": _warn(
        "Kraken does not tell what the {which} key may do ({error})",
        "Nothing: it is found out below by calls that change nothing",
    ),
    "key refused": _fail("the {which} key is refused: {error}", "{cure}"),
    "key unasked": _warn("Kraken gave no answer about the {which} key: {error}", "Run it again"),
    "key in use": _warn(
        "not asked: {holder} uses the trading key, and a call from here could spoil a nonce of its "
        "orders",
        "Stop the program to have this looked at; it has its orders checked itself",
    ),
    "key exclusive": _warn(
        "not asked: the {which} key is one program's alone; a call from here would take it over",
        "Nothing, if the program runs; it has its orders checked itself",
    ),
    "exclusive": _ok(
        "Kraken takes exclusive nonces of the trading key and refuses lower ones: --exclusive-key "
        "works with it, and nothing else does from now on"
    ),
    "not exclusive": _fail(
        "{wrong}",
        "Do not rely on --exclusive-key; set the key's nonce window to 0, or use a new one",
    ),
    "one key": _ok("the reading key is the trading key, and is looked at there"),
    "rights": _ok("the {which} key may do what it is for: {names}"),
    "rights missing": _fail("the {which} key lacks {names}", _GIVE),
    "rights wanted": _warn("the {which} key lacks {names}", _GIVE),
    "batches": _ok("the {which} key may place several orders of a pair in one request"),
    "no batches": _warn(
        "the {which} key cannot place several orders of a pair in one request: when many rows fire "
        "at once, each goes by itself",
        "Give it 'Create & modify orders' and 'Cancel & close orders' on Kraken's page of API keys",
    ),
    "batches untold": _ok(
        "whether the {which} key may place several orders in one request is not told"
    ),
    "rights unknown": _warn("what the {which} key may do is not known: {why}", _KEY_PAGE),
    "cannot withdraw": _ok("the {which} key may not withdraw"),
    "may withdraw": _warn(
        "the {which} key MAY WITHDRAW: whoever gets hold of it can take your money out",
        "Take that permission away at Kraken; the program never needs it",
    ),
    "withdrawal unknown": _warn(
        "whether the {which} key may withdraw is not known",
        f"{_KEY_PAGE}, and take that permission away",
    ),
    "never ends": _ok("the {which} key does not end"),
    "ends later": _ok("the {which} key ends on {moment}"),
    "ends soon": _warn(
        "the {which} key ends on {moment}", "Make a new one before; stops stay at Kraken"
    ),
    "has ended": _fail("the {which} key has ended on {moment}", "Make a new one at Kraken"),
    "end untold": _warn("when the {which} key ends is not told", _KEY_PAGE),
    "every address": _ok("the {which} key may be used from everywhere; Kraken can restrict it"),
    "some addresses": _ok("the {which} key may be used from {names}"),
    "addresses untold": _ok("from where the {which} key may be used is not told"),
    "no window": _ok("the {which} key has no nonce window: use it for one program only"),
    "window": _ok("the {which} key has a nonce window of {window}"),
    "window untold": _ok("the nonce window of the {which} key is not told"),
    # --- notifications
    "address good": _ok("{name} is told of: {level}"),
    "address bad": _fail("{error}", "As it says; the program does not start with it"),
    "ping good": _ok("an address is fetched each minute in which nothing could be missed"),
    "nobody told": _ok("nobody is to be told of anything; --notify names whom"),
    "test left": _ok("nothing was sent; --send-test sends one message to each address"),
    "test sent": _ok("{name} has taken the test message; see that it has arrived"),
    "test failed": _fail(
        "{name} has not taken the test message: {why}", "Correct the address, or see to its service"
    ),
    # --- rows
    "row odd": _warn("{row}: {what}", "Look at the row in config.csv"),
    "rows good": _ok("{rows} checked against Kraken's pairs and prices"),
    "rows unchecked": _warn("not checked: {what}", "Run it again once that can be asked for"),
    "pair open": _ok("{pair} is online, {least}"),
    "pair restricted": _warn(
        "{pair} is {status} at Kraken: an order may be refused now",
        "Wait until it is online, and see status.kraken.com",
    ),
    "pair unknown": _warn("{pair} could not be looked up: {why}", "Check its name"),
    "funds enough": _ok("{asset}: {rows} {want}, the account has {have}"),
    "funds short": _warn(
        "{asset}: {rows} {want} together, the account has {have}",
        "Pay in, or lower a volume: not all of them can be filled",
    ),
    "funds lacking": _fail(
        "{asset}: {row} alone {want}, the account has {have}", "Pay in, or lower its volume"
    ),
    "funds unknown": _warn("funds are not looked at: {why}", "Set a key that has 'Query funds'"),
    "funds unasked": _warn(
        "funds are not looked at, as there is no key to ask with now", "See what keys.found tells"
    ),
    "order welcome": _ok("{rows}: Kraken would take {order}"),
    "order unwelcome": _fail("{rows}: Kraken would REFUSE {order}: {error}", "{cure}"),
    "order unanswered": _warn(
        "{rows}: whether Kraken would take {order} is not known: {error}", "Run it again"
    ),
    "order appeared": _fail(
        "{rows}: only asked about its order, Kraken names an order {txid}",
        "Look at it there at once, and cancel it if it stands",
    ),
    "orders unasked": _warn(
        "{rows}: not asked about, as there is no trading key to ask with now",
        "See what keys.found tells",
    ),
    "orders left": _warn(
        "{rows}: not asked about, to stay within Kraken's pace and the time",
        "Start the program: it asks about each order",
    ),
}


def say(saying: str, about: str = "", **holes: object) -> Sentence:
    """Return a sentence of the table.

    Args:
        saying: Its name there.
        about: The file, host, pair, key or row that it is about, for those who sort by it.
        **holes: What fills its holes. Words of others are shown in one line and cut.
    """
    level, text, cure = SAYINGS[saying]
    filled = {n: v if isinstance(v, int | float) else line_of(v) for n, v in holes.items()}
    fields = {"about": about, "cure": cure.format(**filled)}
    return Sentence(Kind.CHECK, level, text.format(**filled), fields)


def status_of(sentence: Sentence) -> str:
    """Return `ok`, `warn` or `fail`."""
    return _STATUS[sentence.level]


def line_of(value: object) -> str:
    """Return anything, an error too, in one line without an end mark."""
    said = getattr(value, "strerror", None) or str(value) or type(value).__name__
    return shown(" ".join(str(said).split()), _LONGEST).rstrip(".")


def moment_of(seconds: float) -> str:
    """Return a moment in UTC; `seconds` since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}Z"
