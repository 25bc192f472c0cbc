"""Hosts that share a store: one of them leads, and the next one leads when it falls silent."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest

from krakenlink.machine import feed_clock
from tests.kits.hosts.memory_store import Line, MemoryStore
from ttslo_app.cluster.copy import Copy
from ttslo_app.cluster.crew import Fencing, Part
from ttslo_app.cluster.leadership import State
from ttslo_app.cluster.records import (
    NONCE_BASE,
    Changed,
    Keys,
    Lead,
    dumped,
    lead_text,
    life_text,
    read_lead,
)
from ttslo_app.cluster.session import Session
from ttslo_app.cluster.store import Answer, Change, Entry, StoreUnreachable

KEYS = Keys("prod")


class Nonces:
    """Kraken, as far as it refuses nonces that are not above the highest one."""

    def __init__(self) -> None:
        self.highest = 0
        self._lock = threading.Lock()

    def take(self, nonce: int) -> bool:
        with self._lock:
            is_taken, self.highest = nonce > self.highest, max(self.highest, nonce)
            return is_taken


class Ship:
    """A program that does what the session says, and writes down what that was."""

    def __init__(self, kraken: Nonces) -> None:
        self.kraken = kraken
        self.is_ready, self.blind, self.cut_off, self.answers = True, 0.0, 0.0, True
        self.nonce = 0
        self.is_deposed = self.has_taken_up = self.is_open = self.is_busy = False
        self.reigns = False  # whether a call with the key would go out
        self.log: list[str] = []
        self.news: list[Changed] = []

    @property
    def is_following(self) -> bool:
        return not self.is_busy and not self.is_open

    def blind_for(self) -> float:
        return self.blind

    def cut_off_for(self) -> float:
        return self.cut_off

    def fence(self, base: int) -> Fencing:
        self.reigns = True
        if not self.answers:
            return Fencing.UNASKED
        self.nonce, self.is_deposed = base + 1, False
        return Fencing.ANSWERED if self.kraken.take(self.nonce) else Fencing.REFUSED

    def send(self) -> bool:
        """Send an order as the program would; tell whether Kraken took it."""
        self.nonce += 1
        if not self.is_open:
            return False
        is_taken = self.kraken.take(self.nonce)
        self.is_deposed = not is_taken
        return is_taken

    def take_up(self, fence: int) -> None:
        self.is_open = self.has_taken_up = True
        self.log.append(f"take up {fence}")

    def cut(self) -> None:
        self.is_open = self.reigns = False

    def follow(self) -> None:
        self.is_open = self.has_taken_up = False
        self.log.append("follow")

    def changed(self, changed: Changed) -> None:
        self.news.append(changed)


class Memory:
    """What a host remembers of the store."""

    def __init__(self) -> None:
        self.seen = 0

    def newest(self) -> int:
        return self.seen

    def keep(self, version: int) -> None:
        self.seen = version


class Host:
    """One host with all that belongs to it."""

    def __init__(self, name: str, timeline: MemoryStore, kraken: Nonces, patience: float) -> None:
        self.store, self.copy, self.ship = Line(timeline), Copy(KEYS), Ship(kraken)
        self.memory = Memory()
        self.said: list[str] = []
        part = Part(KEYS, name, patience)
        self.session = Session(self.store, self.copy, part, self.ship, self.memory, self.say)

    def say(self, level: str, message: str, **fields: object) -> None:
        self.said.append(message)

    def has_said(self, words: str) -> bool:
        return any(words in text for text in self.said)

    def knows_another(self) -> bool:
        return self.session.others.any_lives(feed_clock())

    def is_leading(self) -> bool:
        return self.session.state is State.LEAD


def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


class Fleet:
    """Hosts that share a store and an account."""

    def __init__(self) -> None:
        self.timeline, self.kraken, self.hosts = MemoryStore(), Nonces(), list[Host]()

    def has(self, key: str) -> bool:
        return self.timeline.get(key) is not None

    def entry(self, key: str) -> Entry:
        entry = self.timeline.get(key)
        assert entry is not None
        return entry

    def host(self, name: str, *, patience: float = 1.5) -> Host:
        host = Host(name, self.timeline, self.kraken, patience)
        self.hosts.append(host)
        return host

    def start(self, name: str, *, patience: float = 1.5) -> Host:
        host = self.host(name, patience=patience)
        host.session.start()
        return host


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Hosts that end with the test."""
    fleet = Fleet()
    yield fleet
    for host in fleet.hosts:
        host.store.is_cut = True
        host.session._stopping.set()
        host.session._wake.set()


