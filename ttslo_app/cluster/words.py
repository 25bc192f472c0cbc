"""Every sentence about a shared store, about who leads, and about what a host writes there.

Pure. Those in capitals and those that return text end an error's sentence; the others are said as
they are. What it must never do: show a password, call a change refused that may have been done, or
say that orders are placed where none can be.
"""

from __future__ import annotations

from krakenlink.foreign import shown
from krakenlink.numbers import readable
from ttslo_app.cluster.records import Lead
from ttslo_app.messages import Kind, Sentence

LOGIN_OLD = "the store does not know this login any more: a new one is asked for"
LOGIN_REFUSED = (
    "the store refuses the name or password: correct TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
)
NO_LOGIN = "the store wants a login: set TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
NO_USERS = (
    "the store knows no users, so it lets in whoever reaches it: turn that on with `etcdctl auth "
    "enable`, or unset TTSLO_STORE_USER and TTSLO_STORE_PASSWORD"
)
NO_RIGHT = (
    "the store does not let this user do that: give its role the right to read and write all keys "
    "that begin with /ttslo/ and the cluster's name"
)
COMMON_NAME = (
    "the store refuses the certificate of TTSLO_STORE_CERT because it bears a common name, which "
    "could pass for a user: make one without CN, as STANDBY.md shows"
)
NO_SPACE = (
    "the store is full and takes nothing more: free it with `etcdctl compact`, `etcdctl defrag` "
    "and `etcdctl alarm disarm`, and set --auto-compaction-retention=1h"
)
CORRUPT = "the store's nodes do not agree on what they hold: restore it from a backup"
TOO_LARGE = "the store takes no change of this size: start etcd with its usual limits"
COMPACTED = "what was asked for has been thrown away meanwhile: ask anew"
TWICE = "a change names one key twice"
PAST_GONE = (
    "others have changed the same since, and the store has thrown away what was before: whether "
    "this change was done cannot be known"
)
BUSY = "the store has too much to do"
NO_QUORUM = "no majority of the store's nodes answers: see to it that more than half of them run"
NOT_READY = "this node of the store is not ready"


def not_etcd(status: int, kind: str) -> str:
    """Return that it was not etcd that has answered."""
    seen = shown(kind.partition(";")[0] or "no type", 40)
    return (
        f"something answered that is not etcd ({status}, {seen}): correct the address, and leave "
        "out proxies between"
    )


def odd(why: str) -> str:
    """Return that an answer makes no sense."""
    return f"an answer that etcd does not give ({shown(why, 80)}): correct the address"


def other(said: str) -> str:
    """Return etcd's own words, where none of ours are known for them."""
    return f"the store says: {shown(said, 160)}"


def cannot_connect(why: str) -> str:
    """Return that a node cannot be reached at all."""
    return f"cannot connect{f' ({why})' if why else ''}"


def not_trusted(why: str) -> str:
    """Return that TLS has failed."""
    return (
        f"its certificate is not to be trusted ({shown(why, 120)}): name the file of its authority "
        "in TTSLO_STORE_CA, and one of its certificate's names in the address"
    )


LATE = "no answer in time"


def broken_off(why: str) -> str:
    """Return that a connection has ended before the answer."""
    return f"broke off without an answer{f' ({why})' if why else ''}"


def unreachable(what: str, seconds: float, told: list[str]) -> str:
    """Return that no node has answered, and what each of them was good for."""
    return (
        f"the store has not {what} within {readable(str(round(seconds, 1)))} s: {'; '.join(told)}"
    )


def unknown(text: str) -> str:
    """Return that a refused change may have been done by an earlier try."""
    return f"{text}. An earlier try may have been done"


def no_file(variable: str, path: str, why: object) -> str:
    """Return that a file of certificates cannot be used."""
    return f"{variable} names {shown(path)}, which cannot be used ({why}): correct it or unset it"


def _said(level: str, text: str) -> Sentence:
    return Sentence(Kind.STANDBY, level, text)


def name_of(lead: Lead | None) -> str:
    """Return who leads, for a sentence."""
    return "another host" if lead is None or not lead.host else shown(lead.host, 40)


def follows(lead: Lead, patience: float) -> Sentence:
    """Say that this host stands by."""
    seconds = readable(f"{patience:g}")
    return _said(
        "INFO",
        f"FOLLOWS: {name_of(lead)} leads since {shown(lead.since, 30)}. This host sends nothing "
        f"and takes over {seconds} s after that one falls silent",
    )


def stands_in(lead: Lead | None, silence: float) -> Sentence:
    """Say that this host won the election."""
    if lead is None or not lead.host:
        return _said("INFO", "Nobody leads, so this host takes the lead")
    return _said(
        "WARNING", f"{name_of(lead)} has been silent for {silence:.1f} s: this host takes over"
    )


