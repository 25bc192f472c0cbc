"""Every sentence of a run that is about no single order: its files, its prices, its checks.

Pure: a function for each sentence, a constant where it is always the same. What it must never do:
promise more than is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from krakenlink.foreign import some_of
from ttslo_app.messages import Kind, Sentence, of_row

_MOST_NAMES = 5
_HOSTS = ("api.kraken.com", "ws.kraken.com")

# --- its exchange, its files, its clock --------------------------------------------------------


def place_of(address: str) -> str:
    """Return an address without name and password, and whether it is Kraken's own."""
    parts = urlsplit(address)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    bare = bare.rstrip("/")
    return f"Kraken ({bare})" if parts.hostname in _HOSTS else f"{bare} (not Kraken)"


def files_lost(error: Exception) -> Sentence:
    """Say that the program ends, as another one has taken its files over."""
    return Sentence(
        Kind.STOP,
        "ERROR",
        f"{error}. Its lock file was removed, and a second program has begun: this one ENDS and "
        "places no order more, the other one goes on",
    )


def state_problem(message: str, copy: object) -> Sentence:
    """Say what is wrong with the state file, and where a copy of it is."""
    kept = f" A copy is kept as {copy}." if copy else ""
    return Sentence(Kind.DOUBTFUL, "ERROR", f"{_ended(message)}{kept}")


def journal_damaged(damage: str) -> Sentence:
    """Say what is wrong with the journal of intents."""
    return Sentence(Kind.DOUBTFUL, "ERROR", damage)


def state_not_saved(error: object) -> Sentence:
    """Say that state.csv does not hold what is known."""
    text = f"state.csv cannot be written: {error}. Free the disk or mend its permissions"
    return Sentence(Kind.DISK, "ERROR", text)


def clock_unknown(error: object) -> Sentence:
    """Say that this machine's clock has to do."""
    text = (
        f"Kraken's clock cannot be read: {error}. Rows are armed all the same; what they miss "
        "is looked up once it can be. It is tried again"
    )
    return Sentence(Kind.CLOCK, "WARNING", text)


def row_is_none(error: object) -> Sentence:
    """Say that something that was handed in is no rule."""
    return Sentence(Kind.CONFIG, "ERROR", f"A row cannot be processed: {error}")


def life_unreadable(rule_id: str, error: object) -> Sentence:
    """Say that a row does not trade because its past is unknown."""
    return of_row(
        Kind.DOUBTFUL,
        "ERROR",
        rule_id,
        f"its row of the state file cannot be understood: {error}. See at Kraken whether it has an "
        "order",
    )


def ended_hard(name: str) -> Sentence:
    """Return the last word of a run that was told a second time to end."""
    return Sentence(
        Kind.STOP,
        "WARNING",
        f"Ended at once by a second {name}. An order under way is written down; the next start "
        "finds out what became of it",
    )


def figures_at(url: str) -> Sentence:
    """Say where figures are served."""
    return Sentence(Kind.START, "INFO", f"Figures at {url}/metrics, health at {url}/healthz")


# --- prices and the link -------------------------------------------------------------------------


def blind(since: str, names: Sequence[str], reason: str, poll_every: float) -> Sentence:
    """Say that the stream shows nothing that is proven."""
    of = ", ".join(sorted(names)) or "no armed pair"
    return Sentence(
        Kind.LINK,
        "WARNING",
        f"blind since {since} for {of}: {_ended(reason)} Reconnecting; meanwhile prices come "
        f"over REST every {poll_every:.0f} s",
    )


def sees_again(seconds: float, names: Sequence[str] = ()) -> Sentence:
    """Say that the stream is back; with names, that it is for those."""
    of = f": {', '.join(sorted(names))}" if names else ""
    return Sentence(Kind.LINK, "INFO", f"sees again after {seconds:.0f} s{of}")


def distrusted(reason: str) -> Sentence:
    """Say that the stream of a pair does not count for now."""
    return Sentence(Kind.LINK, "WARNING", reason)


def trusted_again(symbol: str) -> Sentence:
    """Say that it counts again."""
    return Sentence(Kind.LINK, "INFO", f"{symbol}: the stream speaks again and counts")


def not_streamed(symbol: str, why: str) -> Sentence:
    """Say that a pair is polled, and why."""
    text = f"{symbol} does not stream ({why}); it is polled over REST"
    return Sentence(Kind.LINK, "WARNING", text)


def streams_again(symbol: str) -> Sentence:
    """Say that a pair is polled no more."""
    return Sentence(Kind.LINK, "INFO", f"{symbol} streams again")


def no_price_over_rest(names: Sequence[str], error: object) -> Sentence:
    """Say that REST cannot be asked either."""
    return Sentence(
        Kind.PRICE,
        "WARNING",
        f"no price over REST either, blind for {', '.join(sorted(names))}: {error}",
    )


PRICES_AGAIN = Sentence(Kind.PRICE, "INFO", "REST tells prices again")


def cannot_fire(pair: str, rows: Sequence[str], reason: object) -> Sentence:
    """Say that the armed rows of a pair have no price to be crossed by."""
    why = str(reason).strip(" .")
    return Sentence(
        Kind.PRICE,
        "ERROR",
        f"{some_of(rows, _MOST_NAMES)}: CANNOT FIRE: {pair} has no price, neither on the stream "
        f"nor over REST ({why}). It is asked again; see at Kraken whether it is traded",
    )