def leader_and_follower(
    fleet: Fleet, *, leads: float = 1000.0, follows: float = 1000.0
) -> tuple[Host, Host]:
    """Start two hosts, each with its patience; the second has heard that the first leads."""
    a = fleet.start("a", patience=leads)
    until(a.is_leading)
    b = fleet.start("b", patience=follows)
    until(lambda: b.has_said("FOLLOWS: a leads"))
    return a, b


def kill(host: Host) -> None:
    """Let a host be heard of no more, as a machine that dies; it believes on that it leads."""
    host.store.is_cut = True


def test_the_first_host_leads_at_once(fleet: Fleet) -> None:
    """Nobody leads, so there is nobody to wait for; the fence is the version of its entry."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    lead = a.copy.leader()
    assert lead is not None
    assert (lead.host, lead.epoch) == ("a", 1)
    assert fleet.kraken.highest == NONCE_BASE + 2**32 + 1
    assert a.ship.log == [f"take up {fleet.entry(KEYS.lead).version}"]
    assert a.memory.seen >= fleet.entry(KEYS.lead).version
    assert a.has_said("LEADS (epoch 1)")


def test_a_second_host_follows_while_the_first_one_beats(fleet: Fleet) -> None:
    """It says who leads, and sends nothing."""
    a = fleet.start("a")
    until(a.is_leading)
    b = fleet.start("b", patience=1000.0)
    until(lambda: b.has_said("FOLLOWS: a leads") and fleet.has(KEYS.beat))
    beat = fleet.entry(KEYS.beat).version
    until(lambda: fleet.entry(KEYS.beat).version > beat)
    assert b.session.state is State.FOLLOW
    assert not b.ship.send()


def test_a_silent_leader_is_followed_by_another_and_can_send_nothing_more(fleet: Fleet) -> None:
    """It does not know of that yet: Kraken refuses its nonce."""
    a, b = leader_and_follower(fleet, leads=1.5, follows=1.5)
    assert a.ship.send()
    kill(a)
    until(b.is_leading)
    assert b.has_said("a has been silent for")
    assert b.ship.send()
    assert a.ship.is_open
    assert not a.ship.send()
    a.store.is_cut = False
    until(lambda: a.session.state is State.FOLLOW)
    assert a.has_said("DEPOSED: b leads now")
    assert not a.ship.is_open
    until(lambda: a.has_said("FOLLOWS: b leads"))


def test_a_beat_that_is_refused_shuts_the_door(fleet: Fleet) -> None:
    """Whoever learns of another by the store alone stops sending before Kraken has to refuse it."""
    a = fleet.start("a")
    until(a.is_leading)
    entry = fleet.entry(KEYS.lead)
    other = lead_text(Lead(2, "b", "", "t"))
    fleet.timeline.commit(Change({KEYS.lead: entry.version}, {KEYS.lead: other}))
    until(lambda: a.has_said("DEPOSED: b leads now"))
    assert not a.ship.is_open
    assert "follow" in a.ship.log


def test_of_two_that_stand_one_wins(fleet: Fleet) -> None:
    """Both compare the same two versions, and the store lets one of them through."""
    hosts = [fleet.start(name) for name in "abc"]
    until(lambda: any(host.is_leading() for host in hosts))
    until(lambda: sum(host.has_said("FOLLOWS") for host in hosts) == 2)
    lead = fleet.entry(KEYS.lead)
    assert sum(host.session.state is State.LEAD for host in hosts) == 1
    assert b'"epoch":1' in lead.value


def test_a_host_that_is_not_ready_does_not_stand(fleet: Fleet) -> None:
    """Its rows are not read yet: it could place nothing."""
    a = fleet.host("a")
    a.ship.is_ready = False
    a.session.start()
    b = fleet.start("b")
    until(b.is_leading)
    assert a.session.state is State.FOLLOW
    a.ship.is_ready = True
    kill(b)
    until(a.is_leading)


def test_nothing_is_taken_up_before_kraken_has_answered(fleet: Fleet) -> None:
    """Until then an earlier leader could still send."""
    a = fleet.host("a")
    a.ship.answers = False
    a.session.start()
    until(lambda: a.has_said("Kraken has not answered yet"))
    assert a.session.state is State.FENCE
    assert not a.ship.is_open
    a.ship.answers = True
    until(a.is_leading)


@pytest.mark.parametrize("is_mute", [False, True])
def test_a_host_that_waits_for_kraken_steps_down_for_another(fleet: Fleet, is_mute: bool) -> None:
    """It beats meanwhile, and learns of the other by that, or only hears of it."""
    a = fleet.host("a")
    a.ship.answers = False
    a.session.start()
    until(lambda: a.session.state is State.FENCE)
    a.store.is_mute = is_mute
    entry = fleet.entry(KEYS.lead)
    other = lead_text(Lead(9, "b", "", "t"))
    fleet.timeline.commit(Change({KEYS.lead: entry.version}, {KEYS.lead: other}))
    until(lambda: a.has_said("DEPOSED: b leads now"))
    assert not a.ship.reigns  # a call with its nonces would only be refused by now


def test_a_store_that_went_back_in_time_is_refused_by_kraken(fleet: Fleet) -> None:
    """The store says that this host leads, and Kraken has seen higher nonces."""
    fleet.kraken.highest = NONCE_BASE + 7 * 2**32
    a = fleet.start("a")
    until(lambda: a.session.state is State.ASTRAY)
    assert a.has_said("REFUSES TO LEAD main: Kraken saw a higher nonce")
    assert not a.ship.is_open
    until(lambda: fleet.has(KEYS.halt))


def test_no_election_brings_the_epochs_up_to_what_kraken_has_seen(fleet: Fleet) -> None:
    """One host was refused: if each stood in turn, the third would be taken, with old lives."""
    fleet.kraken.highest = NONCE_BASE + 2 * 2**32 + 5
    hosts = [fleet.start(name, patience=0.2) for name in "abc"]
    until(lambda: fleet.has(KEYS.halt))
    until(lambda: all(host.has_said("REFUSES TO LEAD") for host in hosts))
    lead = fleet.entry(KEYS.lead)
    assert not any(host.ship.is_open for host in hosts)
    late = fleet.start("d", patience=0.1)
    until(lambda: late.has_said("Nobody leads it any more"))
    assert fleet.entry(KEYS.lead) == lead
    assert fleet.kraken.highest == NONCE_BASE + 2 * 2**32 + 5


def test_halt_that_could_not_be_written_is_written_later(fleet: Fleet) -> None:
    """The store was away for a moment."""
    fleet.kraken.highest = NONCE_BASE + 7 * 2**32
    a = fleet.host("a")
    real, lost = a.store.commit, iter([True])

    def commit(change: Change, *, patience: float = 1.0) -> Answer:
        if KEYS.halt in change.puts and next(lost, False):
            raise StoreUnreachable("no answer")
        return real(change)

    a.store.commit = commit  # type: ignore[method-assign]
    a.session.start()
    until(lambda: fleet.has(KEYS.halt))


def test_a_store_that_is_older_than_it_was_is_noticed_without_a_call(fleet: Fleet) -> None:
    """The file of this host remembers a later version."""
    a = fleet.host("a")
    a.memory.seen = 10**6
    a.session.start()
    until(lambda: a.session.state is State.ASTRAY)
    assert a.has_said("the store is older than it was")
    assert fleet.kraken.highest == 0
    assert not fleet.has(KEYS.lead)


def test_reading_that_others_overtake_is_no_older_store(fleet: Fleet) -> None:
    """This host's own beat is answered while everything is read: the answer to that is older."""
    a = fleet.host("a")
    real, waits = a.store.list, iter([True])

    def read(prefix: str, *, patience: float = 1.0) -> tuple[Sequence[Entry], int]:
        found = real(prefix)
        if next(waits, False):
            until(lambda: a.memory.seen > found[1])
        return found

    a.store.list = read  # type: ignore[method-assign]
    a.session.start()
    until(a.is_leading)


