"""The account's stream without a socket: subscriptions, numbers, snapshots, gaps and refusals."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from krakenlink.stream.private import (
    ACCOUNT_TRANSITIONS,
    AccountClosed,
    AccountDenied,
    AccountDue,
    AccountFollowed,
    AccountGap,
    AccountLost,
    AccountProtocol,
    AccountSignal,
    AccountSnapshot,
    AccountState,
    OrderNews,
)
from krakenlink.stream.settings import AccountSettings, FeedSettings
from krakenlink.stream.states import StateError, next_state

SETTINGS = FeedSettings()
ACCOUNT = AccountSettings()
TOKEN = "a-token"
WHOLE: dict[str, Any] = {
    "order_id": "O1",
    "exec_type": "new",
    "order_status": "new",
    "symbol": "BTC/USD",
    "side": "sell",
    "order_qty": 0.5,
    "cum_qty": 0,
}


def rows(*rows: object, number: object = None, kind: str = "update") -> str:
    """Return a frame of the channel."""
    frame: dict[str, Any] = {"channel": "executions", "type": kind, "data": list(rows)}
    return json.dumps(frame if number is None else {**frame, "sequence": number})


def told(kind: str, **changes: object) -> dict[str, Any]:
    """Return a sparse row of the order O1."""
    return {"order_id": "O1", "exec_type": kind, "order_status": kind, **changes}


def moved(stop: int) -> dict[str, Any]:
    """Return a row that tells of a moved stop."""
    return {"order_id": "O1", "exec_type": "status", "triggers": {"actual_price": stop}}


def answer(method: str = "subscribe", **changes: object) -> str:
    """Return Kraken's answer to a message."""
    result = {"channel": "executions"}
    return json.dumps({"method": method, "success": True, "result": result, **changes})


