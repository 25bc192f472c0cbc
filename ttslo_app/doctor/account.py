"""What the doctor asks Kraken about keys and rows: permissions, pairs, funds, and each real order.

What it must never do: place an order, ask on with a key that Kraken refuses, or with the trading
key while a program uses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import creds
from kraken_api import KrakenAPI
from krakenlink.errors import AuthenticationError, KrakenAPIError, KrakenError, RateLimitError
from krakenlink.foreign import some_of
from krakenlink.numbers import EXACT, counted, readable
from krakenlink.pairs import Pair
from krakenlink.rest.answers import Outcome
from krakenlink.rest.key_info import KeyInfo, Right, read_key_info
from krakenlink.rest.verdicts import OutcomeKind
from ttslo_app.doctor.local import TIMEOUTS, Findings, Patient
from ttslo_app.doctor.words import moment_of, say
from ttslo_app.messages import Sentence
from ttslo_app.orders.exchange import KrakenExchange, market_from
from ttslo_app.orders.owed import OF_KEY
from ttslo_app.orders.request import OrderRequest, order_to_check
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.facts import Funds, Unchecked, amount, need_of
from ttslo_app.rules.findings import INSUFFICIENT
from ttslo_app.run.exclusive import prove
from ttslo_app.run.order_checks import is_silence

# No order is asked about when so little is left.
_RESERVE = 0.5
# Kraken counts checks of an order as orders on its pair, and regains one a second.
_MOST_ORDERS = 20
_SOON = 14 * 86_400.0
_NEVER = 4e9
_NO_KEY = "Kraken was asked about no key"
_NAMES = {"reading": "", "trading": "_RW"}
_PROBES: dict[Right, str] = {
    Right.QUERY_FUNDS: "get_balance",
    Right.QUERY_OPEN: "query_open_orders",
    Right.QUERY_CLOSED: "query_closed_orders",
    Right.STREAM: "get_websockets_token",
}
_DENIED = "Permission denied"
# What each permission is for, and whether the trading key can do without.
_USES = {
    Right.MODIFY: ("placing the stop", True),
    Right.QUERY_OPEN: ("watching orders, and finding one whose answer was lost", True),
    Right.QUERY_CLOSED: ("seeing how an order ended, and finding one", True),
    Right.QUERY_FUNDS: ("looking at funds before a row fires", False),
    Right.STREAM: ("hearing of a fill at once", False),
}
_OF_TRADING = frozenset({Right.MODIFY, Right.STREAM})
# Any order will do to find out whether a key may place one; it is only checked.
_ANY_ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+10.0%")


# --- keys --------------------------------------------------------------------------------------


def look_at_keys(patient: Patient) -> Findings:
    """Find the keys and ask Kraken about each, the trading key only while nobody uses it."""
    found = {}
    for which in _NAMES:
        try:
            found[which] = creds.find_kraken_credentials(which == "trading", patient.env_file)
        except ValueError as error:
            yield say("keys unreadable", which, error=error)
    for which, (key, secret) in found.items():
        variables = [f"KRAKEN_API_{part}{_NAMES[which]}" for part in ("KEY", "SECRET")]
        if not key and not secret:
            names = " and ".join(variables)
            yield (
                say("key absent", which, names=names)
                if which == "trading"
                else say("key unused", which)
            )
        elif not key or not secret:
            given, missing = variables if key else variables[::-1]
            yield say("key halved", which, which=which, given=given, missing=missing)
        elif which == "reading" and key == found.get("trading", ("", ""))[0]:
            yield say("one key", which)
        elif which == "trading" and patient.holder:
            yield say("key in use", which, holder=patient.holder)
        elif not patient.is_proving and _is_exclusive(patient, key, secret):
            yield say("key exclusive", which, which=which)
        else:
            yield from _asked(patient, which, key, secret)


def _asked(patient: Patient, which: str, key: str, secret: str) -> Findings:
    """Ask Kraken what a key may do; a key that it takes is at hand for the checks that follow."""
    root = patient.exchange().base_url
    client = KrakenAPI(key, secret, root, use_websocket=False, timeouts=TIMEOUTS)
    if patient.is_proving and which == "trading":
        client.gate.reign()
    try:
        info = read_key_info(client.get_api_key_info())
    except (KrakenError, ValueError) as error:
        if not _is_about_the_call(error):
            client.close()
            yield _refused(which, error)
            return
        yield say("key untold", which, which=which, error=_errors_of(error))
        patient.info[which] = _found_out(patient, client, which)
    else:
        yield say("key taken", which, which=which)
        patient.info[which] = info
        patient.told.add(which)
    patient.clients[which] = client


def _is_exclusive(patient: Patient, key: str, secret: str) -> bool:
    """Tell whether a call with a key would be refused, or depose the program that has it."""
    root = patient.exchange().base_url
    with KrakenAPI(key, secret, root, use_websocket=False) as client:
        return client.gate.was_exclusive


def look_at_exclusive(patient: Patient) -> Findings:
    """See, where that was asked for, whether Kraken refuses others once a key is exclusive."""
    trading = patient.clients.get("trading")
    if not patient.is_proving or trading is None:
        why = "--exclusive-key-test was not given" if not patient.is_proving else _NO_KEY
        yield say("nothing", why=why)
        return
    wrong = prove(trading, _ANY_ORDER)
    yield say("not exclusive", wrong=wrong) if wrong else say("exclusive")


def _is_about_the_call(error: Exception) -> bool:
    """Tell whether Kraken refuses this call alone, and not the key."""
    known = (_DENIED, "Unknown method", "Feature disabled", "Invalid arguments")
    return isinstance(error, KrakenAPIError) and any(part in str(error) for part in known)


def _refused(which: str, error: Exception) -> Sentence:
    if isinstance(error, AuthenticationError | RateLimitError):
        said = _errors_of(error)
        return say("key refused", which, which=which, error=said, cure=error.cure.rstrip("."))
    if isinstance(error, ValueError):  # nothing could be signed with it
        cure = "Copy key and secret anew, each whole and in its own place"
        return say("key refused", which, which=which, error=error, cure=cure)
    return say("key unasked", which, which=which, error=error)


def _errors_of(error: Exception) -> str:
    return ", ".join(getattr(error, "errors", ())) or str(error)


def _found_out(patient: Patient, client: KrakenAPI, which: str) -> KeyInfo:
    """Find out what a key may do by one call for each permission, which changes nothing."""
    rights: set[Right] = set()
    for right in _wanted(which):
        if right in _PROBES:
            try:
                getattr(client, _PROBES[right])()
            except KrakenError as error:
                if _DENIED not in str(error):
                    return KeyInfo()  # no answer is not a no
                continue
        else:
            outcome = _exchange(patient, client).check(_ANY_ORDER)
            if _DENIED in outcome.reason:
                continue
            if is_silence(outcome) or outcome.pause in OF_KEY:
                return KeyInfo()
        rights.add(right)
    return KeyInfo(frozenset(rights))


def _wanted(which: str) -> list[Right]:
    return [right for right in _USES if which == "trading" or right not in _OF_TRADING]


def _exchange(patient: Patient, client: KrakenAPI) -> KrakenExchange:
    return KrakenExchange(client, patient.exchange(), time.time, lambda level, text, **_: None)


def _each_key(look: Callable[[str, KeyInfo], Sentence]) -> Callable[[Patient], Findings]:
    """Return a check that looks at each key of which Kraken has told something."""

    def look_at_each(patient: Patient) -> Findings:
        for which, info in patient.info.items():
            yield look(which, info)
        if not patient.info:
            yield say("nothing", why=_NO_KEY)

    return look_at_each


def _rights(which: str, info: KeyInfo) -> Sentence:
    wanted = _wanted(which)
    if info.rights is None:
        return say("rights unknown", which, which=which, why="Kraken did not tell it")
    missing = [right for right in wanted if right not in info.rights]
    if not missing:
        return say("rights", which, which=which, names=", ".join(f"'{r}'" for r in wanted))
    named = "; ".join(f"'{right}' (for {_USES[right][0]})" for right in missing)
    is_needed = which == "trading" and any(_USES[right][1] for right in missing)
    return say("rights missing" if is_needed else "rights wanted", which, which=which, names=named)


def look_at_batches(patient: Patient) -> Findings:
    """Tell whether the trading key may place several orders in one request; none is sent."""
    which = "trading"
    info = patient.info.get(which)
    if info is None:
        yield say("nothing", why=_NO_KEY)
    elif info.rights is None or which not in patient.told:
        yield say("batches untold", which, which=which)
    elif {Right.MODIFY, Right.CANCEL} <= info.rights:
        yield say("batches", which, which=which)
    else:
        yield say("no batches", which, which=which)


def look_at_withdrawal(patient: Patient) -> Findings:
    """Tell whether a key may take money out."""
    for which, info in patient.info.items():
        # What calls have found out tells nothing of it, and none that moves money is tried.
        if info.rights is None or which not in patient.told:
            yield say("withdrawal unknown", which, which=which)
        elif info.rights & {Right.WITHDRAW, Right.ADDRESSES}:
            yield say("may withdraw", which, which=which)
        else:
            yield say("cannot withdraw", which, which=which)
    if not patient.info:
        yield say("nothing", why=_NO_KEY)


def _expiry(which: str, info: KeyInfo) -> Sentence:
    ends_at = info.expires_at
    if ends_at is None:
        return say("end untold", which, which=which)
    if ends_at > _NEVER:
        return say("never ends", which, which=which)
    left = ends_at - time.time()
    how = "ends later" if left > _SOON else "ends soon" if left > 0 else "has ended"
    return say(how, which, which=which, moment=moment_of(ends_at))


def _addresses(which: str, info: KeyInfo) -> Sentence:
    if info.addresses is None:
        return say("addresses untold", which, which=which)
    if not info.addresses:
        return say("every address", which, which=which)
    return say("some addresses", which, which=which, names=some_of(info.addresses))


def _nonces(which: str, info: KeyInfo) -> Sentence:
    if info.nonce_window is None:
        return say("window untold", which, which=which)
    if not info.nonce_window:
        return say("no window", which, which=which)
    return say("window", which, which=which, window=info.nonce_window)


look_at_rights = _each_key(_rights)
look_at_expiry = _each_key(_expiry)
look_at_addresses = _each_key(_addresses)
look_at_nonces = _each_key(_nonces)


# --- rows --------------------------------------------------------------------------------------


def look_at_rows(patient: Patient) -> Findings:
    """Check the rows as the program does at its start, against Kraken's pairs and prices."""
    books = patient.books()
    armed = {rule.id for rule in patient.rules() if books.was_armed(rule)}
    validator = ConfigValidator(patient.exchange())
    result = patient.result = validator.validate_config_file(
        patient.rows, armed_before=armed, fired=books.fired(), now=datetime.now(UTC)
    )
    for error in result.errors:
        if (error["config_id"], error["message"]) not in patient.refused:  # told already
            row = error["config_id"]
            yield say("row refused", row, row=row, what=error["message"])
    for warning in result.warnings:
        if warning["field"] != "balance" and not warning["message"].startswith(INSUFFICIENT):
            row = warning["config_id"]
            yield say("row odd", row, row=row, what=warning["message"])
    for note in result.notes:
        yield say("rows unchecked", what=note)
    yield say("rows good", rows=counted(len(result.accepted), "row"))


