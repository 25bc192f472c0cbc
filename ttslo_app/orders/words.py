"""Every sentence of the order thread, each with its kind and its level.

Pure: a function for each sentence, a constant where it is always the same, and one object that says
them. What it must never do: tell of an order more than is known.
"""

from __future__ import annotations

from collections.abc import Sequence

from krakenlink.numbers import readable
from krakenlink.once import Once
from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import Pause
from ttslo_app.messages import Crossing, Kind, Say, Sentence, Sighting, of_row, tell
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.rules.rule import Rule

DRY_RUN_ORDER_ID = "DRY_RUN_ORDER_ID"
NO_KEY = (
    "no trading key: the program watches, but cannot place orders. Set KRAKEN_API_KEY_RW and "
    "KRAKEN_API_SECRET_RW"
)


class Teller:
    """Says sentences, and some of them once only.

    Args:
        say: Called with level, text and fields; must not block.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._once = Once()

    def tell(self, sentence: Sentence) -> None:
        """Say a sentence."""
        tell(self._say, sentence)

    def tell_once(self, subject: str, sentence: Sentence, news: str = "") -> None:
        """Say a sentence unless the last one on its subject was the same.

        Args:
            subject: What it is about, such as the id of a row.
            sentence: The sentence.
            news: The part of it that makes it news; its whole text where that is left out.
        """
        if self._once.is_news(subject, news or sentence.text):
            self.tell(sentence)

    def forget(self, subject: str) -> bool:
        """Let whatever is said next on a subject be news; tell whether something had been said."""
        return self._once.has_healed(subject)


def _bare(text: str) -> str:
    """Return `text` without the full stop that it may end with: the sentence goes on."""
    return text.rstrip(" .")


def crossed(crossing: Crossing) -> str:
    """Return what was crossed, and at what price."""
    return f"{crossing.rule.condition} was crossed at {readable(crossing.price_text)}"


# --- the thread ------------------------------------------------------------------------------


INTERNAL_ERROR = Sentence(
    Kind.INTERNAL, "ERROR", "Internal error in the order thread; see the traceback above"
)


def cannot_be_taken_up(crossing: Crossing) -> Sentence:
    """Say that a crossing is lost to such an error."""
    return of_row(
        Kind.INTERNAL,
        "ERROR",
        crossing.key,
        f"it was crossed at {readable(crossing.price_text)}, and an internal error keeps its "
        "order back. See at Kraken whether it has one",
    )


def ends_owing(rule_ids: Sequence[str]) -> Sentence:
    """Say which crossings have no order: nobody places them any more."""
    return Sentence(
        Kind.LATE,
        "ERROR",
        f"The program ends, and there is NO ORDER yet for {', '.join(rule_ids)}, crossed before. "
        "The next start looks at them again",
    )


# --- what an earlier run left ------------------------------------------------------------------


def unreadable(rule_id: str, error: Exception) -> Sentence:
    """Say that a row of state.csv contradicts itself."""
    return of_row(
        Kind.DOUBTFUL,
        "ERROR",
        rule_id,
        f"does NOT trade: its row of the state file makes no sense ({error}). See at "
        "Kraken whether it has an order, then delete that row",
    )


def doubtful(rule_id: str) -> Sentence:
    """Say that nobody can know whether a rule has fired."""
    return of_row(
        Kind.DOUBTFUL,
        "ERROR",
        rule_id,
        "does NOT trade: the state file does not tell whether it has fired. See at Kraken; to "
        "arm it, stop the program and delete its row of the state file",
    )


def ended_under_way(life: Life) -> Sentence:
    """Say that an order was under way when the program ended."""
    return of_row(
        Kind.UNCERTAIN,
        "WARNING",
        life.id,
        "the program ended while its order was under way. Nothing fires until it is known "
        "whether the order stands; Kraken is being asked",
        cl_ord_id=life.cl_ord_id,
    )


# --- what config.csv says ----------------------------------------------------------------------


def armed_again(life: Life) -> Sentence:
    """Say that a row that has fired is armed anew; `life` is the one that ends."""
    if life.state is RuleState.PLACED:
        return of_row(
            Kind.ARMED,
            "WARNING",
            life.id,
            f"armed again. Its earlier order {life.order_id} still stands at Kraken and is no "
            "longer watched",
        )
    return of_row(Kind.ARMED, "INFO", life.id, f"armed again after order {life.order_id}")


def how_to_arm_again(life: Life) -> Sentence:
    """Say that a row which was only set to true has fired, and what to do."""
    return of_row(
        Kind.CONFIG,
        "WARNING",
        life.id,
        f"enabled in config.csv, but it has fired (order {life.order_id}). To arm it again, empty "
        "its cells order_id, trigger_time and trigger_price",
    )


def no_longer_armed(rule_id: str, rule: Rule | None, *, is_owed: bool) -> Sentence:
    """Say that a row was removed, refused or disabled; `rule` is what it waited for, if known."""
    what = f": {rule.condition} leads to no order any more" if rule else ""
    lost = ", and NO ORDER is placed for its crossing" if is_owed else ""
    return of_row(Kind.DISARMED, "WARNING", rule_id, f"no longer armed{what}{lost}")


def cannot_be_read(rule_id: str, error: OSError) -> Sentence:
    """Say that a row counts as it was when config.csv was last read."""
    text = f"config.csv cannot be read just now ({error})"
    return of_row(Kind.CONFIG, "WARNING", rule_id, text)


def changed_meanwhile(crossing: Crossing, current: Rule) -> Sentence:
    """Say that a crossing fires nothing because its row is another one by now."""
    what = "changed" if current.enabled else "disabled"
    return of_row(
        Kind.CONFIG,
        "WARNING",
        crossing.key,
        f"{crossed(crossing)}, but its row was {what} in the same moment. No order was placed "
        "for the old row",
    )


def row_missing(crossing: Crossing) -> Sentence:
    """Say that a crossing waits for its row to come back."""
    return of_row(
        Kind.WAITING,
        "WARNING",
        crossing.key,
        f"{crossed(crossing)} while its row was missing or cut off in config.csv. "
        "The order is placed if the row is back in a moment",
    )


# --- from a crossing to its answer -------------------------------------------------------------


def must_settle_first(crossing: Crossing) -> Sentence:
    """Say that a crossing waits for what became of an older order."""
    return of_row(
        Kind.WAITING,
        "ERROR",
        crossing.key,
        f"{crossed(crossing)}, but WAITS until Kraken has said what became of an order from "
        "before the start",
    )


def placed(life: Life, why: str) -> Sentence:
    """Say that an order stands, and why; of a dry run, that one would."""
    done = f"order {life.order_id} placed"
    if life.order_id == DRY_RUN_ORDER_ID:
        done = f"would have placed an order now ({DRY_RUN_ORDER_ID})"
    return of_row(
        Kind.PLACED,
        "INFO",
        life.id,
        _joined(
            f"{why} {readable(life.trigger_price)}" if life.trigger_price else "", done, life.order
        ),
        order_id=life.order_id,
        trigger_price=life.trigger_price,
    )


def _joined(why: str, done: str, order: object) -> str:
    """Return a text of what is known: of an order that nobody here knew, neither why nor what."""
    return f"{why}; {done}".removeprefix("; ") + (f": {order}" if order else "")


def refusal(life: Life, outcome: Outcome) -> str:
    """Return why Kraken refused an order, with the cure."""
    cure = f". {outcome.cure}" if outcome.cure else ""
    return f"Kraken refused {life.order}: {outcome.reason}{cure}"


def held_back(crossing: Crossing, reason: str, owed: float) -> Sentence:
    """Say that an order could not be placed, and is tried again: `owed` seconds at any price."""
    return of_row(
        Kind.REFUSED,
        "ERROR",
        crossing.key,
        f"{crossed(crossing)}, and no order could be placed: {_bare(reason)}. Tried "
        f"again; after {owed:.0f} s only while the threshold is met",
    )


def given_up(crossing: Crossing, reason: str) -> Sentence:
    """Say that an order could not be placed, and no waiting would heal that."""
    return of_row(
        Kind.REFUSED,
        "ERROR",
        crossing.key,
        f"NOT PROTECTED. {crossed(crossing)}, no order could be placed: {_bare(reason)}. "
        "Disarmed until you change the row or start again",
    )


def stands_first(crossing: Crossing, pause: Pause, reason: str) -> Sentence:
    """Say that Kraken takes no more orders for now, and that a crossing waits for it."""
    return of_row(
        Kind.WAITING,
        "ERROR",
        crossing.key,
        f"{crossed(crossing)}, but Kraken takes no more {pause.value}: {_bare(reason)}. "
        "It is placed as soon as Kraken allows it",
    )


def stands_in_line(crossing: Crossing, before: int) -> Sentence:
    """Say that a crossing waits behind others."""
    return of_row(
        Kind.WAITING,
        "WARNING",
        crossing.key,
        f"{crossed(crossing)} and waits in line, for Kraken takes about one order a second on "
        f"{crossing.pair} now; {before} are before it",
    )


def waited_too_long(crossing: Crossing, waited: float) -> Sentence:
    """Say that a crossing must be met by today's price again."""
    return of_row(
        Kind.LATE,
        "ERROR",
        crossing.key,
        f"its order waited {waited:.0f} s since {crossed(crossing)}. It is placed only if its "
        "threshold is met now, or once it is met again",
    )