class Talk:
    """A protocol on a connection, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.protocol = AccountProtocol(SETTINGS, ACCOUNT)
        self.connect()

    def connect(self) -> None:
        self.protocol.link.attempt(self.now)
        self.protocol.opened(self.now, TOKEN)

    def hear(self, *frames: str | bytes) -> AccountDue:
        return self.protocol.receive(frames, self.now)

    def sent(self, after: float = 0.0) -> list[dict[str, Any]]:
        """Let time pass with the link alive; return what is sent then, pings aside."""
        while after > 1.0:
            self.now += 1.0
            after -= 1.0
            self.hear('{"channel":"heartbeat"}')
        self.now += after
        due = self.protocol.due(self.now)
        assert due.lost is None
        messages = [json.loads(text) for text in due.frames]
        return [message for message in messages if message["method"] != "ping"]

    def follow(self, *shown: dict[str, Any], number: int = 1) -> None:
        assert [message["method"] for message in self.sent()] == ["subscribe"]
        self.hear(answer(), rows(*shown, number=number, kind="snapshot"))

    @property
    def orders(self) -> dict[str, Any] | None:
        return self.protocol.orders(self.now)


@pytest.fixture
def talk() -> Talk:
    """A protocol that has just connected."""
    return Talk()


@pytest.fixture
def followed(talk: Talk) -> Talk:
    """One that follows an account with one open order."""
    talk.follow(WHOLE)
    return talk


# --- asking ------------------------------------------------------------------------------------


def test_subscription_is_asked_for_once_with_its_token(talk: Talk) -> None:
    """Open orders are wanted, old fills are not; then the answer is waited for."""
    (message,) = talk.sent()
    assert message["method"] == "subscribe"
    assert message["params"] == {
        "channel": "executions",
        "token": TOKEN,
        "snap_orders": True,
        "snap_trades": False,
    }
    assert talk.sent() == []
    assert talk.hear(answer()).events == [AccountFollowed(talk.now)]
    assert talk.hear(answer()).events == []  # once more changes nothing
    assert talk.protocol.is_followed(talk.now)


def test_orders_are_known_once_they_were_shown(talk: Talk) -> None:
    """Before the snapshot, and without a link, nobody knows: that is not the same as none."""
    talk.sent()
    assert talk.orders is None
    talk.hear(answer())
    assert talk.orders is None
    (event,) = talk.hear(rows(WHOLE, number=1, kind="snapshot")).events
    assert isinstance(event, AccountSnapshot)
    assert [order.order_id for order in event.orders] == ["O1"]
    assert talk.orders is not None
    assert set(talk.orders) == {"O1"}
    talk.now += SETTINGS.dead_after
    assert talk.orders is None
    assert not talk.protocol.is_followed(talk.now)


def test_account_without_orders_is_known_by_an_empty_snapshot(talk: Talk) -> None:
    """It is told, and it is proof."""
    talk.follow()
    assert talk.orders == {}


def test_unanswered_subscription_ends_the_connection(talk: Talk) -> None:
    """The link lives, and nobody says yes or no."""
    talk.sent()
    for _ in range(3):
        talk.now += 1.0
        talk.hear('{"channel":"heartbeat"}')
    assert talk.protocol.due(talk.now).lost == "the account's subscription is not answered"
    assert talk.protocol.next_due() <= talk.now


def test_silence_is_asked_about_and_then_death(followed: Talk) -> None:
    """As with prices: a ping after two seconds, the end after three."""
    followed.now += SETTINGS.ping_after
    assert followed.protocol.next_due() <= followed.now
    assert followed.protocol.due(followed.now).frames == ['{"method":"ping"}']
    followed.now += SETTINGS.dead_after - SETTINGS.ping_after
    assert followed.protocol.due(followed.now).lost == "no frame for 3.0 s"


def test_pong_counts_as_life(followed: Talk) -> None:
    """And so does any frame that comes in time; later than death it proves nothing."""
    for _ in range(5):
        followed.now += SETTINGS.ping_after
        followed.protocol.due(followed.now)
        assert followed.hear('{"method":"pong"}').lost is None
    followed.now += SETTINGS.dead_after
    assert "asleep" in str(followed.hear('{"method":"pong"}').lost)


def test_late_pong_ends_what_is_known_at_once(followed: Talk) -> None:
    """Whatever stands before and behind it is as late."""
    followed.now += SETTINGS.ping_after
    assert followed.protocol.due(followed.now).frames == ['{"method":"ping"}']
    for pause in (0.0, SETTINGS.dead_after / 2, SETTINGS.dead_after / 2):
        followed.now += pause
        followed.hear('{"channel":"heartbeat"}')
    assert followed.orders is not None
    followed.hear('{"method":"pong"}', rows(told("canceled"), number=2))
    assert followed.orders is None
    assert followed.protocol.due(followed.now).lost == "frames come more than 3 s late"


# --- events ------------------------------------------------------------------------------------


def test_event_is_told_with_all_that_is_known(followed: Talk) -> None:
    """A sparse row is joined to what the snapshot has shown."""
    (event,) = followed.hear(rows(told("canceled", reason="User requested"), number=2)).events
    assert isinstance(event, OrderNews)
    order = event.order
    assert (order.status, order.symbol, order.volume) == ("canceled", "BTC/USD", Decimal("0.5"))
    assert followed.orders == {}


def test_row_that_tells_nothing_new_is_no_event(followed: Talk) -> None:
    """Neither is the same event with the next number."""
    assert followed.hear(rows(told("new"), number=2)).events == []
    assert len(followed.hear(rows(moved(47000), number=3)).events) == 1
    assert followed.hear(rows(moved(47000), number=4)).events == []


def test_doubled_frame_is_taken_once(followed: Talk) -> None:
    """The same number with the same content came before; a fill in it counts once."""
    fill = told("trade", order_status="partially_filled", last_qty=0.1, exec_id="T1")
    twice = [rows(fill, number=2)] * 2
    events = followed.hear(*twice).events
    assert len(events) == 1
    assert followed.orders is not None
    assert followed.orders["O1"].executed == Decimal("0.1")
    again = {**fill, "order_userref": 7}
    assert followed.hear(rows(again, number=3)).events == []  # its trade was counted


def test_trade_of_the_past_in_a_snapshot_is_counted_by_its_order(talk: Talk) -> None:
    """Kraken may show old fills unasked; the order's own row has the sum."""
    old = told("trade", last_qty=0.1, exec_id="T1", order_status="partially_filled")
    talk.follow({**WHOLE, "cum_qty": 0.1, "order_status": "partially_filled"}, old)
    assert talk.hear(rows(old, number=2)).events == []
    assert talk.orders is not None
    assert talk.orders["O1"].executed == Decimal("0.1")


