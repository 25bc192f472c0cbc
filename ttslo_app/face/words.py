"""What a person reads of the rows: one line a row.

Pure: it says where a row stands, and decides nothing. A line must never say that a row is armed
which is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from krakenlink.foreign import some_of
from ttslo_app.messages import Kind, Sentence, of_row
from ttslo_app.orders.life import Life
from ttslo_app.rules.facts import UNCHECKED_FUNDS
from ttslo_app.rules.findings import INSUFFICIENT, by_message, distance_words
from ttslo_app.rules.kin_checks import KIN_FIELDS
from ttslo_app.rules.price_checks import FAR
from ttslo_app.rules.rule import Rule

Finding = Mapping[str, str]  # as a `ValidationResult` has them


_MOST_NAMES = 5
_ABOUT_FUNDS = (f"{INSUFFICIENT} ", UNCHECKED_FUNDS)


def config_gone(file: object, armed_ids: Sequence[str]) -> Sentence:
    """Say what it means that the config is not there any more."""
    text = f"{file} is GONE. No row is armed; put the file back to go on"
    if armed_ids:
        text = (
            f"{file} is GONE. What was read last stays armed until it is back or the program "
            f"ends: {some_of(armed_ids, _MOST_NAMES)}. To disarm, stop it or put the file back, "
            "enabled=false"
        )
    return Sentence(Kind.CONFIG, "WARNING", text)


def config_back(file: object) -> Sentence:
    """Say that the config is there again."""
    return Sentence(Kind.CONFIG, "INFO", f"{file} is there again, and is read")


def describe(rule: Rule, price: Decimal | None) -> str:
    """Return one line about an armed rule and how far the price is from its threshold."""
    action = rule.action
    if price is None:
        return f"{rule.condition}, no price yet; then {action}"
    return f"{rule.condition}, {distance_words(rule, price)}; then {action}"


def armed(rule: Rule, price: Decimal | None) -> str:
    """Return the standing of a rule that waits for its crossing."""
    return f"armed: {describe(rule, price)}"


def standing(rule: Rule, life: Life | None, price: Decimal | None, *, is_unpriced: bool) -> str:
    """Return where a rule stands that is not known to wait for its crossing.

    Args:
        rule: What its row says.
        life: What became of it; None where that cannot be known.
        price: Today's price, if there is one.
        is_unpriced: Whether it is not armed for want of a price.
    """
    if life is None:
        return "does not trade: its past is unknown"
    if life.has_fired:
        status = f", {life.order_status}" if life.order_status else ""
        return f"has fired: order {life.order_id}{status}"
    if life.is_unsettled:
        return "uncertain: its order is being looked up at Kraken"
    if not rule.enabled:
        return "disabled"
    if is_unpriced:
        return "not armed yet: there is no price to check its threshold against"
    return armed(rule, price)


def now_armed(rule: Rule, price: Decimal | None) -> Sentence:
    """Say that a row was armed just now, or changed."""
    return of_row(Kind.ARMED, "INFO", rule.id, armed(rule, price))


def not_priced(rule_id: str) -> Sentence:
    """Say that a row waits for a price before it is armed."""
    text = (
        "NOT ARMED YET: there is no price to check its threshold against. It is armed as soon as "
        "there is one"
    )
    return of_row(Kind.CONFIG, "ERROR", rule_id, text)


def not_armed(rule_id: str, why: object) -> Sentence:
    """Say that a row cannot be armed."""
    return of_row(Kind.CONFIG, "ERROR", rule_id, f"not armed: {why}")


def undecided(rule_id: str, why: object) -> Sentence:
    """Say that a row stays as it is until Kraken can be asked."""
    return of_row(Kind.CONFIG, "WARNING", rule_id, f"looked at again in a moment: {why}")


def not_checked(what: str) -> Sentence:
    """Say what could not be checked for any row."""
    return Sentence(Kind.CONFIG, "WARNING", f"Could not be checked: {what}")


def config_unreadable(name: str, error: object) -> Sentence:
    """Say that the rows stay as they were, because the file cannot be read."""
    text = f"{name} cannot be read: {error}. The rows stay as they are; it is tried again"
    return Sentence(Kind.CONFIG, "ERROR", text)


def refusal(error: Finding, *, was_armed: bool, heals: bool = False) -> Sentence:
    """Say why a row does not trade, and loudly so where it did until now.

    Args:
        error: What was found.
        was_armed: Whether it traded until now.
        heals: Whether the price alone refuses it, so that another one arms it.
    """
    loud = " It was armed until now and NO LONGER IS." if was_armed else ""
    loud += " It is armed as soon as the price is far enough on the other side." if heals else ""
    message = error["message"].rstrip(".")
    return of_row(Kind.CONFIG, "ERROR", error["config_id"], f"refused: {message}.{loud}".rstrip())


def is_about_to_fire(warning: Finding) -> bool:
    """Tell whether a warning is of a row that fires at once.

    Only a row that was armed before gets this as a mere warning.
    """
    return warning["message"].startswith("Threshold already met")


def is_always_said(warning: Finding) -> bool:
    """Tell whether a warning is for everybody, and not for those alone who want details.

    It is of a row that fires at once, of a threshold far off the price, of rows that belong
    together, or of funds that do not suffice or could not be asked for.
    """
    is_far = warning["message"].startswith(FAR)
    is_of_kin = warning["field"] in KIN_FIELDS
    return is_far or is_of_kin or is_about_to_fire(warning) or _is_about_funds(warning)


def caution(warning: Finding) -> Sentence:
    """Say what is to be looked at in a row that trades."""
    why = "armed before, and crossed meanwhile: " if is_about_to_fire(warning) else ""
    return of_row(Kind.CONFIG, "WARNING", warning["config_id"], f"{why}{warning['message']}")


def cautions(warnings: Sequence[Finding]) -> list[Sentence]:
    """Say what is to be looked at in rows that trade; of funds that several share, once."""
    found = [caution(one) for one in warnings if not _is_about_funds(one)]
    for name, ids, said, where in by_message(filter(_is_about_funds, warnings)):
        if len(ids) == 1:
            one = {"config_id": ids[0], "field": name, "message": f"{said}{where}"}
            found.append(caution(one))
        else:
            found.append(
                Sentence(Kind.CONFIG, "WARNING", f"{some_of(ids, _MOST_NAMES)}: {said}{where}")
            )
    return found


def _is_about_funds(warning: Finding) -> bool:
    return warning["message"].startswith(_ABOUT_FUNDS)


# --- telling people elsewhere --------------------------------------------------------------------


def cannot_tell(name: str, why: str) -> Sentence:
    """Say that somebody is not told, for now."""
    text = f"{name} is not reached: {why}. Its messages wait, and are sent when it can be"
    return Sentence(Kind.NOTIFY, "WARNING", text)


def told_again(name: str) -> Sentence:
    """Say that an address is told again."""
    return Sentence(Kind.NOTIFY, "INFO", f"{name} is reached again")


def left_untold(count: int) -> Sentence:
    """Say that somebody was not told everything before the end."""
    text = f"{count} notifications were not sent before the end; the log has what they tell"
    return Sentence(Kind.NOTIFY, "WARNING", text)


TEST_TEXT = "This is a test: notifications of TTSLO arrive here. Nothing has happened"


def digest(armed: int, nearest: str, happened: str, hours: float) -> Sentence:
    """Say once a day that the program lives, where it stands and what has happened.

    Args:
        armed: How many rows are armed.
        nearest: The row that is nearest to its threshold; empty where none has a price.
        happened: What became of orders, in words.
        hours: Since when that is.
    """
    rows = f"{armed} row is armed" if armed == 1 else f"{armed} rows are armed"
    near = f"; nearest {nearest}" if nearest else ""
    text = f"Daily digest: {rows}{near}. In the last {hours:.0f} hours: {happened}"
    return Sentence(Kind.DIGEST, "INFO", text)


def ping_fails(place: str, why: str) -> Sentence:
    """Say that the address which waits for a sign of life does not get it."""
    text = f"The sign of life does not reach {place}: {why}. It is sent again each minute"
    return Sentence(Kind.NOTIFY, "WARNING", text)


def ping_works_again(place: str) -> Sentence:
    """Say that it gets it again."""
    return Sentence(Kind.NOTIFY, "INFO", f"The sign of life reaches {place} again")


def ping_withheld(why: str) -> Sentence:
    """Say why no sign of life is given: whoever waits for it will raise an alarm."""
    return Sentence(Kind.NOTIFY, "WARNING", f"No sign of life is given: {why}")


PING_GIVEN_AGAIN = Sentence(Kind.NOTIFY, "INFO", "Signs of life are given again")