def can_fire_again(pair: str) -> Sentence:
    """Say that a pair has a price again."""
    return Sentence(Kind.PRICE, "INFO", f"{pair} has a price again; its armed rows can fire")


def no_prices(error: object) -> Sentence:
    """Say that no price could be asked for."""
    return Sentence(Kind.PRICE, "WARNING", f"no prices: {error}")


def no_price(pair: str, error: object) -> Sentence:
    """Say that a pair has none."""
    return Sentence(Kind.PRICE, "WARNING", f"{pair}: no price: {error}", {"pair": pair})


def falls_behind(seconds: float) -> Sentence:
    """Say that prices are looked at late."""
    text = f"cannot keep up: looks at prices {seconds:.1f} s after they came"
    return Sentence(Kind.LINK, "WARNING", text)


def is_flooded(count: int) -> Sentence:
    """Say that trades are left to REST."""
    return Sentence(
        Kind.LINK,
        "WARNING",
        f"cannot keep up: {count} events wait. The trades among them are fetched from REST, as "
        "those of a blind time are",
    )


KEEPS_UP = Sentence(Kind.LINK, "INFO", "keeps up again")


def engine_is(system: str) -> Sentence:
    """Say what Kraken's trading engine is."""
    text = f"Kraken's trading engine is {system}"
    if system == "online":
        return Sentence(Kind.LINK, "INFO", text)
    return Sentence(Kind.LINK, "WARNING", f"{text}: orders are refused until it is online again")


def internal_error(where: str) -> Sentence:
    """Say that an error was met which nobody foresaw."""
    text = f"Internal error in {where}; see the traceback above. It goes on"
    return Sentence(Kind.INTERNAL, "ERROR", text)


# --- what the keeper does ------------------------------------------------------------------------


def put_off(complaint: str, error: object) -> Sentence:
    """Say that a duty could not be done."""
    return Sentence(Kind.LINK, "WARNING", f"{complaint}: {_ended(str(error))} It is tried again")


UNPROVEN = (
    "Rows that an earlier run armed are NOT protected yet: Kraken cannot be asked whether they "
    "have an order already"
)


def over(complaint: str) -> Sentence:
    """Say that it can be done again."""
    return Sentence(
        Kind.LINK, "INFO", f"Again well; this is over: {complaint[:1].lower()}{complaint[1:]}"
    )


def would_take(rule_id: str, *, is_again: bool = False) -> Sentence:
    """Say that Kraken has no objection to an order, or none any more."""
    level, again = ("INFO", " again") if is_again else ("DEBUG", "")
    return of_row(Kind.CHECK, level, rule_id, f"Kraken would take its order{again}")


def was_placed(rule_id: str, txid: str | None) -> Sentence:
    """Say that Kraken has answered a question about an order with the id of one."""
    text = (
        f"Kraken, asked only whether it would take its order, names an order {txid}: look there at "
        "once, and cancel it if it stands. The row stays armed"
    )
    return of_row(Kind.CHECK, "ERROR", rule_id, text)


def would_refuse(rule_id: str, reason: str, cure: str) -> Sentence:
    """Say that Kraken would not take an order as things are."""
    why = f"{_ended(reason)} {_ended(cure)}".strip()
    text = f"Kraken would REFUSE its order as things are: {why} The row stays armed"
    return of_row(Kind.CHECK, "ERROR", rule_id, text)


def lacks_index(rule_id: str) -> Sentence:
    """Say that a stop cannot follow the index, and what it will follow instead."""
    text = (
        "Kraken has no index price of its pair; at its crossing the stop will follow the last "
        "price. Write last under trigger"
    )
    return of_row(Kind.CHECK, "WARNING", rule_id, text)


def not_checked_yet(rule_ids: Sequence[str], reason: str) -> Sentence:
    """Say that Kraken could not be asked whether it would take some orders."""
    return Sentence(
        Kind.CHECK,
        "WARNING",
        f"not asked yet whether Kraken would take the orders of {some_of(rule_ids, _MOST_NAMES)}: "
        f"{_ended(reason)} It is asked until it answers; the rows stay armed",
    )


CHECKED_AFTER_ALL = Sentence(
    Kind.CHECK, "INFO", "Kraken can be asked again whether it would take orders"
)


def reading_key_is_bad(reason: str, cure: str) -> Sentence:
    """Say that the key that only reads is refused, and what is done instead."""
    return Sentence(
        Kind.KEY,
        "ERROR",
        f"The reading key is refused: {_ended(reason)} Orders are watched with the trading key. "
        f"Mend or remove KRAKEN_API_KEY and KRAKEN_API_SECRET. {_ended(cure)}".strip(),
    )


def key_is_good_again(which: str) -> Sentence:
    """Say that a key is taken again."""
    return Sentence(Kind.KEY, "INFO", f"The {which} key is taken again")


def tape_unreadable(error: object) -> Sentence:
    """Say that more of the past is looked at than need be."""
    return Sentence(
        Kind.DISK,
        "WARNING",
        f"How far prices were seen before cannot be read ({error}): trades since each row was "
        "armed are looked at instead, as far as they reach",
    )


def _ended(text: str) -> str:
    """Return `text` with one full stop at its end, or its question mark; nothing stays nothing."""
    bare = text.strip().rstrip(".")
    return bare if not bare or bare.endswith("?") else f"{bare}."