def test_numbers_keep_the_digits_of_the_wire(talk: Talk) -> None:
    """A small volume in scientific notation, a whole one without a point."""
    text = rows({**WHOLE, "order_qty": 1}, number=1, kind="snapshot")
    talk.sent()
    talk.hear(answer(), text.replace('"cum_qty": 0', '"cum_qty": 5.1e-05'))
    assert talk.orders is not None
    assert (talk.orders["O1"].volume, talk.orders["O1"].executed) == (1, Decimal("5.1e-05"))


# --- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [3, 7, 1, 0, -1])
def test_missing_number_is_told_and_all_is_asked_for_anew(followed: Talk, number: int) -> None:
    """Ahead or back: what the frame tells is news all the same, and nothing is proven any more."""
    events = followed.hear(rows(moved(47000), number=number)).events
    assert events[0] == AccountGap(2, number, followed.now)
    assert isinstance(events[1], OrderNews)
    assert followed.orders is None
    (left,) = followed.sent()
    assert (left["method"], left["params"]["token"]) == ("unsubscribe", TOKEN)
    followed.hear(answer("unsubscribe"))
    followed.follow({**WHOLE, "cum_qty": 0.2}, number=1)
    assert followed.orders is not None
    assert followed.orders["O1"].executed == Decimal("0.2")
    assert followed.orders["O1"].is_certain
    assert followed.protocol.gaps == 1


def test_same_number_with_another_content_is_a_gap(followed: Talk) -> None:
    """Only what is the same is the same."""
    followed.hear(rows(moved(47000), number=2))
    events = followed.hear(rows(moved(48000), number=2)).events
    assert [type(event) for event in events] == [AccountGap, OrderNews]


def test_sum_after_a_gap_is_not_certain(followed: Talk) -> None:
    """A part of it may be what was missed, until Kraken tells the sum."""
    fill = told("trade", order_status="partially_filled", last_qty=0.1, exec_id="T2")
    *_, event = followed.hear(rows(fill, number=5)).events
    assert isinstance(event, OrderNews)
    assert not event.order.is_certain
    (event,) = followed.hear(rows(told("filled", cum_qty=0.5, avg_price=48000), number=6)).events
    assert isinstance(event, OrderNews)
    assert event.order.is_certain


def test_order_that_ended_in_a_gap_is_not_in_the_snapshot(followed: Talk) -> None:
    """How it ended is for REST to tell; here it is not open any more."""
    followed.hear(rows(told("new"), number=9))
    followed.sent()
    followed.hear(answer("unsubscribe"))
    followed.follow()
    assert followed.orders == {}


def test_gaps_in_quick_succession_are_answered_once_in_a_while(followed: Talk) -> None:
    """A stream that loses one event in two gets no flood of subscriptions."""
    followed.hear(rows(told("new"), number=9))
    assert len(followed.sent()) == 1
    followed.hear(answer("unsubscribe"))
    followed.follow(WHOLE)
    followed.hear(rows(told("new"), number=9))
    assert followed.sent() == []
    assert followed.orders is None
    assert followed.sent(ACCOUNT.snapshot_pause - 0.1) == []
    assert followed.protocol.next_due() <= followed.now + 0.2
    assert [message["method"] for message in followed.sent(0.2)] == ["unsubscribe"]


@pytest.mark.parametrize("number", [None, "2", True, 2.5, [2]])
def test_numbers_that_are_none_prove_no_gap(followed: Talk, number: object) -> None:
    """Whoever cannot count takes what comes."""
    for _ in range(2):
        events = followed.hear(rows(moved(47000), number=number)).events
    assert followed.protocol.gaps == 0
    assert events == []
    assert followed.orders is not None


