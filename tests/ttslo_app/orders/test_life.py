"""The decisions about an order, alone: no files, no time, no network."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttslo_app.messages import Market, Sighting
from ttslo_app.orders.life import (
    TRANSITIONS,
    Adoption,
    IllegalTransition,
    Life,
    OrderRequest,
    OrderSettings,
    RuleState,
    Search,
    Signal,
    UnreadableLife,
    Verdict,
    adoption_of,
    after_look,
    after_silence,
    arm,
    begin_search,
    build_order,
    cells_of,
    client_order_id,
    condition_of,
    fingerprint,
    market_objection,
    read_life,
    refusal_wait,
    settings_from,
)
from ttslo_app.rules.rule import Rule, read_rule

ORDER = OrderRequest("XXBTZUSD", "sell", "0.01", "+5.0%")
NOW = "2026-11-23T12:00:00.000+00:00"


def rule(**changes: str) -> Rule:
    """Return a rule that sells 0.01 BTC above 50000, with changed cells."""
    row = {
        "id": "btc",
        "pair": "BTC/USD",
        "threshold_price": "50000",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "0.01",
        "trailing_offset_percent": "5.0",
        "enabled": "true",
    }
    return read_rule({**row, **changes})


def life(state: RuleState, **changes: object) -> Life:
    """Return a life of the rule in `state`."""
    born = Life("btc", state, 1, NOW, "an-id", ORDER, row=fingerprint(rule()))
    return replace(born, **changes)  # type: ignore[arg-type]  # fields by name


# --- the table of states -------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "signal"), list(product(RuleState, Signal)))
def test_every_state_and_signal_follows_the_table_or_raises(
    state: RuleState, signal: Signal
) -> None:
    """Each of the pairs leads where the table says, or raises and changes nothing."""
    before = life(state)
    if (state, signal) in TRANSITIONS:
        assert before.after(signal).state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(IllegalTransition, match="btc is"):
            before.after(signal)
    assert before.state is state


def test_only_settling_leads_out_of_uncertainty() -> None:
    """An uncertain order is found or certainly not placed; no other signal touches it."""
    ways = {signal for state, signal in TRANSITIONS if state is RuleState.UNCERTAIN}
    assert ways == {Signal.PLACE, Signal.MISS}


def test_no_state_but_armed_and_refused_can_send() -> None:
    """An order is only ever intended by a rule that certainly has none."""
    senders = {state for state, signal in TRANSITIONS if signal is Signal.INTEND}
    assert senders == {RuleState.ARMED, RuleState.REFUSED}


# --- arming --------------------------------------------------------------------------------------


def test_client_order_id_is_one_uuid_for_one_arming() -> None:
    """The same arming always has the same id, in Kraken's 36 characters."""
    first = client_order_id("btc", 1, NOW)
    assert first == client_order_id("btc", 1, NOW)
    assert str(uuid.UUID(first)) == first


@pytest.mark.parametrize("other", [("eth", 1, NOW), ("btc", 2, NOW), ("btc", 1, "later")])
def test_client_order_id_differs_between_armings(other: tuple[str, int, str]) -> None:
    """Another row, generation or moment of arming is another order."""
    assert client_order_id("btc", 1, NOW) != client_order_id(*other)


def test_arm_begins_the_next_generation_with_nothing_left_of_the_last() -> None:
    """A rule armed again has a new id and no order."""
    again = arm(life(RuleState.CLOSED, order_id="O1", noted=True), "row", "later")
    assert (again.state, again.generation, again.order_id) == (RuleState.ARMED, 2, "")
    assert again.cl_ord_id == client_order_id("btc", 2, "later")
    assert not again.noted


@pytest.mark.parametrize(
    "state", [RuleState.ARMED, RuleState.INTENDED, RuleState.UNCERTAIN, RuleState.REFUSED]
)
def test_arm_is_refused_while_the_present_arming_lasts(state: RuleState) -> None:
    """An arming whose order may be under way cannot be forgotten by arming again."""
    with pytest.raises(IllegalTransition):
        arm(life(state), "row", "later")


# --- the order -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("5", "+5.0%"),
        ("5.0", "+5.0%"),
        ("1.25", "+1.25%"),
        ("0.333", "+0.333%"),
        ("0.04", "+0.04%"),
    ],
)
def test_order_offset_keeps_the_digits_typed(typed: str, sent: str) -> None:
    """The offset is what was typed, with its plus and percent."""
    assert build_order(rule(trailing_offset_percent=typed), "XXBTZUSD", 8).price == sent


