"""Who is told: that one service holds up no other, and that nobody waits for any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from krakenlink.machine import feed_clock
from tests.kits.signs.receiver_kit import LONG, Receiver
from ttslo_app.face.notify import DIGEST_HOUR, Notifier, Way, cleaned, next_digest
from ttslo_app.face.outbox import GATHER, RETRY, Level, Parcel
from ttslo_app.face.services import DEADLINE, Address, Plugin
from ttslo_app.messages import Kind, Said

HOUR = 3600.0
TITLE = "TTSLO DEMO: order placed (btc)"


def said(text: str = "btc: order O1 placed", kind: Kind = Kind.PLACED, row: str = "btc") -> Said:
    """Return something that was said."""
    return Said(kind, "INFO", row, text, 1.8e9)


class Stub:
    """A service that keeps what it is sent, and answers as it is told to.

    Attributes:
        answer: Why it does not arrive; empty where it does.
        hangs: Whether a send waits until `go` is set.
    """

    def __init__(self, answer: str = "", *, hangs: bool = False) -> None:
        self.answer = answer
        self.hangs = hangs
        self.go = threading.Event()
        self.sent: list[Parcel] = []
        self._changed = threading.Condition()

    def send(self, parcel: Parcel) -> str:
        with self._changed:
            self.sent.append(parcel)
            self._changed.notify_all()
        if self.hangs:
            assert self.go.wait(LONG)
        return self.answer

    def wait_for(self, count: int) -> None:
        """Wait until so many parcels came."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.sent) >= count, LONG)


class Told:
    """What was said of the notifications themselves."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: str, text: str, *, kind: Kind, **fields: str) -> None:
        self.lines.append(f"{level} {kind}: {text}")


@pytest.fixture
def told() -> Told:
    """Hand out where it is told what is wrong with notifications."""
    return Told()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Hand out a service; whatever hangs in it is let go afterwards."""
    made = Stub()
    yield made
    made.go.set()


def address(number: int = 1, level: Level = Level.ALL) -> Address:
    """Return an address."""
    return Address(f"ntfy://s3cret{number}", level, number)


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def settle(way: Way, now: float) -> None:
    """Let a way see what became of the message under way."""
    wait_until(lambda: way._errand is None or way._errand.is_over)
    way.go_on(now)


# --- one way -----------------------------------------------------------------------------------


def test_service_that_is_away_is_said_once_and_that_it_is_back(stub: Stub, told: Told) -> None:
    """Its messages wait, and arrive together; no secret is in what is said."""
    stub.answer = "nobody listens at its address"
    way, now = Way(address(), stub, "DEMO", told), feed_clock()
    way.outbox.take(said(), "", now)
    for _ in range(3):
        now += 1000
        way.go_on(now)
        settle(way, now)
    (line,) = told.lines
    assert line == (
        "WARNING notifications: notification address 1 (ntfy://...) is not reached: nobody "
        "listens at its address. Its messages wait, and are sent when it can be"
    )
    stub.answer = ""
    way.outbox.take(said("btc: order O1 is filled", Kind.FILLED), "", now)
    now += 1000
    way.go_on(now)
    settle(way, now)
    assert told.lines[1:] == [
        "INFO notifications: notification address 1 (ntfy://...) is reached again"
    ]
    assert [fact.said.text for fact in stub.sent[-1].facts] == [
        "btc: order O1 placed",
        "btc: order O1 is filled",
    ]
    assert way.is_done


def test_send_that_does_not_end_is_given_up_and_only_few_of_them_hang(
    stub: Stub, told: Told
) -> None:
    """A service that takes each message and never answers costs three threads, and no more."""
    stub.hangs = True
    way, now = Way(address(), stub, "", told), feed_clock()
    way.outbox.take(said(), "", now)
    for number in range(10):
        now += 1000
        way.outbox.take(said(f"btc: news {number}"), "", now - 500)
        way.go_on(now)
    stub.wait_for(3)
    assert (len(stub.sent), len(way._hanging)) == (3, 3)
    assert len(told.lines) == 1
    assert f"it has not answered for {DEADLINE:.0f} s" in told.lines[0]
    assert way.left >= 7
    stub.hangs = False
    stub.go.set()
    wait_until(lambda: all(errand.is_over for errand in way._hanging))
    now += 1000
    way.go_on(now)
    settle(way, now)
    assert "is reached again" in told.lines[1]
    assert way.is_done


def test_way_sleeps_until_there_is_something_to_do(stub: Stub, told: Told) -> None:
    """It looks often only while a message is under way."""
    way, now = Way(address(), stub, "", told), feed_clock()
    assert way.wakes_at(now) > now + 1
    way.outbox.take(said(), "", now)
    assert way.wakes_at(now) == now + GATHER
    stub.hangs = True
    way.go_on(now + GATHER)
    assert way.wakes_at(now + GATHER) < now + GATHER + 0.5


def test_at_the_end_each_address_is_tried_once(stub: Stub, told: Told) -> None:
    """What cannot be sent is left, and the end does not knock at a closed door again and again."""
    stub.answer = "no"
    way, now = Way(address(), stub, "", told), feed_clock()
    way.outbox.take(said(), "", now)
    for _ in range(5):
        way.go_on(now, is_ending=True)
        wait_until(lambda: way._errand is None or way._errand.is_over)
    assert (len(stub.sent), way.is_done, way.left) == (1, True, 1)
    assert way.outbox.due_at() == now + RETRY