def leads(lead: Lead | None) -> Sentence:
    """Say that orders are placed by this host from now on."""
    epoch = 0 if lead is None else lead.epoch
    return _said(
        "INFO",
        f"LEADS (epoch {epoch}): crossings have their orders from this host; Kraken refuses "
        "whoever led before",
    )


KRAKEN_DOES_NOT_ANSWER = _said(
    "WARNING",
    "Kraken has not answered yet, so it may still take orders of who led before: "
    "nothing is sent until it does. It is asked again and again",
)


def deposed(lead: Lead | None) -> Sentence:
    """Say that another host leads by now."""
    return _said(
        "WARNING",
        f"DEPOSED: {name_of(lead)} leads now. This host sends nothing more and stands by",
    )


REFUSED_BY_NOBODY_KNOWN = _said(
    "WARNING",
    "STEPS DOWN: refused as if another led, and the store knows of none. Nothing more is sent "
    "before a new election; if this repeats, see who else uses the key",
)
DOES_NOT_TAKE_UP = _said(
    "ERROR",
    "STEPS DOWN: the order thread did not take up what was under way within a minute. Another "
    "host may lead; look at the log of this one, and start it anew",
)
HANDS_OVER = _said("INFO", "Hands over, as it was asked to: this host sends nothing more")


def hands_over_blind(seconds: float) -> Sentence:
    """Say that this host gives way because it sees no prices."""
    return _said(
        "WARNING",
        f"No live price here for {seconds:.0f} s, and another host sees some: hands over",
    )


def hands_over_cut_off(seconds: float) -> Sentence:
    """Say that this host gives way because it could place no order."""
    return _said(
        "WARNING",
        f"Kraken has taken no call from here for {seconds:.0f} s, and another host reaches it: "
        "hands over. See to this host's network, and who asks too often",
    )


LEAVES_IT_TO_ANOTHER = _said(
    "WARNING",
    "STEPS DOWN: Kraken does not answer this host, and another host reaches it and takes over. "
    "See to the network of this one",
)


def kraken_is_silent(seconds: float, *, leads: bool) -> Sentence:
    """Say that no call of this host has an answer."""
    silent = f"Kraken has taken no call from here for {seconds:.0f} s"
    if leads:
        return _said(
            "ERROR",
            f"{silent}: NO ORDER can be placed, and no other host reaches it. See to the network; "
            "this host leads on until one does",
        )
    return _said(
        "WARNING",
        f"{silent}: this host takes over only if no other can. See to its network",
    )


KRAKEN_IS_BACK = _said("INFO", "Kraken answers calls from here again")
NOBODY_TO_HAND_OVER_TO = _said(
    "WARNING",
    "Was asked to hand over, but no other host stands by for this account: leads on",
)


def contradicted(account: str) -> Sentence:
    """Say that Kraken has seen higher nonces than the store knows of."""
    return _said(
        "ERROR",
        f"REFUSES TO LEAD {shown(account, 40)}: Kraken saw a higher nonce than the store knows. "
        "Was it restored from a backup? Is the key used elsewhere? See STANDBY.md",
    )


def halted(account: str) -> Sentence:
    """Say that a host found store and Kraken to contradict each other, and nobody may lead."""
    return _said(
        "ERROR",
        f"REFUSES TO LEAD {shown(account, 40)}: a host found that Kraken saw a higher nonce than "
        "the store knows. Nobody leads it any more; see STANDBY.md",
    )


def store_is_older(account: str) -> Sentence:
    """Say that the store knows less than it did."""
    return _said(
        "ERROR",
        f"REFUSES TO LEAD {shown(account, 40)}: the store is older than it was when this host saw "
        "it last. Was it restored from a backup? See STANDBY.md",
    )


def store_is_silent(seconds: float, *, leads: bool) -> Sentence:
    """Say that no majority of the store answers."""
    now = "NO ORDER can be placed" if leads else "this host cannot take over"
    return _said(
        "ERROR",
        f"The store has not answered for {seconds:.0f} s: {now}. Prices are watched on; see that "
        "most of its nodes run and can be reached",
    )


STORE_IS_BACK = _said("INFO", "The store answers again")
LEADS_NO_MORE = "another host leads by now, so this one writes and sends nothing"


def keeps_changing(what: str) -> str:
    """Return that others change the same again and again."""
    return f"{shown(what, 80)} keeps changing in the store while it is written"


def changed_by_others(key: str) -> str:
    """Return that a life was changed by somebody who does not lead."""
    return (
        f"{shown(key, 80)} in the store was changed by somebody who does not lead: find out who "
        "writes there, then start this host anew"
    )


def edited(key: str) -> str:
    """Return that a row has changed since it was looked at."""
    return f"{shown(key, 80)} in the store was changed a moment ago: it is looked at again"