def look_at_pairs(patient: Patient) -> Findings:
    """Tell of each pair whether it trades, and what Kraken takes of it."""
    api = patient.exchange()
    names = dict.fromkeys(rule.pair for rule in patient.rules())
    if not names:
        yield say("nothing", why="there is no row with a pair")
    for name in names:
        try:
            pair = api.resolve_pair(name)
        except (KrakenError, LookupError) as error:
            yield say("pair unknown", name, pair=name, why=error)
            continue
        limits = [
            f"at least {readable(pair.ordermin)}" if pair.ordermin else "",
            f"worth at least {readable(pair.costmin)}" if pair.costmin else "",
        ]
        least = ", ".join(filter(None, limits)) or "without a minimum that is told"
        if pair.status == "online":
            yield say("pair open", name, pair=name, least=least)
        else:
            yield say("pair restricted", name, pair=name, status=pair.status)


def look_at_funds(patient: Patient) -> Findings:
    """Sum by asset what the armed rows take, and compare it with what the account has."""
    client = patient.clients.get("reading") or patient.clients.get("trading")
    needs = list(_needs(patient))
    if not needs:
        yield say("nothing", why="no row is armed")
        return
    if client is None:
        yield say("funds unasked")
        return
    funds = Funds(client)
    for asset in dict.fromkeys(asset for _, asset, _ in needs):
        claims = [(row, part) for row, one, part in needs if one == asset]
        found = funds.of(asset)
        if isinstance(found, Unchecked):
            yield say("funds unknown", why=found.why)
            return
        owned = EXACT.add(*found)
        total = sum((part for _, part in claims), Decimal(0))
        row, most = max(claims, key=lambda claim: claim[1])
        how = "lacking" if most > owned else "short" if total > owned else "enough"
        want = f"take{'s' if how == 'lacking' or len(claims) == 1 else ''} "
        want += amount(most if how == "lacking" else total)
        holes = {"row": row} if how == "lacking" else {"rows": counted(len(claims), "armed row")}
        yield say(f"funds {how}", asset, asset=asset, want=want, have=amount(owned), **holes)