# --- the thread --------------------------------------------------------------------------------


def test_every_address_is_told_what_its_level_asks_for(told: Told) -> None:
    """What is said reaches whom it concerns, with mark and note, before the end."""
    orders, everything = Stub(), Stub()
    ways = [(address(1, Level.ORDERS), orders), (address(2, Level.ALL), everything)]
    notes = {"btc": "my  own\nwords \x1b[2J"}
    notifier = Notifier(ways, told, note_of=notes.get, mark="DEMO").start()
    notifier.ear.hear(said())
    notifier.ear.hear(said("btc: armed", Kind.ARMED))
    notifier.stop(LONG)
    assert [parcel.title for parcel in orders.sent] == [TITLE]
    assert "\nNote: my own words \\x1b[2J" in orders.sent[0].body
    assert "armed" in "".join(parcel.body for parcel in everything.sent)
    assert told.lines == []


def test_service_that_hangs_holds_up_neither_the_others_nor_the_end(stub: Stub, told: Told) -> None:
    """Others are told at once; the end takes as long as it may, and says what was not told."""
    stub.hangs, good = True, Stub()
    notifier = Notifier([(address(1), stub), (address(2), good)], told).start()
    notifier.ear.hear(said())
    good.wait_for(1)
    began = time.monotonic()
    notifier.stop(0.1)
    assert time.monotonic() - began < LONG
    (line,) = told.lines
    assert "1 notifications were not sent before the end; the log has what they tell" in line


def test_error_of_ours_ends_no_telling(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """Who tells of trouble outlives its own, and its log shows no text that may be a secret."""
    stub, fails = Stub(), [True]

    def note_of(row: str) -> str:
        if fails.pop() if fails else False:
            raise RuntimeError("s3cret")
        return ""

    notifier = Notifier([(address(), stub)], told, note_of=note_of).start()
    notifier.ear.hear(said("btc: lost to the error"))
    wait_until(lambda: caplog.records)
    notifier.ear.hear(said())
    notifier.stop(LONG)
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text
    assert [parcel.title for parcel in stub.sent] == ["TTSLO: order placed (btc)"]


def test_what_the_ear_missed_is_counted(told: Told) -> None:
    """More than a thousand sentences in one blink are not passed over."""
    stub = Stub()
    notifier = Notifier([(address(), stub)], told)
    for number in range(1500):
        notifier.ear.hear(said(f"btc: order O{number} placed"))
    notifier.start()
    notifier.stop(LONG)
    assert "1,000 order placed, 500 other" in stub.sent[0].title


# --- the digest --------------------------------------------------------------------------------


def test_next_digest_is_this_morning_or_the_next() -> None:
    """It comes at the same hour by the clock on the wall."""
    noon = datetime(2027, 3, 4, 12, 0).astimezone().timestamp()
    for wall, hours in ((noon, 24 - 12 + DIGEST_HOUR), (noon - 6 * HOUR, DIGEST_HOUR - 6)):
        assert next_digest(wall) == wall + hours * HOUR
    at = next_digest(noon)
    assert next_digest(at) == at + 24 * HOUR


def test_digest_says_once_a_day_where_things_stand(told: Told) -> None:
    """It goes the way of all sentences, so the log has it, too."""
    wall = [datetime(2027, 3, 4, 6, 0).astimezone().timestamp()]
    notifier = Notifier(
        [(address(), Stub())], told, standing=lambda: (2, "btc: near"), wall=lambda: wall[0]
    )
    notifier.ear.hear(said())
    notifier._turn()
    assert told.lines == []
    wall[0] += 2 * HOUR
    notifier._hear(0.0)
    notifier._tell_digest()
    (line,) = told.lines
    assert line.startswith("INFO daily digest: Daily digest: 2 rows are armed; nearest btc: near.")
    assert line.endswith("In the last 2 hours: order placed")
    assert notifier._digest_at == next_digest(wall[0])


def test_note_is_one_short_line_without_what_acts() -> None:
    """A cell of a file may hold anything."""
    assert cleaned(None) == ""
    assert cleaned(" a \n b\t\x07\u202ec ") == "a b \\x07\\u202ec"
    assert len(cleaned("x" * 1000)) == 120


# --- real receivers ----------------------------------------------------------------------------


def test_thousand_events_reach_a_receiver_as_few_messages_while_others_are_mute(
    told: Told,
) -> None:
    """A receiver that records, one that never answers, one that drips and one that resets."""
    manners = ("record", "mute", "drip", "reset")
    receivers = [Receiver(manner) for manner in manners]
    for receiver in receivers:
        receiver.__enter__()
    try:
        addresses = [
            Address(f"json://{receiver.place}/s3cret", Level.ORDERS, number)
            for number, receiver in enumerate(receivers, 1)
        ]
        notifier = Notifier([(one, Plugin(one)) for one in addresses], told, mark="DEMO").start()
        for number in range(1000):
            notifier.ear.hear(said(f"btc: order O{number} placed"))
        receivers[0].wait_for(len)
        notifier.stop(1.0)
        titles = [message["title"] for message in receivers[0].messages]
    finally:
        for receiver in receivers:
            receiver.__exit__()
    assert 1 <= len(titles) <= 3
    counts = [int(title.split(": ")[1].split()[0].replace(",", "")) for title in titles]
    assert sum(counts) == 1000
    assert "s3cret" not in "".join(told.lines)
    assert any("were not sent before the end" in line for line in told.lines)