def test_numbers_may_begin_anywhere(talk: Talk) -> None:
    """Kraken says nowhere that they begin at 1."""
    talk.follow(WHOLE, number=4711)
    assert len(talk.hear(rows(moved(47000), number=4712)).events) == 1
    assert talk.protocol.gaps == 0


def test_events_of_a_subscription_that_is_left_count_and_are_not_counted(followed: Talk) -> None:
    """Between leaving and its answer Kraken still tells."""
    followed.hear(rows(told("new"), number=9))
    followed.sent()
    events = followed.hear(rows(moved(47500), number=3)).events
    assert [type(event) for event in events] == [OrderNews]
    followed.hear(answer("unsubscribe", success=False, error="Subscription Not Found"))
    assert [message["method"] for message in followed.sent()] == ["subscribe"]


def test_event_may_come_before_the_acknowledgement_and_before_the_snapshot(talk: Talk) -> None:
    """It is news; the late snapshot shows its order, too."""
    talk.sent()
    early = talk.hear(rows({**WHOLE, "exec_type": "pending_new"}, number=1)).events
    assert [type(event) for event in early] == [OrderNews]
    assert talk.orders is None
    talk.hear(answer(), rows(WHOLE, number=2, kind="snapshot"))
    assert talk.orders is not None
    assert talk.protocol.gaps == 0


def test_snapshot_in_two_frames_is_one(followed: Talk) -> None:
    """An account with thousands of orders may need them."""
    followed.hear(rows({**WHOLE, "order_id": "O2"}, number=2, kind="snapshot"))
    assert followed.orders is not None
    assert set(followed.orders) == {"O1", "O2"}


def test_ended_order_stays_ended_over_a_new_snapshot(followed: Talk) -> None:
    """A late event of before the gap does not bring it back."""
    followed.hear(rows(told("canceled", cum_qty=0), number=2))
    followed.hear(rows(told("new"), number=9))
    followed.sent()
    followed.hear(answer("unsubscribe"))
    followed.follow()
    assert followed.hear(rows(told("new"), number=2)).events == []
    assert followed.orders == {}


def test_ended_orders_are_forgotten_at_last(talk: Talk) -> None:
    """Memory stays bounded on an account that trades all day."""
    talk.follow()
    for number in range(2, 3 * ACCOUNT.most_ended):
        row = {**WHOLE, "order_id": f"O{number}", "exec_type": "canceled"}
        talk.hear(rows({**row, "order_status": "canceled"}, number=number))
    assert len(talk.protocol._orders) <= 2 * ACCOUNT.most_ended
    assert talk.orders == {}


# --- damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame", ["{", "[]", "null", '"text"', b"\xff", "[" * 100_000, '{"a":' + "9" * 5000 + "}"]
)
def test_frame_that_cannot_be_read_is_counted(followed: Talk, frame: str | bytes) -> None:
    """And harms nothing: the numbers tell whether it was one of ours."""
    due = followed.hear(frame)
    assert (due.events, due.lost) == ([], None)
    assert followed.protocol.damaged == 1
    assert followed.orders is not None


@pytest.mark.parametrize("data", [None, {}, "x", [None], [7, WHOLE], [{}], [{"order_id": 7}]])
def test_rows_that_cannot_be_read_are_asked_for_anew(followed: Talk, data: object) -> None:
    """What stood in them is not known."""
    frame = {"channel": "executions", "type": "update", "data": data, "sequence": 2}
    followed.hear(json.dumps(frame))
    assert followed.protocol.damaged == 1
    assert followed.orders is None
    assert [message["method"] for message in followed.sent()] == ["unsubscribe"]


@pytest.mark.parametrize(
    "frame", ['{"channel":"heartbeat"}', '{"channel":"status","data":[]}', '{"channel":"balances"}']
)
def test_other_channels_are_passed_over(followed: Talk, frame: str) -> None:
    """They are signs of life."""
    due = followed.hear(frame)
    assert (due.events, due.lost) == ([], None)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["error", "Error", "errorMessage"])