# --- the unknown -------------------------------------------------------------------------------


def uncertain(life: Life, reason: str, *, can_find: bool) -> Sentence:
    """Say that nobody knows whether an order was placed, and who finds out."""
    asks = "Kraken is being asked; nothing is sent again before it is known"
    if not can_find:
        asks = "Look at Kraken's open orders; to arm it again, delete its row of the state file"
    return of_row(
        Kind.UNCERTAIN,
        "ERROR",
        life.id,
        f"UNCERTAIN whether {life.order} was placed ({_bare(reason)}). {asks}",
        cl_ord_id=life.cl_ord_id,
    )


def no_key_to_settle(life: Life) -> Sentence:
    """Say that an unknown outcome cannot be looked up without a key."""
    return of_row(
        Kind.KEY,
        "ERROR",
        life.id,
        "without a trading key it cannot be settled whether its order stands. The row does not "
        "trade until then",
    )


def still_uncertain(life: Life, error: Exception) -> Sentence:
    """Say that Kraken could not be asked."""
    text = f"still uncertain, Kraken cannot be asked: {error}"
    return of_row(Kind.UNCERTAIN, "WARNING", life.id, text)


def not_placed(rule_id: str, what_now: str) -> Sentence:
    """Say that no order stands, and what becomes of the crossing."""
    text = f"Kraken has no order for it, so none was placed{what_now}"
    return of_row(Kind.NOT_PLACED, "WARNING", rule_id, text)