@pytest.mark.parametrize(
    ("typed", "decimals", "sent"),
    [
        ("5E-8", 8, "0.00000005"),
        ("0.123456789", 8, "0.12345678"),
        ("1.9999", 2, "1.99"),
        ("10", 8, "10"),
        ("0.1234567890123456789012345678", None, "0.1234567890123456789012345678"),
    ],
)
def test_order_volume_is_plain_and_cut_down(typed: str, decimals: int | None, sent: str) -> None:
    """Volumes have no exponent and never more than was typed."""
    assert build_order(rule(volume=typed), "XXBTZUSD", decimals).volume == sent


def test_order_of_nothing_is_refused() -> None:
    """A volume that is zero once cut to Kraken's decimals is no order."""
    with pytest.raises(ValueError, match=r"0\.000000001 is zero with the 8 decimals"):
        build_order(rule(volume="1e-9"), "XXBTZUSD", 8)


def test_order_survives_the_state_file() -> None:
    """What was written down is what is read back; anything else is nothing."""
    assert OrderRequest.from_json(ORDER.to_json()) == ORDER
    assert OrderRequest.from_json('{"pair": "XXBTZUSD"}') is None
    assert OrderRequest.from_json("[]") is None
    assert OrderRequest.from_json("") is None


MARKET = Market("BTC/USD", "XXBTZUSD", "BTC/USD", 8, Decimal("0.0001"), Decimal("0.5"))


def test_market_objects_to_what_kraken_would_refuse() -> None:
    """Status, ordermin and costmin are checked; only a volume below ordermin cannot heal."""
    price = Decimal(50000)
    assert market_objection(rule(), MARKET, price) is None
    closed = market_objection(rule(), replace(MARKET, status="cancel_only"), price)
    assert closed == ("BTC/USD is cancel_only at Kraken", True)
    small = market_objection(rule(volume="0.00009"), MARKET, price)
    assert small == ("volume 0.00009 is below Kraken's minimum of 0.0001", False)
    cheap = market_objection(rule(volume="0.0001"), MARKET, Decimal(4999))
    assert cheap == ("volume x price is 0.4999, below Kraken's minimum cost of 0.5", True)


def test_market_at_its_minimums_has_no_objection() -> None:
    """Exactly the minimum is enough."""
    assert market_objection(rule(volume="0.0001"), MARKET, Decimal(5000)) is None


def test_market_of_which_nothing_is_known_has_no_objection() -> None:
    """What is not known does not stand in an order's way; Kraken will say."""
    assert market_objection(rule(), Market("X", "X"), Decimal(1)) is None


# --- settling ------------------------------------------------------------------------------------

SETTINGS = OrderSettings()
FOUND = Sighting("O1", "open")


def test_search_waits_until_no_late_copy_can_arrive() -> None:
    """The first look comes after the deadline and its margin, and at once if that has passed."""
    margin = SETTINGS.deadline_margin
    assert begin_search(5.0, 100.0, SETTINGS).not_before == 105.0 + margin
    assert begin_search(-3600.0, 100.0, SETTINGS).not_before == 100.0 + margin