def test_missing_permission_is_told_and_tried_again_seldom(talk: Talk, name: str) -> None:
    """In Kraken's words; whoever asks on is locked out."""
    talk.sent()
    denied = "EGeneral:Permission denied"
    due = talk.hear(json.dumps({"method": "subscribe", "success": False, name: denied}))
    assert due.events == [AccountDenied(denied, talk.now)]
    assert (due.lost, due.at_least) == (denied, ACCOUNT.denied_delay)


@pytest.mark.parametrize("error", ["EAPI:Invalid token", "ESession:Invalid session", "", None])
def test_refused_token_ends_the_connection(talk: Talk, error: object) -> None:
    """The next one brings another token; nothing of the old one is said."""
    talk.sent()
    due = talk.hear(json.dumps({"method": "subscribe", "success": False, "error": error}))
    assert due.lost is not None
    assert str(error or "without a word") in due.lost
    assert TOKEN not in due.lost
    assert due.at_least == 0.0


def test_too_many_messages_bring_a_pause(talk: Talk) -> None:
    """Kraken names no method there."""
    talk.sent()
    due = talk.hear('{"Error":"Exceeded msg rate"}')
    assert (due.at_least, due.lost is None) == (SETTINGS.rate_pause_max, False)


def test_subscription_that_is_there_already_is_as_good(talk: Talk) -> None:
    """It is followed, and that is what was wanted."""
    talk.sent()
    due = talk.hear(answer(success=False, error="Already subscribed"))
    assert due.events == [AccountFollowed(talk.now)]


# --- ends --------------------------------------------------------------------------------------


def test_loss_is_told_once_with_its_last_sign_of_life(followed: Talk) -> None:
    """The failures after it are the same story; it is over with the next acknowledgement."""
    heard_at = followed.now
    followed.now += 1.0
    assert followed.protocol.lost(followed.now, "reset") == [
        AccountLost("reset", heard_at, followed.now)
    ]
    assert followed.orders is None
    followed.protocol.link.attempt(followed.now)
    assert followed.protocol.lost(followed.now, "refused", at_least=30.0) == []
    assert followed.protocol.link.retry_at >= followed.now + 30.0
    assert followed.protocol.due(followed.now).frames == []
    followed.connect()
    followed.follow(WHOLE)
    assert followed.orders is not None


def test_sum_of_before_a_loss_is_not_certain(followed: Talk) -> None:
    """Until the new snapshot has come a part may be missing."""
    followed.protocol.lost(followed.now, "reset")
    followed.connect()
    followed.sent()
    fill = told("trade", order_status="partially_filled", last_qty=0.1, exec_id="T5")
    (_, event) = followed.hear(answer(), rows(fill, number=1)).events
    assert isinstance(event, OrderNews)
    assert not event.order.is_certain


def test_stop_is_told_once_and_leaves_nothing(followed: Talk) -> None:
    """Neither orders nor a token."""
    assert followed.protocol.close(followed.now) == [AccountClosed(followed.now)]
    assert followed.protocol.close(followed.now) == []
    assert followed.orders is None
    followed.connect()
    followed.follow()


def test_abandoned_protocol_begins_anew_after_a_pause(followed: Talk) -> None:
    """A defect may have left any state."""
    followed.protocol.state = AccountState.LEAVING
    seen_at, died_at = followed.protocol.link.last_frame_at, followed.now
    assert seen_at is not None
    told = followed.protocol.abandon(died_at, "died")
    assert told == [AccountLost("died", seen_at, died_at)]
    assert followed.protocol.abandon(died_at, "died") == []  # it was said already
    assert followed.orders is None
    assert followed.protocol.link.retry_at > followed.now
    followed.connect()
    followed.follow(WHOLE)


@pytest.mark.parametrize("state", list(AccountState))
@pytest.mark.parametrize("signal", list(AccountSignal))
def test_every_state_knows_its_signals_and_no_other(
    state: AccountState, signal: AccountSignal
) -> None:
    """A loss leads to the beginning from everywhere; what is not in the table is a defect."""
    if signal is AccountSignal.LOST:
        assert ACCOUNT_TRANSITIONS[state, signal] is AccountState.WANTED
    elif (state, signal) not in ACCOUNT_TRANSITIONS:
        with pytest.raises(StateError):
            next_state(ACCOUNT_TRANSITIONS, state, signal)
