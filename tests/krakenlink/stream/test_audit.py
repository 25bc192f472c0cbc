"""The audit: when REST and stream contradict each other, and when they only seem to."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from krakenlink.stream.audit import Audit, Finding, Remedy, View

SYMBOL = "BTC/USD"


def view(price: int, ticks: int, connection: int = 0, *, is_live: bool = True) -> View:
    """Return the stream's side of a symbol."""
    return View(Decimal(price), ticks, connection, is_live)


def look(audit: Audit, before: View, price: int, after: View | None = None) -> Remedy | None:
    """Return the remedy that one look at one symbol leads to."""
    findings = audit.judge({SYMBOL: before}, {SYMBOL: Decimal(price)}, {SYMBOL: after or before})
    return findings[0].remedy if findings else None


def distrusting() -> Audit:
    """Return an audit that has just had BTC/USD resubscribed: silent at 5 after 9 ticks."""
    audit = Audit()
    assert look(audit, view(5, 9), 7) is None
    assert look(audit, view(5, 9), 7) is Remedy.RESUBSCRIBE
    return audit


def test_difference_that_stays_is_a_lie_at_the_second_look() -> None:
    """REST moves on, the stream stands still, twice: the symbol is asked for anew."""
    audit = Audit()
    assert look(audit, view(5, 9), 7) is None
    assert audit.is_open
    assert look(audit, view(5, 9), 8) is Remedy.RESUBSCRIBE


def test_quiet_pair_raises_no_alarm() -> None:
    """A price that stands still for hours is true while REST says the same."""
    audit = Audit()
    assert [look(audit, view(5, 9), 5) for _ in range(100)] == [None] * 100
    assert not audit.is_open


def test_same_number_with_other_digits_is_the_same_price() -> None:
    """5.10 and 5.1 are one price."""
    audit = Audit()
    stream = {SYMBOL: View(Decimal("5.10"), 1, 0, True)}
    assert audit.judge(stream, {SYMBOL: Decimal("5.1")}, stream) == []
    assert not audit.is_open


def test_tick_during_the_call_makes_prices_incomparable() -> None:
    """A fast pair differs at every look, with a tick in between, and raises no alarm."""
    audit = Audit()
    for n in range(0, 100, 2):
        assert look(audit, view(n, n), n + 100, view(n + 1, n + 1)) is None
        assert not audit.is_open


def test_tick_between_two_looks_clears_the_suspicion() -> None:
    """The stream was only a moment behind REST: it has spoken before the second look."""
    audit = Audit()
    assert look(audit, view(5, 9), 7) is None
    assert look(audit, view(7, 10), 7) is None
    assert not audit.is_open


def test_each_difference_has_to_last_by_itself() -> None:
    """Two differences with a tick in between are two first looks."""
    audit = Audit()
    assert look(audit, view(5, 9), 7) is None
    assert look(audit, view(7, 10), 8) is None
    assert look(audit, view(7, 10), 8) is Remedy.RESUBSCRIBE


def test_agreement_at_the_second_look_clears_the_suspicion() -> None:
    """A REST answer that was wrong once convicts nobody."""
    audit = Audit()
    look(audit, view(5, 9), 7)
    assert look(audit, view(5, 9), 5) is None
    assert look(audit, view(5, 9), 7) is None


def test_new_connection_clears_the_suspicion() -> None:
    """What was suspected of an earlier connection says nothing about this one."""
    audit = Audit()
    look(audit, view(5, 9), 7)
    assert look(audit, view(5, 9, connection=1), 7) is None
    assert audit.is_open


def test_symbol_without_data_on_this_connection_cannot_lie() -> None:
    """What does not count anyway is not audited."""
    audit = Audit()
    assert [look(audit, view(5, 9, is_live=False), 7) for _ in range(3)] == [None] * 3


def test_new_subscription_that_brings_the_true_price_is_trusted() -> None:
    """Data flow again and agree with REST: the symbol counts."""
    audit = distrusting()
    assert look(audit, view(7, 10), 7) is Remedy.TRUST
    assert not audit.is_open


def test_new_subscription_of_a_fast_pair_is_trusted() -> None:
    """Data flow so fast that no comparison is possible: that is what flowing means."""
    assert look(distrusting(), view(7, 10), 9, view(8, 11)) is Remedy.TRUST


