"""One crossing, one order, whatever two hosts, a store and Kraken do to each other; in a model.

Thousands of schedules in which hosts are paused between any two steps, die, and meet answers that
come late, twice or never. That the search can find a second order is shown as well: without any one
of the five layers there is a schedule with two, in the kind of Kraken where that layer bears the
load, and the search meets one by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kits.common.examples import many
from tests.kits.hosts.standby_model import ARMED, Kind, Layers, Mail, Request, World
from ttslo_app.cluster.leadership import State

FULL = Layers()
ROUNDS = 16
ENOUGH = 60.0  # seconds in which a host alone leads, looks twice and places
PLAIN = Kind()
KINDS = {
    "keeps to all it says": PLAIN,
    "ignores deadlines": Kind(keeps_deadlines=False),
    "queues behind its nonce check": Kind(queue=30.0),
    "takes low nonces": Kind(window=10**19),
    "has standing orders": Kind(fills=False),
}
# What no client can close: see `test_what_stays_possible_is_shown`.
QUEUES_AND_IGNORES = Kind(queue=30.0, keeps_deadlines=False)
HIDES = Kind(shows_within=60.0)


def usual(below: int) -> int:
    """Let nothing go wrong."""
    return 0


def slowest(below: int) -> int:
    """Let a call through to Kraken at once, and wait there as long as there is anything to."""
    return {5: 4, 3: 2}.get(below, 0)


def until(world: World, step: str) -> None:
    """Let the first host alone go on until it has come to a step."""
    host = world.hosts[0]
    for _ in range(10_000):
        if host.step() == step:
            return
    raise AssertionError(f"it never comes to {step!r}")


def paused_before_its_intent(world: World) -> None:
    """The first host is paused while it decides; the other takes over and places; it wakes."""
    paused_at(world, "intending")


def paused_before_its_nonce(world: World) -> None:
    """The same, between the intent and the nonce."""
    paused_at(world, "sending")


def paused_at(world: World, step: str) -> None:
    """Pause the first host at a step; the other takes over and places; then it wakes."""
    first, other = world.hosts
    until(world, step)
    world.alone(other, ENOUGH)
    assert world.count == 1
    world.alone(first, ENOUGH)


def dies_behind_its_order(world: World) -> None:
    """The first host dies when its order is at Kraken, which is slow to act or to show it."""
    first, other = world.hosts
    until(world, "signed")
    world.pick = slowest
    first.step()
    world.advance(0.01)
    world.pick = usual
    first.begin()
    world.alone(other, ENOUGH, idle=0.0)


# What is taken away; the Kraken in which nothing else stops what it stops; and what happens.
MISSING: dict[str, tuple[Layers, Kind, Callable[[World], None]]] = {
    # The nonces of a deposed host are too low, unless the key has a window.
    "L1 the fence of an intent": (
        Layers(is_fenced=False),
        KINDS["takes low nonces"],
        paused_before_its_intent,
    ),
    # An order behind the nonce check is stopped by its deadline alone.
    "L2 the deadline": (
        Layers(has_deadline=False),
        KINDS["queues behind its nonce check"],
        dies_behind_its_order,
    ),
    # What was filled before the takeover is in no book of open orders: nothing refuses a second.
    "L3 the looks": (Layers(looks=0), PLAIN, dies_behind_its_order),
    # Kraken may take 12 s to show it.
    "L3 the second look": (Layers(looks=1), PLAIN, dies_behind_its_order),
    # Nobody finds what has another id.
    "L4 one id": (Layers(has_one_id=False), PLAIN, dies_behind_its_order),
    # A clock's nonce drawn on waking is above all the others.
    "L5 nonces of the epoch": (
        Layers(has_nonces=False),
        KINDS["ignores deadlines"],
        paused_before_its_nonce,
    ),
}
CAN_BE = {
    "acts from a queue after the deadline": (QUEUES_AND_IGNORES, dies_behind_its_order),
    "hides an order for a minute": (HIDES, dies_behind_its_order),
}


def played(seed: int, layers: Layers, kind: Kind) -> World:
    """Return what has come of a schedule of chance, the same for the same seed."""
    chance = random.Random(seed).random
    world = World(layers, kind, lambda below: int(chance() * below))
    world.play(ROUNDS)
    return world


def first_double(layers: Layers, kind: Kind) -> int | None:
    """Return the first seed whose schedule places two orders; None if none of many does."""
    return next((n for n in range(20_000) if played(n, layers, kind).count > 1), None)


@pytest.mark.parametrize("name", KINDS)
def test_no_schedule_of_chance_places_two_orders(name: str) -> None:
    """And once nothing goes wrong any more there is one, wherever it had come to.

    What a missing layer lets through is met within two dozen schedules, see below.
    """
    for seed in range(many(400)):
        world = played(seed, FULL, KINDS[name])
        assert world.count <= 1, seed
        world.end()
        assert world.count == 1, seed


@settings(max_examples=many(150))
@given(
    kind=st.sampled_from([*KINDS.values()]),
    picks=st.lists(st.integers(0, 47), max_size=600),
)
def test_no_schedule_that_is_looked_for_places_two_orders(kind: Kind, picks: list[int]) -> None:
    """The shortest that does would be shown."""
    chosen = iter(picks)
    world = World(FULL, kind, lambda below: next(chosen, 0) % below)
    world.play(ROUNDS)
    world.end()
    assert world.count == 1


@pytest.mark.parametrize("name", MISSING)
def test_without_a_layer_there_are_two_orders(name: str) -> None:
    """In one schedule that shows why; with the layer there is one, from first to last."""
    layers, kind, happens = MISSING[name]
    for what, count in ((layers, 2), (FULL, 1)):
        world = World(what, kind, usual)
        happens(world)
        world.end()
        assert world.count == count, what


@pytest.mark.parametrize("name", MISSING)
def test_the_search_finds_what_a_missing_layer_lets_through(name: str) -> None:
    """Nobody tells it where to look; and the very schedule it finds is harmless with the layer."""
    layers, kind, _ = MISSING[name]
    seed = first_double(layers, kind)
    assert seed is not None
    assert played(seed, FULL, kind).count <= 1


def test_an_order_of_the_last_moment_that_shows_late_is_found() -> None:
    """Acted upon just before its deadline, and in the books 12 s later: no look may come sooner."""
    world = World(FULL, Kind(queue=4.0), usual)
    dies_behind_its_order(world)
    world.end()
    assert world.count == 1


@pytest.mark.parametrize("name", CAN_BE)
def test_what_stays_possible_is_shown(name: str) -> None:
    """Two weaknesses of Kraken's that no client can make up for, by hand and by search."""
    kind, happens = CAN_BE[name]
    world = World(FULL, kind, usual)
    happens(world)
    world.end()
    assert world.count == 2
    assert first_double(FULL, kind) is not None


