"""A life as cells of one row of state.csv, and back.

Pure. What must never happen here: that a row which contradicts itself passes for one that may
trade.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ttslo_app.orders.life import Life, RuleState
from ttslo_app.orders.request import OrderRequest

# The contract's columns come first and keep their meaning; these are ours.
_OWN_TEXT = (
    "armed_at",
    "cl_ord_id",
    "intended_at",
    "deadline",
    "row",
    "letters",
    "row_at",
    "sent_by",
    "doubt",
    "order_status",
    "vol_exec",
    "fill_price",
    "crossed_price",
    "crossed_at",
    "detail",
)
_CONTRACT_TEXT = ("order_id", "trigger_price", "trigger_time", "activated_on")
_TEXT = _CONTRACT_TEXT + _OWN_TEXT
STATE_CONTRACT = frozenset({"id", "triggered", *_CONTRACT_TEXT})


# Small numbers of many rows are one text each.
_count = lru_cache(maxsize=256)(str)


def cells_of(life: Life) -> dict[str, str]:
    """Return the cells that state.csv holds of `life`; `last_checked` is not among them."""
    cells = {"id": life.id, "triggered": "true" if life.has_fired else "false"}
    cells.update({name: getattr(life, name) for name in _TEXT})
    cells["rule_state"] = life.state.value
    cells["generation"] = _count(life.generation)
    cells["sends"] = _count(life.sends)
    cells["noted"] = "true" if life.noted else "false"
    cells["order"] = life.order.to_json() if life.order else ""
    return cells


class UnreadableLife(ValueError):
    """A row of state.csv from which nobody can tell whether its rule has fired."""


def read_life(rule_id: str, cells: Mapping[str, str]) -> Life:
    """Return what `cells`, one row of state.csv, say of a rule.

    Rows of earlier versions have the contract's columns only: `triggered` decides.

    Raises:
        UnreadableLife: If the row contradicts itself or holds words that nobody wrote.
    """
    if not isinstance(cells, Mapping):
        raise UnreadableLife(f"it is {type(cells).__name__} and not a dict")
    if not cells:
        return Life(rule_id)
    cells = {name: "" if value is None else str(value) for name, value in cells.items()}
    triggered = cells.get("triggered", "").strip().lower()
    if triggered not in ("true", "false", ""):
        raise UnreadableLife(f"triggered is {cells.get('triggered')!r}, not true or false")
    text = {name: cells.get(name, "") for name in _TEXT}
    word = cells.get("rule_state", "").strip().lower()
    if not word:
        return _earlier_life(rule_id, triggered, text)
    try:
        life = Life(
            rule_id,
            RuleState(word),
            generation=int(cells.get("generation") or 0),
            sends=int(cells.get("sends") or 0),
            noted=cells.get("noted", "").strip().lower() == "true",
            order=OrderRequest.from_json(cells["order"]) if cells.get("order") else None,
            **text,
        )
    except ValueError as error:
        raise UnreadableLife(str(error)) from error
    if life.generation < 1 and life.state is not RuleState.DISARMED:
        # Such rows are taken for those of earlier versions, whose thresholds may be met.
        raise UnreadableLife(f"rule_state is {word} and generation is not there")
    if life.has_fired != (triggered == "true"):
        raise UnreadableLife(f"rule_state is {word} and triggered is {triggered or 'empty'}")
    if life.is_unsettled and not (life.cl_ord_id and life.order):
        raise UnreadableLife(f"rule_state is {word} without a cl_ord_id and an order")
    return life


def _earlier_life(rule_id: str, triggered: str, text: Mapping[str, str]) -> Life:
    """Return what a row of an earlier version says, which tells no state."""
    if not triggered and (text["trigger_price"] or text["trigger_time"]):
        raise UnreadableLife("it tells of a trigger and says nothing under triggered")
    has_fired = triggered == "true" or bool(text["order_id"])
    state = RuleState.PLACED if has_fired else RuleState.DISARMED
    return Life(rule_id, state, **text)  # type: ignore[arg-type]  # fields by name


Cells = dict[str, str]


State = dict[str, Cells]