def test_new_subscription_without_data_leads_to_a_new_connection() -> None:
    """One that brings nothing, or a wrong price once more, did not help."""
    for after in (view(5, 9), view(5, 9, is_live=False), view(6, 10)):
        assert look(distrusting(), after, 7) is Remedy.RECONNECT


def test_new_connection_is_made_once_and_looked_at_for_a_while() -> None:
    """Other symbols live on that connection: nobody reconnects it for ever for one of them."""
    audit = distrusting()
    assert look(audit, view(5, 9), 7) is Remedy.RECONNECT
    dead = view(5, 9, connection=1, is_live=False)
    assert [look(audit, dead, 7) for _ in range(10)] == [None] * 10
    assert not audit.is_open
    assert look(audit, view(7, 10, connection=1), 7) is Remedy.TRUST


def test_second_lie_on_one_connection_leads_to_a_new_one() -> None:
    """A subscription that falls mute again after it was renewed is cured by a new connection."""
    audit = distrusting()
    look(audit, view(7, 10), 7)
    assert look(audit, view(7, 10), 8) is None
    assert look(audit, view(7, 10), 8) is Remedy.RECONNECT


def test_lie_on_a_later_connection_is_treated_as_a_first_one() -> None:
    """What was tried on another connection is forgotten with it."""
    audit = distrusting()
    look(audit, view(7, 10), 7)
    assert look(audit, view(7, 12, connection=1), 8) is None
    assert look(audit, view(7, 12, connection=1), 8) is Remedy.RESUBSCRIBE


def test_new_subscription_is_judged_by_itself() -> None:
    """Nobody distrusts it: one that is remembered for what another did could lie for ever."""
    audit, other = distrusting(), View(Decimal(5), 9, 0, True, of=object())
    assert look(audit, view(5, 9), 7) is Remedy.RECONNECT
    assert [look(audit, view(5, 9), 7) for _ in range(5)] == [None] * 5
    assert look(audit, other, 7) is None  # suspected
    assert look(audit, other, 7) is Remedy.RESUBSCRIBE


def test_suspicion_is_of_one_subscription() -> None:
    """What another one said before it was given back is no first lie of this one."""
    audit = Audit()
    assert look(audit, view(5, 9), 7) is None
    assert look(audit, View(Decimal(5), 9, 0, True, of=object()), 7) is None
    assert audit.is_open


def test_what_counts_again_by_itself_is_doubted_as_often_as_it_lies() -> None:
    """A book counts with its next snapshot, and may fall mute right after each of them."""
    audit = Audit(counts_again=True)
    assert look(audit, view(5, 9), 7) is None
    assert look(audit, view(5, 9), 7) is Remedy.RESUBSCRIBE
    for ticks in range(10, 15):
        assert look(audit, view(6, ticks), 8) is Remedy.RECONNECT
    assert look(audit, view(8, 20), 8) is Remedy.TRUST


def test_symbol_that_rest_does_not_know_is_left_alone() -> None:
    """No price from REST, no judgement; and who is not streamed any more is forgotten."""
    audit = Audit()
    look(audit, view(5, 9), 7)
    assert audit.judge({SYMBOL: view(5, 9)}, {}, {SYMBOL: view(5, 9)}) == []
    assert audit.is_open
    assert audit.judge({}, {}, {}) == []
    assert not audit.is_open


def test_each_finding_is_one_sentence_with_both_prices() -> None:
    """Whoever reads the log sees the pair, what the stream said and what REST says."""
    audit = Audit()
    stream = {SYMBOL: view(5, 9)}
    audit.judge(stream, {SYMBOL: Decimal("5E-8")}, stream)
    (finding,) = audit.judge(stream, {SYMBOL: Decimal("5E-8")}, stream)
    assert finding == Finding(
        SYMBOL,
        Remedy.RESUBSCRIBE,
        "BTC/USD: the stream has fallen silent at 5, Kraken's REST says 0.00000005; prices come "
        "over REST while the subscription is made anew",
        stream[SYMBOL],
    )


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(1, 3)), max_size=30))
def test_symbol_that_ticks_between_looks_is_never_accused(
    looks: list[tuple[int, bool, int]],
) -> None:
    """Whatever REST says: a stream that has spoken since the last look does not lie."""
    audit = Audit()
    for number, (price, ticks_within, rest) in enumerate(looks):
        before = {SYMBOL: view(price, 2 * number)}
        after: Mapping[str, View] = {SYMBOL: view(price, 2 * number + ticks_within)}
        assert audit.judge(before, {SYMBOL: Decimal(rest)}, after) == []