def _needs(patient: Patient) -> Iterator[tuple[str, str, Decimal]]:
    """Yield the row, the asset and the amount of each armed row whose pair is known."""
    listed = _listed(patient)
    for rule in patient.armed():
        need = need_of(rule, listed[rule.id]) if rule.id in listed else None
        if need is not None:
            yield rule.id, *need


def _listed(patient: Patient) -> dict[str, Pair]:
    accepted = patient.result.accepted if patient.result is not None else ()
    return {one.rule.id: one.listed for one in accepted if one.listed is not None}


def look_at_orders(patient: Patient) -> Findings:
    """Send the real order of each armed row to be checked, and not to be placed."""
    client = patient.clients.get("trading")
    listed = _listed(patient)
    orders: dict[OrderRequest, list[str]] = {}
    for rule in patient.armed():
        if rule.id in listed:
            order = order_to_check(rule, market_from(listed[rule.id]))
            orders.setdefault(order, []).append(rule.id)
    if not orders:
        yield say("nothing", why="no row is armed")
        return
    if client is None:
        yield say("orders unasked", rows=some_of([row for rows in orders.values() for row in rows]))
        return
    exchange = _exchange(patient, client)
    waiting = list(orders.items())
    while waiting and len(orders) - len(waiting) < _MOST_ORDERS and patient.left() > _RESERVE:
        order, rows = waiting.pop(0)
        outcome = exchange.check(order)
        yield _judged(rows, order, outcome)
        if outcome.pause in OF_KEY:
            break  # Kraken locks out whoever goes on
    if left := [row for _, rows in waiting for row in rows]:
        yield say("orders left", rows=some_of(left))


def _judged(rows: list[str], order: OrderRequest, outcome: Outcome) -> Sentence:
    named, about = some_of(rows), rows[0]
    if outcome.kind is OutcomeKind.PLACED:
        return say("order appeared", about, rows=named, txid=outcome.txid)
    if outcome.kind is OutcomeKind.VALID:
        return say("order welcome", about, rows=named, order=order)
    if is_silence(outcome) and outcome.pause not in OF_KEY:
        return say("order unanswered", about, rows=named, order=order, error=outcome.reason)
    cure = outcome.cure.rstrip(".") or "Mend the row in config.csv"
    why = outcome.reason
    return say("order unwelcome", about, rows=named, order=order, error=why, cure=cure)