def test_whoever_went_astray_stands_by_for_one_that_leads(fleet: Fleet) -> None:
    """Another host was found to be right."""
    a = fleet.host("a", patience=1000.0)
    a.memory.seen = 10**6
    a.session.start()
    until(lambda: a.session.state is State.ASTRAY)
    b = fleet.start("b")
    until(b.is_leading)
    until(lambda: a.has_said("FOLLOWS: b leads"))


def test_a_refused_nonce_while_the_store_still_says_so_leads_astray(fleet: Fleet) -> None:
    """Some other program uses the key, with higher nonces."""
    a = fleet.start("a")
    until(a.is_leading)
    fleet.kraken.highest = NONCE_BASE + 9 * 2**32
    assert not a.ship.send()
    until(lambda: a.session.state is State.ASTRAY)
    assert not a.ship.is_open


def test_a_refusal_that_nobody_stands_behind_costs_an_election_and_no_more(fleet: Fleet) -> None:
    """One call was refused by mistake: the next epoch is taken, and nobody has to look at night."""
    a = fleet.start("a", patience=0.5)
    until(a.is_leading)
    a.ship.is_deposed = True
    until(lambda: a.has_said("STEPS DOWN"))
    until(a.is_leading)
    lead = a.copy.leader()
    assert lead is not None
    assert lead.epoch == 3  # that of nobody lies between
    assert not fleet.has(KEYS.halt)
    assert a.ship.send()


