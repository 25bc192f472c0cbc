"""The echo: what came is as old as the reader's own number says, whatever lagged on its way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink.relay.hub import Hub
from krakenlink.relay.packets import Answers, Packet, Word
from krakenlink.relay.proof import PONG, Broken, Proof

ME = "a1"


def packet(seq: int, echo: int | None = None, *, age: float | None = 0.0, epoch: str = "run-1",
           gone: tuple[str, ...] = (), items: tuple[str, ...] = ()) -> Packet:  # fmt: skip
    """Return a packet that echoes the number `echo` of this reader."""
    echoes = {} if echo is None else {ME: echo}
    return Packet(epoch, seq, age, None, echoes, list(gone), list(items))


def take(proof: Proof, message: Packet | Answers) -> list[str]:
    """Take a message in whole, as a connection does; return the frames and then the pongs."""
    return [*proof.take(message), *proof.settle()]


def opened(at: float = 100.0) -> Proof:
    """Return a proof whose first number left at `at` and came back in packet 5."""
    proof = Proof(ME)
    proof.sends(1, at)
    take(proof, packet(5, 1))
    return proof


def test_nothing_is_proven_or_told_before_an_echo() -> None:
    """A packet that came may have waited for hours."""
    proof = Proof(ME)
    proof.sends(1, 100.0)
    assert take(proof, packet(4, items=('{"n":1}',))) == []
    assert not proof.is_open
    assert proof.proven_at == float("-inf")


def test_echo_proves_back_to_when_its_number_left() -> None:
    """Not to when it came back."""
    assert opened(100.0).proven_at == 100.0


def test_age_of_the_relay_s_own_proof_is_taken_off() -> None:
    """A price is as old as both ways together."""
    proof = Proof(ME)
    proof.sends(1, 100.0)
    take(proof, packet(5, 1, age=1.5))
    assert proof.proven_at == 98.5


def test_packet_without_an_echo_proves_no_more() -> None:
    """That frames come proves nothing."""
    proof = opened(100.0)
    for seq in range(6, 50):
        assert take(proof, packet(seq, items=('{"n":1}',))) == ['{"n":1}']
    assert proof.proven_at == 100.0


def test_late_echo_of_an_old_number_takes_nothing_back() -> None:
    """What was proven once stays so; a number proves what it proves."""
    proof = opened(100.0)
    proof.sends(2, 101.0)
    take(proof, packet(6, 2, age=2.5))
    assert proof.proven_at == 100.0


def test_number_that_never_left_proves_nothing() -> None:
    """Whoever echoes what was not said has not heard it."""
    proof = opened(100.0)
    proof.sends(2, 101.0)
    take(proof, packet(6, 900))
    assert proof.proven_at == 100.0


def test_echo_of_somebody_else_s_number_is_none_of_mine() -> None:
    """Numbers belong to their readers."""
    proof = opened(100.0)
    proof.sends(2, 101.0)
    take(proof, Packet("run-1", 6, 0.0, None, {"b2": 2}))
    assert proof.proven_at == 100.0


@pytest.mark.parametrize(
    ("following", "reason"),
    [
        (packet(7), "packet 7 of the relay came after 5: some are lost"),
        (packet(5), "packet 5 of the relay came after 5"),
        (packet(6, epoch="run-2"), "the relay begins anew"),
        (packet(6, age=None), "no proven prices itself"),
        (packet(6, gone=(ME,)), "lets this reader begin anew"),
    ],
)
def test_whatever_may_have_cost_a_frame_ends_the_connection(following: Packet, reason: str) -> None:
    """Then all is asked for anew, and a snapshot comes."""
    with pytest.raises(Broken, match=reason):
        opened().take(following)


def test_somebody_else_may_be_gone() -> None:
    """It is not about us."""
    opened().take(packet(6, gone=("b2",)))


def test_relay_without_proof_opens_nothing() -> None:
    """A relay that is blind itself is no relay yet."""
    proof = Proof(ME)
    proof.sends(1, 100.0)
    with pytest.raises(Broken, match="no proven prices"):
        take(proof, packet(5, 1, age=None))


def test_echo_counts_only_once_what_came_before_it_was_taken_in() -> None:
    """Or an older price would be shown meanwhile, under a newer proof."""
    proof = opened(100.0)
    proof.sends(2, 101.0)
    assert proof.take(packet(6, 2, items=('{"n":1}',))) == ['{"n":1}']
    assert (proof.has_echo, proof.proven_at) == (True, 100.0)
    assert proof.settle() == []
    assert (proof.has_echo, proof.proven_at) == (False, 101.0)


def test_answers_come_in_their_place_and_to_their_reader() -> None:
    """Between the packets where the relay put them."""
    proof = opened()
    items = ['{"n":1}']
    assert proof.take(Answers(ME, "run-1", 5, items)) == items
    assert proof.take(Answers("b2", "run-1", 5, items)) == []
    assert proof.take(packet(6)) == []
    assert proof.take(Answers(ME, "run-1", 6, items)) == items


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (Answers(ME, "run-1", 6, []), "packet 7 of the relay came after 5"),
        (Answers(ME, "run-1", 4, []), "packet 5 of the relay came after 5"),
        (Answers(ME, "run-2", 5, []), "the relay begins anew"),
    ],
)
def test_answers_out_of_place_end_the_connection(answers: Answers, reason: str) -> None:
    """A snapshot of another moment would be taken for the present one."""
    with pytest.raises(Broken, match=reason):
        opened().take(answers)


def test_answers_before_an_echo_are_none() -> None:
    """They belong to nothing that is known."""
    assert Proof(ME).take(Answers(ME, "run-1", 0, ["{}"])) == []


def test_frames_that_others_want_are_left_out() -> None:
    """They would have to be read for nothing; what is not known goes on."""
    frames = tuple(f'{{"channel":"{c}","data":[]}}' for c in ("ticker", "book", "status"))
    proof = opened()
    assert proof.take(packet(6, items=frames)) == [frames[2]]
    proof.follows("ticker")
    assert proof.take(packet(7, items=frames)) == [frames[0], frames[2]]
    proof.follows("book")
    assert proof.take(packet(8, items=frames)) == [*frames]


@pytest.mark.parametrize(("channel", "proven_at"), [("instrument", 93.0), ("ticker", 100.5)])
def test_list_of_pairs_is_as_old_as_its_own_connection(channel: str, proven_at: float) -> None:
    """And prices are not."""
    proof = opened(100.0)
    proof.proven_at = 0.0
    proof.follows(channel)
    proof.sends(2, 101.0)
    take(proof, Packet("run-1", 6, 0.5, 8.0, {ME: 2}))
    assert proof.proven_at == proven_at


def test_ping_is_answered_by_a_number_that_left_after_it() -> None:
    """An echo of an earlier one says nothing of what lies between."""
    proof = opened()
    proof.sends(2, 101.0)
    proof.pings()
    assert take(proof, packet(6, 2)) == []
    proof.sends(3, 102.0)
    assert take(proof, packet(7, 3)) == [PONG]
    assert take(proof, packet(8)) == []


def test_two_pings_have_two_answers() -> None:
    """None is left open, or the link would be thought to lag."""
    proof = opened()
    proof.pings()
    proof.pings()
    proof.sends(2, 101.0)
    assert take(proof, packet(6, 2)) == [PONG, PONG]


# --- the whole way, with every lag that there is -------------------------------------------------


@dataclass
class Way:
    """Kraken, a relay, a broker that keeps everything for ever, and a reader, each at its pace.

    A frame's text is the moment at which Kraken sent it; Kraken beats at each tick.
    """

    now: float = 100.0
    hub: Hub = field(default_factory=lambda: Hub("run", 3.0, 30.0))
    socket: deque[str] = field(default_factory=deque)
    asks: deque[Word] = field(default_factory=deque)
    broker: deque[Packet | Answers] = field(default_factory=deque)
    proof: Proof = field(default_factory=lambda: Proof(ME))
    number: int = 0
    newest: float | None = None

    def __post_init__(self) -> None:
        self.hub.opened(self.now)

    def kraken(self) -> None:
        """Kraken sends a price."""
        row = f'{{"symbol":"BTC/USD","last":{self.now}}}'
        self.socket.append(f'{{"channel":"ticker","data":[{row}]}}')

    def say(self) -> None:
        """The reader sends its next number."""
        self.number += 1
        self.proof.sends(self.number, self.now)
        self.asks.append(Word(ME, "hello" if self.number == 1 else "alive", self.number))

    def relay(self) -> None:
        """The relay takes in all that it can, then looks at its clock, then publishes."""
        while self.asks:
            self.hub.take(self.asks.popleft(), self.now)
        if self.socket:
            self.hub.heard(self.now, list(self.socket))
            self.socket.clear()
        self.broker.extend(self.hub.outgoing(self.now))

    def reader(self) -> None:
        """The reader takes in one packet."""
        if self.broker:
            take(self.proof, self.broker.popleft())

    def is_served(self) -> bool:
        """Whether a price would count now."""
        return self.now - self.proof.proven_at < 3.0


steps = st.sampled_from(["kraken", "say", "relay", "reader"]) | st.floats(0.01, 4.0)


@given(st.lists(steps, max_size=60))
def test_no_price_is_served_that_is_older_than_its_proof(script: list[str | float]) -> None:
    """Whoever lags or stops: what counts was alive at Kraken's within the bound.

    The relay heard of Kraken at some moment; it is never later than what the reader takes for
    proven, or a number would have come back before it left.
    """
    way = Way()
    heard: dict[int, float] = {}  # when the relay last heard of Kraken, as of each packet
    taken = 0
    heard_at = way.now
    try:
        for step in script:
            if isinstance(step, float):
                way.now += step
                continue
            if step == "relay":
                if way.socket and way.now - heard_at < 3.0:
                    heard_at = way.now
                heard[len(heard)] = heard_at
            if step == "reader" and way.broker:
                getattr(way, step)()
                taken += 1
                if way.is_served():
                    assert way.proof.proven_at <= heard[taken - 1]
            else:
                getattr(way, step)()
    except Broken:
        assert any(isinstance(step, float) for step in script)


def test_stopped_reader_finds_what_waited_unproven() -> None:
    """A second of packets that lay there for ten is ten seconds old."""
    way = Way()
    way.say()
    way.kraken()
    way.relay()
    way.reader()
    assert way.is_served()
    for _ in range(8):
        way.now += 1.0
        way.kraken()
        way.relay()
    while way.broker:
        way.reader()
        assert not way.is_served()


def test_stopped_relay_says_on_waking_that_it_has_no_proof() -> None:
    """What its socket held is as old as the stop, whoever asked meanwhile."""
    way = Way()
    way.say()
    way.kraken()
    way.relay()
    way.reader()
    way.kraken()
    way.now += 5.0
    way.say()
    way.relay()
    with pytest.raises(Broken, match="no proven prices itself"):
        way.reader()


def test_stopped_broker_gives_a_number_back_that_is_as_old() -> None:
    """What waited there counts from when the number left."""
    way = Way()
    way.say()
    way.kraken()
    way.relay()
    way.now += 5.0
    way.reader()
    assert not way.is_served()
