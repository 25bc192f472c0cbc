"""What the order thread says of rows that belong together: groups, and rows that follow another.

Pure: a function for each sentence. What it must never do: call a row armed that is not, or leave
out which row keeps it from that.
"""

from __future__ import annotations

from ttslo_app.messages import Crossing, Kind, Sentence, of_row
from ttslo_app.orders.kin import Bond, Tie
from ttslo_app.orders.life import Life
from ttslo_app.orders.words import crossed
from ttslo_app.rules.rule import Rule


def disarmed(rule_id: str, by: str, crossing: Crossing | None) -> Sentence:
    """Say that a row is disarmed since another one of its group has fired."""
    lost = f". {crossed(crossing)}, and no order is placed for that" if crossing else ""
    return of_row(Kind.DISARMED, "INFO", rule_id, f"disarmed, {by} has fired{lost}")


def held(crossing: Crossing, by: str, *, is_same_trade: bool) -> Sentence:
    """Say that a crossing waits for what becomes of another row of its group."""
    what = crossed(crossing)
    if is_same_trade:
        why = f"by the same trade as {by}, which is first in the file: it waits for that one"
        return of_row(Kind.WAITING, "WARNING", crossing.key, f"{what} {why}")
    text = f"{what}, and waits for what becomes of {by} of its group"
    return of_row(Kind.WAITING, "WARNING", crossing.key, text)


def let_go(crossing: Crossing) -> Sentence:
    """Say that a row of a group may fire again, since no order of the other one stands."""
    return of_row(
        Kind.WAITING,
        "WARNING",
        crossing.key,
        f"armed again, no order of its group stands. {crossed(crossing)} meanwhile, and when_blind "
        "decides about that",
    )


def armed(rule: Rule, tie: Tie) -> Sentence:
    """Say in full that a row is armed since the order of the row before it is filled."""
    return of_row(
        Kind.ARMED,
        "INFO",
        rule.id,
        f"armed, as {tie.fill} of {rule.after or tie.by} is filled ({tie.filled}): "
        f"{rule.condition}, then {rule.action}. Earlier prices do not count",
    )


def not_armed(rule: Rule, tie: Tie) -> Sentence:
    """Say that a row is enabled and not armed, which row keeps it from that, and the cure."""
    level = "ERROR" if tie.bond is Bond.BARRED else "INFO"
    kind = Kind.DISARMED if tie.bond is Bond.BARRED else Kind.STANDING
    return of_row(kind, level, rule.id, standing(rule, tie))


def standing(rule: Rule, tie: Tie) -> str:
    """Return where an enabled row stands that is not armed because of another one."""
    order = f"order {tie.life.order_id}" if tie.life and tie.life.order_id else "its order"
    if tie.bond is Bond.SPENT:
        return (
            f"not armed: {tie.by} of its group has fired. To arm all again, empty the "
            f"order columns of {tie.by}; to arm this one, give it another group"
        )
    if tie.bond is Bond.BARRED:
        part = "nothing of it was filled"
        if tie.life is not None and tie.life.has_executed:
            part = f"only {tie.life.vol_exec} of it were filled"
        return (
            f"NOT ARMED: {order} of {tie.by} has ended, {part}. To arm it now, empty its cell after"
        )
    if tie.life is None:
        return (
            f"not armed: nobody knows what became of {tie.by}, which it follows. To arm it now, "
            "empty its cell after"
        )
    if tie.life.order_id:
        again = " anew: that order has armed it before" if tie.life.order_status == "closed" else ""
        return f"waits until {order} of {tie.by} is filled{again}; it is armed then"
    return f"waits until {tie.by} has fired and its order is filled; it is armed then"


def left_alone(life: Life) -> Sentence:
    """Say that a row is to be armed again while its earlier order stands."""
    return of_row(
        Kind.ARMED,
        "WARNING",
        life.id,
        f"to be armed again. Its earlier order {life.order_id} still stands at Kraken and is no "
        "longer watched",
    )