def test_two_misses_far_enough_apart_are_needed() -> None:
    """One miss is no proof, nor are two in quick succession."""
    search = Search(0.0)
    verdict, search = after_look(search, None, 10.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    verdict, search = after_look(search, None, 11.0, SETTINGS)
    assert verdict is Verdict.LOOK_AGAIN
    assert search.not_before == 10.0 + SETTINGS.lookup_gap
    verdict, _ = after_look(search, None, 10.0 + SETTINGS.lookup_gap, SETTINGS)
    assert verdict is Verdict.NOT_PLACED


def test_the_gap_between_looks_outlasts_a_lag_of_closed_orders() -> None:
    """An order that closed right before the first look is listed before the second."""
    assert SETTINGS.lookup_gap > 10.0


def test_an_order_found_is_found_at_any_look() -> None:
    """Whatever was missed before, a sighting settles it."""
    assert after_look(Search(0.0, missed_at=1.0), FOUND, 99.0, SETTINGS)[0] is Verdict.FOUND


def test_silence_backs_off_and_forgets_no_miss() -> None:
    """Unanswered looks come further apart, up to a limit, and prove nothing."""
    search = Search(0.0, missed_at=5.0)
    waits = []
    for _ in range(40):
        search = after_silence(search, 0.0, SETTINGS)
        waits.append(search.not_before)
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == SETTINGS.ask_again_max
    assert search.missed_at == 5.0


def test_refusals_back_off_from_one_second_to_sixty() -> None:
    """The pause doubles from 1 s and ends at 60 s, however often Kraken refuses."""
    assert [refusal_wait(n, SETTINGS) for n in (1, 2, 3, 7, 8, 10_000)] == [1, 2, 4, 60, 60, 60]


# --- config.csv ----------------------------------------------------------------------------------

CHANGED = rule(volume="0.02")


@pytest.mark.parametrize(
    ("state", "row", "fired_in_file", "noted", "expected"),
    [
        (None, rule(), False, False, Adoption.ARM),
        (None, rule(), True, False, Adoption.KEEP),
        (None, None, False, False, Adoption.KEEP),
        (RuleState.DISARMED, rule(), False, False, Adoption.ARM),
        (RuleState.ARMED, rule(), False, False, Adoption.KEEP),
        (RuleState.ARMED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.ARMED, None, False, False, Adoption.DISARM),
        (RuleState.REFUSED, CHANGED, False, False, Adoption.UPDATE),
        (RuleState.REFUSED, None, False, False, Adoption.DISARM),
        (RuleState.INTENDED, None, False, False, Adoption.KEEP),
        (RuleState.INTENDED, CHANGED, False, False, Adoption.KEEP),
        (RuleState.UNCERTAIN, rule(), False, False, Adoption.KEEP),
        (RuleState.PLACED, rule(), False, False, Adoption.NOTE),
        (RuleState.PLACED, rule(), False, True, Adoption.ARM),
        (RuleState.PLACED, rule(), True, True, Adoption.EXPLAIN),
        (RuleState.PLACED, None, True, True, Adoption.KEEP),
        (RuleState.CLOSED, rule(), False, True, Adoption.ARM),
        (RuleState.CLOSED, rule(), False, False, Adoption.NOTE),
    ],
)
def test_adoption_of_a_row(
    state: RuleState | None,
    row: Rule | None,
    fired_in_file: bool,
    noted: bool,
    expected: Adoption,
) -> None:
    """A row as it stands in the file means one thing for the life of its rule."""
    known = None if state is None else life(state, noted=noted)
    assert adoption_of(known, row, is_fired_in_file=fired_in_file) is expected


def test_fingerprint_tells_a_changed_row_from_the_same_one() -> None:
    """Spelling a number otherwise is no change; another value is, and the condition is apart."""
    same = rule(threshold_price="50000.00", volume="0.010")
    assert fingerprint(same) == fingerprint(rule())
    assert fingerprint(CHANGED) != fingerprint(rule())
    assert condition_of(fingerprint(CHANGED)) == condition_of(fingerprint(rule()))
    moved = rule(threshold_price="51000")
    assert condition_of(fingerprint(moved)) != condition_of(fingerprint(rule()))


# --- state.csv -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(RuleState))
def test_life_survives_the_state_file(state: RuleState) -> None:
    """A life read back is the life that was written, in every state."""
    written = life(state, sends=2, noted=True, order_id="O1", detail="a, b")
    assert read_life("btc", cells_of(written)) == written


def test_rows_of_earlier_versions_are_understood() -> None:
    """Without our columns, `triggered` decides: fired, or not armed yet."""
    assert read_life("btc", {"triggered": "true", "order_id": "O1"}).state is RuleState.PLACED
    assert read_life("btc", {"triggered": "false"}).state is RuleState.DISARMED
    assert read_life("btc", {}).state is RuleState.DISARMED


def test_row_with_an_order_id_has_fired_whatever_triggered_says() -> None:
    """An order id is proof enough not to place another order."""
    assert read_life("btc", {"triggered": "false", "order_id": "O1"}).has_fired


@pytest.mark.parametrize(
    "changes",
    [
        {"triggered": "maybe"},
        {"rule_state": "on fire"},
        {"generation": "two"},
        {"sends": "many"},
        {"rule_state": "placed", "triggered": "false"},
        {"rule_state": "armed", "triggered": "true"},
        {"rule_state": "intended", "cl_ord_id": ""},
        {"rule_state": "uncertain", "order": ""},
    ],
)
def test_row_that_contradicts_itself_is_refused(changes: dict[str, str]) -> None:
    """From a damaged row nobody can tell whether its rule has fired, and nobody guesses."""
    with pytest.raises(UnreadableLife):
        read_life("btc", {**cells_of(life(RuleState.ARMED)), **changes})


_cells = st.dictionaries(
    st.sampled_from([*cells_of(life(RuleState.ARMED)), "else"]), st.text(max_size=12)
)


@given(_cells)
def test_read_life_raises_nothing_else(cells: dict[str, str]) -> None:
    """Any text in any cell is a life or an UnreadableLife."""
    with suppress(UnreadableLife):
        assert read_life("btc", cells).id == "btc"


# --- settings ------------------------------------------------------------------------------------


def test_settings_are_read_by_name() -> None:
    """Names left out keep their defaults."""
    read = settings_from("lookup_gap=2, deadline=3.5")
    assert read == replace(SETTINGS, lookup_gap=2.0, deadline=3.5)
    assert settings_from("") == SETTINGS


@pytest.mark.parametrize("text", ["patience=3", "deadline=", "deadline=nan", "watch=0", "watch"])
def test_settings_that_mean_nothing_are_refused(text: str) -> None:
    """An unknown name, no number or zero is an error that names it."""
    with pytest.raises(ValueError, match=r"patience|''|nan|watch"):
        settings_from(text)