@pytest.mark.parametrize("step", ["following", "standing", "waiting", "settling", "leading",
                                  "intending", "putting", "intended", "sending", "signed",
                                  "answered"])  # fmt: skip
@pytest.mark.parametrize("dies", [False, True])
def test_one_order_wherever_the_first_host_is_paused_or_dies(step: str, dies: bool) -> None:
    """The other takes over within seconds of the first one's silence."""
    world = World(FULL, PLAIN, usual)
    first, other = world.hosts
    until(world, step)
    if dies:
        first.begin()
    world.alone(other, ENOUGH)
    assert world.count == 1
    assert other.state is State.LEAD
    for _ in range(100):
        first.step()
        other.step()
    assert (world.count, first.state, other.state) == (1, State.FOLLOW, State.LEAD)


@pytest.mark.parametrize("step", ["waiting", "settling", "leading", "intending", "putting",
                                  "intended", "sending", "signed", "answered"])  # fmt: skip
def test_one_order_wherever_the_first_host_gives_the_lead_away(step: str) -> None:
    """As one does that Kraken does not answer: its order thread is at something, and goes on."""
    world = World(FULL, PLAIN, usual)
    first, other = world.hosts
    until(world, step)
    first.give_away()
    for _ in range(3):
        first.step()
        other.step()
    world.alone(other, ENOUGH)
    world.alone(first, ENOUGH)
    world.end()
    assert world.count == 1


# --- the model itself ------------------------------------------------------------------------


def asked(world: World, request: Request) -> object:
    """Return what Kraken answers at once."""
    mail = Mail()
    world.kraken.arrive(request, mail, is_heard=True)
    world.advance(0.0)
    return mail.answer


def test_the_models_kraken_takes_a_nonce_once_and_none_below() -> None:
    """With a window below, but never the same."""
    world = World(FULL, PLAIN, usual)
    look = Request(7, is_order=False)
    assert asked(world, look) == frozenset()
    assert asked(world, look) == "nonce"
    assert asked(world, replace(look, nonce=6)) == "nonce"
    wide = World(FULL, Kind(window=5), usual)
    found = [asked(wide, replace(look, nonce=n)) for n in (7, 3, 3, 2)]
    assert found == [frozenset(), frozenset(), "nonce", "nonce"]


def test_the_models_kraken_looks_at_deadlines_at_the_door_and_behind_its_queue() -> None:
    """Too near on arrival, or past when it acts; nothing of it where it ignores them."""
    ignoring = Kind(queue=8.0, keeps_deadlines=False)
    for kind, at_the_door, behind in (
        (Kind(queue=8.0), "late", "late"),
        (ignoring, None, "placed"),
    ):
        world = World(FULL, kind, slowest)
        near = Request(1, True, "id", world.now + 1.9)
        assert asked(world, near) == at_the_door
        mail = Mail()
        world.kraken.arrive(Request(2, True, "id", world.now + 5.0), mail, is_heard=True)
        world.advance(9.0)
        assert mail.answer == behind


def test_the_models_kraken_has_one_open_order_of_an_id() -> None:
    """A filled one stands in nobody's way; both are shown late."""
    for kind, second in ((PLAIN, "placed"), (Kind(fills=False), "duplicate")):
        world = World(FULL, kind, slowest)
        order = Request(1, True, ARMED.cl_ord_id, world.now + 5.0)
        assert asked(world, order) == "placed"
        assert asked(world, replace(order, nonce=2)) == second
        assert asked(world, Request(3, is_order=False)) == frozenset()
        world.advance(12.0)
        assert asked(world, Request(4, is_order=False)) == {ARMED.cl_ord_id}