def test_a_store_that_goes_back_under_the_one_that_leads_ends_its_lead(fleet: Fleet) -> None:
    """It is put back while the host runs: what it then says of lives is of yesterday."""
    a = fleet.start("a", patience=0.5)
    until(a.is_leading)
    a.session._age.is_older = True
    until(lambda: a.has_said("the store is older than it was"))
    assert a.session.state is State.ASTRAY
    assert not a.ship.is_open


def test_host_whose_order_thread_does_not_take_up_lets_another_lead(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It met a defect: a leader that beats on and places nothing would be the worst of all."""
    monkeypatch.setattr("ttslo_app.cluster.session._TAKES_UP", 0.2)
    a = fleet.host("a", patience=1000.0)
    a.ship.take_up = lambda fence: None  # type: ignore[method-assign]
    a.session.start()
    until(lambda: a.has_said("STEPS DOWN: the order thread did not take up"))
    b = fleet.start("b", patience=1000.0)
    until(b.is_leading)
    assert not a.ship.is_open


def test_handing_over_waits_for_no_silence(fleet: Fleet) -> None:
    """A person asks; the one that leads ends its turn, and the other leads at once."""
    a, b = leader_and_follower(fleet)
    until(a.knows_another)
    fleet.timeline.commit(Change({}, {KEYS.handover: dumped({"token": "1"})}))
    until(b.is_leading)
    assert a.has_said("Hands over, as it was asked to")
    assert "follow" in a.ship.log
    assert not a.ship.send()
    until(lambda: a.has_said("FOLLOWS: b leads"))


def test_nobody_hands_over_to_nobody(fleet: Fleet) -> None:
    """A host that died long ago is no host, however fresh its word looks at the start."""
    fleet.timeline.commit(Change({}, {KEYS.host("dead"): b"{}"}))
    a = fleet.start("a")
    until(a.is_leading)
    fleet.timeline.commit(Change({}, {KEYS.handover: dumped({"token": "1"})}))
    until(lambda: a.has_said("no other host stands by"))
    assert a.session.state is State.LEAD


def test_an_old_request_to_hand_over_is_no_request(fleet: Fleet) -> None:
    """It was meant for the one before."""
    fleet.timeline.commit(Change({}, {KEYS.handover: dumped({"token": "1"})}))
    a, b = fleet.start("a"), fleet.start("b")
    until(lambda: a.is_leading() or b.is_leading())
    until(lambda: a.knows_another() and b.knows_another())
    assert not a.has_said("Hands over")
    assert not b.has_said("Hands over")


def test_a_blind_leader_gives_way_to_one_that_sees(fleet: Fleet) -> None:
    """It could place orders, and will see nothing to place them for."""
    a, b = leader_and_follower(fleet)
    a.ship.blind = 11.0
    until(b.is_leading)
    assert a.has_said("No live price here for 11 s")


def test_a_blind_leader_leads_on_where_nobody_sees_more(fleet: Fleet) -> None:
    """A host that hands over to another blind one has won nothing."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    b = fleet.host("b", patience=1000.0)
    b.ship.blind = a.ship.blind = 11.0
    b.session.start()
    until(a.knows_another)
    assert not a.session.others.any_could_lead(feed_clock())
    assert a.session.state is State.LEAD


def test_a_leader_that_kraken_does_not_answer_gives_way_at_once(fleet: Fleet) -> None:
    """An order that is under way may have its answer in a quarter of a minute, or never."""
    a, b = leader_and_follower(fleet)
    a.ship.follow = lambda: until(b.is_leading)  # type: ignore[method-assign]  # it has no answer
    a.ship.cut_off = 11.0
    until(b.is_leading)
    assert a.has_said("Kraken has taken no call from here for 11 s, and another host reaches it")
    assert not a.ship.is_open
    until(lambda: a.has_said("FOLLOWS: b leads"))
    until(lambda: a.has_said("this host takes over only if no other can"))
    a.ship.cut_off = 0.0
    until(lambda: a.has_said("Kraken answers calls from here again"))


def spoilt(host: Host, how: str) -> None:
    """Let a host be one that nobody hands over to."""
    host.ship.is_ready = how != "not ready"
    host.ship.cut_off = 3.0 if how == "cut off" else 0.0
    host.ship.blind = 3.0 if how == "blind" else 0.0


@pytest.mark.parametrize("how", ["cut off", "blind", "not ready"])
def test_a_leader_gives_nothing_to_who_has_no_more_of_kraken(fleet: Fleet, how: str) -> None:
    """Where Kraken is down for all, each of them has told so long before anybody gives way."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    b = fleet.host("b", patience=1000.0)
    spoilt(b, how)
    b.session.start()
    until(a.knows_another)
    fence = fleet.entry(KEYS.lead).version
    a.ship.cut_off = a.ship.blind = 11.0
    until(lambda: a.has_said("NO ORDER can be placed, and no other host reaches it"))
    told = fleet.entry(KEYS.host("b")).version
    until(lambda: a.copy.version(KEYS.host("b")) > told)
    assert a.session.state is State.LEAD
    assert fleet.entry(KEYS.lead).version == fence
    spoilt(b, "")
    until(b.is_leading)


def test_a_host_that_cannot_fence_leaves_the_lead_to_one_that_can(fleet: Fleet) -> None:
    """It won while it was alone, and Kraken never answered."""
    a = fleet.host("a", patience=0.5)
    a.ship.answers, a.ship.cut_off = False, 11.0
    a.session.start()
    until(lambda: a.has_said("Kraken has not answered yet"))
    assert a.session.state is State.FENCE
    b = fleet.start("b", patience=1000.0)
    until(b.is_leading)
    assert a.has_said("STEPS DOWN: Kraken does not answer this host, and another host reaches it")
    until(lambda: a.session.state is State.FOLLOW)
    assert not a.ship.reigns


def test_a_host_that_is_blind_for_a_moment_keeps_what_it_has_won(fleet: Fleet) -> None:
    """The other may be blind in the next one, and give it back: that would never end."""
    a = fleet.host("a", patience=0.5)
    a.ship.answers, a.ship.blind = False, 0.1
    a.session.start()
    until(lambda: a.has_said("Kraken has not answered yet"))
    fence = fleet.entry(KEYS.lead).version
    fleet.start("b", patience=1000.0)
    until(lambda: a.session.others.any_could_lead(feed_clock()))
    beat = fleet.entry(KEYS.beat).version
    until(lambda: fleet.entry(KEYS.beat).version > beat)
    a.ship.answers = True
    until(a.is_leading)
    assert fleet.entry(KEYS.lead).version == fence


def test_a_host_that_cannot_fence_while_nobody_can_keeps_the_lead(fleet: Fleet) -> None:
    """It asks on, and leads with the first answer."""
    a = fleet.host("a", patience=0.5)
    a.ship.answers, a.ship.cut_off = False, 11.0
    a.session.start()
    b = fleet.host("b", patience=1000.0)
    b.ship.cut_off = 11.0
    b.session.start()
    until(lambda: a.knows_another() and a.has_said("NO ORDER can be placed"))
    assert a.session.state is State.FENCE
    a.ship.answers = True
    until(a.is_leading)


def leaders(fleet: Fleet) -> list[str]:
    """Return who has led, one after another; empty for nobody."""
    entries = (one for news in fleet.timeline.log for one in news.entries)
    return [read_lead(one.key, one.value).host for one in entries if one.key == KEYS.lead]


@pytest.mark.parametrize("how", ["cut off", "blind"])
def test_a_lead_is_left_to_a_host_that_has_more_of_kraken(fleet: Fleet, how: str) -> None:
    """However much later that one stands for it."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    b, c = fleet.host("b", patience=2.5), fleet.host("c", patience=6.0)
    spoilt(b, how)
    for host in (b, c):
        host.session.start()
    until(lambda: b.session.others.any_could_lead(feed_clock()))
    kill(a)
    until(c.is_leading)
    assert leaders(fleet) == ["a", "c"]


def test_a_host_that_kraken_does_not_answer_leads_where_nobody_else_does(fleet: Fleet) -> None:
    """It may be answered in a moment, and nobody would have to be waited for then."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    b = fleet.host("b", patience=0.5)
    b.ship.cut_off = 11.0
    b.session.start()
    until(lambda: b.has_said("FOLLOWS: a leads"))
    kill(a)
    until(b.is_leading)


def test_a_leader_that_hears_nothing_of_the_store_does_not_beat_on(fleet: Fleet) -> None:
    """What it puts arrives, and no answer does: others must see that it is silent."""
    a, b = leader_and_follower(fleet, follows=1.0)
    a.store.is_deaf = True
    until(b.is_leading)
    assert a.has_said("NO ORDER can be placed")
    a.store.is_deaf = False
    until(lambda: a.has_said("FOLLOWS: b leads"))
    assert leaders(fleet) == ["a", "b"]


def test_a_leader_that_can_only_hear_sees_that_another_leads(fleet: Fleet) -> None:
    """Its questions do not arrive, and news still come: it need not ask to know."""
    a, b = leader_and_follower(fleet, follows=1.0)
    a.store.is_mute = True
    until(b.is_leading)
    until(lambda: a.has_said("DEPOSED: b leads now"))
    assert not a.ship.is_open
    assert a.session.state is State.DOWN  # what it knows of lives is to be read anew
    a.store.is_mute = False
    until(lambda: a.has_said("FOLLOWS: b leads"))


def test_whose_silence_it_was_is_not_guessed(fleet: Fleet) -> None:
    """A host that heard nothing for a while waits anew before it takes over."""
    _, b = leader_and_follower(fleet, follows=2.0)
    b.store.is_cut = True
    until(lambda: b.session._pulse.is_deaf(feed_clock()) and b.session._observed.lead == -1)
    b.store.is_cut = False
    until(lambda: b.has_said("The store answers again"))
    told = fleet.entry(KEYS.beat).version
    until(lambda: b.copy.version(KEYS.beat) > told)
    assert leaders(fleet) == ["a"]


def test_a_host_that_finds_the_store_older_says_so_once(fleet: Fleet) -> None:
    """It tells of a leader of yesterday, who does not lead any more and may be this very host."""
    yesterday = lead_text(Lead(3, "b", "", "t"))
    fleet.timeline.commit(Change({}, {KEYS.lead: yesterday, KEYS.beat: b"{}"}))
    a = fleet.host("a", patience=0.1)
    a.memory.seen = 10**9
    a.session.start()
    until(lambda: a.has_said("the store is older than it was"))
    told = fleet.entry(KEYS.host("a")).version
    for _ in range(3):  # signs of life, each of them long after it would have stood once more
        until(lambda: fleet.entry(KEYS.host("a")).version > told)  # noqa: B023 - called at once
        told = fleet.entry(KEYS.host("a")).version
    assert sum("the store is older" in text for text in a.said) == 1
    assert a.session.state is State.ASTRAY
    b = fleet.start("b", patience=0.5)  # which does not know that, and whom Kraken takes
    until(b.is_leading)
    until(lambda: a.session.state is State.FOLLOW)


def test_whoever_ends_gives_the_lead_back(fleet: Fleet) -> None:
    """The next one need not wait for a silence."""
    a = fleet.start("a", patience=1000.0)
    until(a.is_leading)
    a.session.stop()
    assert not fleet.has(KEYS.host("a"))
    b = fleet.start("b", patience=1000.0)
    until(b.is_leading)
    assert b.has_said("Nobody leads, so this host takes the lead")


def test_a_store_without_a_majority_is_told_of_and_nothing_else_changes(fleet: Fleet) -> None:
    """Nobody can be elected, and whoever leads writes nothing; both say so."""
    a, b = leader_and_follower(fleet, leads=1.5, follows=1.5)
    a.store.is_cut = b.store.is_cut = True
    until(lambda: a.has_said("NO ORDER can be placed"))
    until(lambda: b.has_said("this host cannot take over"))
    assert (a.session.state, b.session.state) == (State.LEAD, State.FOLLOW)
    a.store.is_cut = b.store.is_cut = False
    until(lambda: a.has_said("The store answers again"))


def test_an_election_whose_answer_is_lost_leads_to_nothing_by_itself(fleet: Fleet) -> None:
    """It may have been won: that is found out by standing again."""
    a = fleet.host("a", patience=0.2)
    real, lost = a.store.commit, iter([True])

    def commit(change: Change, *, patience: float = 1.0) -> Answer:
        answer = real(change)
        if KEYS.lead in change.puts and next(lost, False):
            raise StoreUnreachable("the answer was lost")
        return answer

    a.store.commit = commit  # type: ignore[method-assign]
    a.session.start()
    until(a.is_leading)
    lead = a.copy.leader()
    assert lead is not None
    assert lead.epoch == 2


def test_what_others_change_is_handed_on(fleet: Fleet) -> None:
    """Rows that are pushed, and lives that the leader writes."""
    a = fleet.start("a")
    until(a.is_leading)
    fleet.timeline.commit(Change({}, {KEYS.life("x"): life_text({"id": "x"}, "t")}))
    until(lambda: any("x" in changed.lives for changed in a.ship.news))
    assert a.copy.life("x") == {"id": "x"}


def test_a_lead_that_cannot_be_read_is_somebody_elses(fleet: Fleet) -> None:
    """Nobody takes over at once from what may be a leader of a later version."""
    fleet.timeline.commit(Change({}, {KEYS.lead: b"?", KEYS.beat: b"?"}))
    a = fleet.start("a", patience=1000.0)
    until(lambda: a.has_said("FOLLOWS"))
    lead = a.copy.leader()
    assert lead is not None
    assert lead.host


def test_a_surprise_does_not_end_the_threads(fleet: Fleet) -> None:
    """An error of our own is logged, and the host goes on."""
    a = fleet.host("a")
    real, calls = a.ship.fence, []

    def fence(base: int) -> Fencing:
        calls.append(base)
        if len(calls) == 1:
            raise RuntimeError("a surprise")
        return real(base)

    a.ship.fence = fence  # type: ignore[method-assign]
    with suppress(RuntimeError):
        a.session.start()
    until(a.is_leading)
    assert len(calls) == 2


def test_nobody_follows_whose_order_thread_is_still_at_something(fleet: Fleet) -> None:
    """What it is at must not go out with the nonces of a later epoch."""
    a = fleet.start("a", patience=0.2)
    until(a.is_leading)
    a.ship.is_busy = True
    entry = fleet.entry(KEYS.lead)
    vacant = lead_text(Lead(2, "", "", "t"))
    fleet.timeline.commit(Change({KEYS.lead: entry.version}, {KEYS.lead: vacant}))
    until(lambda: a.ship.log.count("follow") > 2)
    assert a.session.state is State.DOWN
    a.ship.is_busy = False
    until(a.is_leading)