# --- what becomes of an order ------------------------------------------------------------------


def news_of(life: Life, sighting: Sighting) -> Sentence | None:
    """Return what is to be said of an order that was looked at; None where that is nothing."""
    what = f"order {sighting.txid}"
    kind, level = Kind.FILLED, "INFO"
    if sighting.status == "closed":
        text = f"{what} is filled: {readable(sighting.vol_exec)} at {readable(sighting.price)}"
    elif sighting.is_final:
        kind, level = Kind.ENDED, "ERROR"
        why = f" ({sighting.reason})" if sighting.reason else ""
        part = f" after {readable(sighting.vol_exec)} were filled" if sighting.has_executed else ""
        text = f"{what} was {sighting.status}{why}{part}. The position is no longer protected"
    elif sighting.has_executed:
        text = f"{what} is partly filled: {readable(sighting.vol_exec)}"
    else:
        return None
    return of_row(kind, level, life.id, text, order_id=sighting.txid, vol_exec=sighting.vol_exec)


def stream_is_doubted(rule_id: str, txid: str, why: str) -> Sentence:
    """Say that REST is asked, because what the account's stream told is not certain."""
    text = f"Kraken's stream tells of order {txid}, and {why}; it is looked at over REST"
    return of_row(Kind.LINK, "DEBUG", rule_id, text)


# --- the files ---------------------------------------------------------------------------------


STATE_WRITTEN_AGAIN = Sentence(Kind.DISK, "WARNING", "The state file can be written again")


def state_unwritable(error: Exception) -> Sentence:
    """Say that no order is placed because nothing can be written down."""
    return Sentence(
        Kind.DISK,
        "ERROR",
        f"{_where(error, 'The state file')} CANNOT BE WRITTEN: {_reason_of(error)}. NO ORDER is "
        f"placed before it can be. {_disk_cure(error, 'it is tried again')}",
    )


CONFIG_WRITTEN_AGAIN = Sentence(
    Kind.DISK, "WARNING", "config.csv can be written again, and names the orders"
)


def config_unwritable(lives: Sequence[Life], error: Exception) -> Sentence:
    """Say which orders config.csv does not name."""
    names = ", ".join(f"{life.id} ({life.order_id})" for life in lives)
    return Sentence(
        Kind.DISK,
        "ERROR",
        f"{_where(error, 'config.csv')} CANNOT BE WRITTEN: {_reason_of(error)}. It lacks {names}; "
        f"none of them fires again. {_disk_cure(error)}",
    )


def not_noted(life: Life) -> Sentence:
    """Say that an order is not noted in its row, for there is none."""
    return of_row(
        Kind.CONFIG,
        "WARNING",
        life.id,
        f"its row is missing or cut off in config.csv, so order {life.order_id} is not noted "
        "there. It does not fire again, and is noted once the row is back",
    )


def _is_of_store(error: Exception) -> bool:
    """Tell whether what cannot be written is in a store that several hosts share."""
    return getattr(error, "is_of_store", False)


def _where(error: Exception, file: str) -> str:
    return "The store" if _is_of_store(error) else file


def _disk_cure(error: Exception, then: str = "") -> str:
    """Return what to do; a store's own words say that already."""
    if _is_of_store(error):
        return f"{then[:1].upper()}{then[1:]}" or "It is tried again"
    return "Free the disk or mend its permissions" + (f"; {then}" if then else "")


def _reason_of(error: Exception) -> str:
    """Return what went wrong, without the name of the temporary file: that differs each time."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


# --- Kraken ------------------------------------------------------------------------------------


def no_such_order(txid: str, errors: Sequence[str]) -> Sentence:
    """Say that an order of the state file is not watched, because Kraken does not know it."""
    return Sentence(
        Kind.KEY,
        "WARNING",
        f"Kraken does not know the order {txid} of the state file, so it is not watched "
        f"({', '.join(errors)}). Was it placed with another account's key?",
    )
