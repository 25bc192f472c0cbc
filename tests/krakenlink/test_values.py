"""A class made here is what `dataclasses.dataclass` makes of the same lines, for whoever looks."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, astuple, field, fields, replace
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink import values
from krakenlink.values import dataclass

# mypy takes it for the standard one, to which the same may be told.
OURS: Any = values.dataclass
STANDARD: Any = dataclasses.dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """An order, with a field of each kind."""

    pair: str
    volume: int
    note: str = "none"
    seen: float = field(default=0.0, compare=False)
    secret: str = field(default="", repr=False)
    legs: list[str] = field(default_factory=list, compare=False)

    @property
    def doubled(self) -> int:
        """Twice the volume."""
        return 2 * self.volume


@dataclass(frozen=True, slots=True)
class Fill:
    """Another class with fields as those that an order must have."""

    pair: str
    volume: int


class Named(Fill):
    """One that goes on from another, with nothing of its own to hold."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing but itself."""


@dataclass(slots=True)
class Batch:
    """One that is filled as it goes."""

    frames: list[str] = field(default_factory=list)
    lost: str | None = None


@dataclass(slots=True, eq=False)
class Seat:
    """One that is itself and no other, with a field that is worked out."""

    row: int
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = f"row {self.row}"


def kinds(name: str, body: dict[str, Any], **options: bool) -> list[Any]:
    """Return what both make of one class, ours first."""
    space = {"__module__": __name__, "__qualname__": name, **body}
    made = (make(slots=True, **options) for make in (OURS, STANDARD))
    return [make(type(name, (), dict(space))) for make in made]


OPTIONS = [{"frozen": True}, {}, {"eq": False}, {"frozen": True, "eq": False}]


@pytest.mark.parametrize("options", OPTIONS)
def test_class_has_the_methods_of_the_standard_one(options: dict[str, bool]) -> None:
    """What may be done with it, compared and hashed, hangs on the same options."""
    body = {"__annotations__": {"x": "int", "y": "int"}, "y": 3}
    ours, standard = kinds("Point", body, **options)
    for one in (ours, standard):
        assert "x" in {told.name for told in fields(one)}
        assert (vars(one)["__slots__"], vars(one)["__match_args__"]) == (("x", "y"), ("x", "y"))
        assert not hasattr(one(1), "__dict__")
    assert repr(ours(1)) == repr(standard(1)) == "Point(x=1, y=3)"
    assert (ours(1) == ours(1)) is (standard(1) == standard(1)) is options.get("eq", True)
    assert ours(1) != ours(2)
    assert (ours.__hash__ is None) is (standard.__hash__ is None)
    assert (ours.__hash__ is object.__hash__) is (standard.__hash__ is object.__hash__)


@pytest.mark.parametrize("kind", [Order, Fill, Ping, Batch, Seat])
def test_fields_are_told_as_the_standard_library_tells_them(kind: type[Any]) -> None:
    """Also of what is not compared, not shown, not asked for, or made anew for each."""
    body = {one.name: copy.copy(one) for one in fields(kind)}
    space = {"__annotations__": kind.__annotations__, "__module__": __name__, **body}
    model = STANDARD(type(kind.__name__, (), space))
    said = (
        "name",
        "type",
        "default",
        "default_factory",
        "init",
        "compare",
        "repr",
        "hash",
        "kw_only",
    )
    for ours, standard in zip(fields(kind), fields(model), strict=True):
        assert [getattr(ours, what) for what in said] == [getattr(standard, what) for what in said]
    assert list(kind.__annotations__) == [one.name for one in fields(kind)]


@given(st.text(), st.integers(), st.text(), st.floats(allow_nan=False))
def test_values_are_equal_by_what_counts_of_them(
    pair: str, volume: int, note: str, seen: float
) -> None:
    """And hash alike; what is not compared makes no difference."""
    one, other = Order(pair, volume, note), Order(pair, volume, note, seen, legs=["x"])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Order(pair, volume + 1, note)
    assert one != Order(pair, volume, note + "x")
    assert {one: 1}[other] == 1


def test_values_of_other_classes_are_other_values() -> None:
    """Whatever their fields hold; nor is one equal to a tuple of them."""
    fill = Fill("BTC/USD", 1)
    others: list[object] = [Order("BTC/USD", 1), ("BTC/USD", 1), Ping()]
    assert fill == Fill("BTC/USD", 1)
    assert fill not in others
    assert Ping() == Ping()
    assert hash(Ping()) == hash(Ping())
    assert fill.__eq__(Ping()) is NotImplemented


def test_frozen_value_can_neither_be_changed_nor_emptied() -> None:
    """With the error of the standard library, which tells the field."""
    order = Order("BTC/USD", 1)
    with pytest.raises(FrozenInstanceError, match="'volume'"):
        order.volume = 2  # type: ignore[misc]  # it is what is tried
    with pytest.raises(FrozenInstanceError, match="'volume'"):
        del order.volume
    with pytest.raises(FrozenInstanceError, match="'other'"):
        order.other = 2  # type: ignore[attr-defined]  # the same
    assert order.volume == 1


def test_open_value_takes_its_fields_alone() -> None:
    """A slip of the pen makes no new one."""
    batch = Batch()
    batch.lost = "gone"
    assert batch == Batch([], "gone")
    with pytest.raises(AttributeError):
        batch.last = "gone"  # type: ignore[attr-defined]  # it is what is tried
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_defaults_that_are_made_are_nobody_else_s() -> None:
    """Two moments share no list; one that is given is taken."""
    one, other, frames = Batch(), Batch(), ["a"]
    one.frames.append("b")
    assert (one.frames, other.frames) == (["b"], [])
    assert Batch(frames).frames is frames
    assert Order("", 1).legs is not Order("", 1).legs


def test_field_that_is_worked_out_is_not_asked_for() -> None:
    """It is there after the constructor, and of no pattern."""
    assert Seat(3).key == "row 3"
    assert Seat.__match_args__ == ("row",)
    with pytest.raises(TypeError, match="key"):
        Seat(3, key="x")  # type: ignore[call-arg]  # it is what is tried
    assert Seat(3) != Seat(3)


def test_constructor_says_what_is_missing() -> None:
    """By the name of its class, with what it takes and the hints of it."""
    with pytest.raises(TypeError, match=r"^Order\.__init__\(\) missing 1 .*'volume'"):
        Order("BTC/USD")  # type: ignore[call-arg]  # it is what is tried
    takes = inspect.signature(Order).parameters
    assert list(takes) == ["pair", "volume", "note", "seen", "secret", "legs"]
    assert takes["note"].default == "none"
    assert get_type_hints(Order.__init__)["legs"] == list[str]


def test_repr_shows_what_may_be_shown() -> None:
    """A secret is not; one that holds itself ends; a class within something says in what."""

    @dataclass(frozen=True, slots=True)
    class Inner:
        """One of a function."""

    assert repr(Inner()).endswith("<locals>.Inner()")
    order = Order("BTC/USD", 1, secret="hush")
    assert repr(order) == "Order(pair='BTC/USD', volume=1, note='none', seen=0.0, legs=[])"
    batch: Any = Batch()
    batch.frames = batch
    assert repr(batch) == "Batch(frames=..., lost=None)"


VALUES = [Order("BTC/USD", 1, legs=["x"]), Named("BTC/USD", 1), Ping(), Batch(["a"])]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES)
def test_value_travels_between_processes(value: object, protocol: int) -> None:
    """And is copied, flat and deep."""
    for again in (pickle.loads(pickle.dumps(value, protocol)), copy.copy(value)):
        assert again == value
        assert again is not value
    deep = copy.deepcopy(value)
    assert deep == value
    if isinstance(deep, Order):
        assert isinstance(value, Order)
        assert deep.legs == value.legs
        assert deep.legs is not value.legs


def test_class_that_goes_on_from_one_has_its_fields() -> None:
    """Whichever of them is asked first; and it is another class."""
    ours, _ = kinds("Fresh", {"__annotations__": {"x": "int"}}, frozen=True)
    later = type("Later", (ours,), {})
    assert [[one.name for one in fields(kind)] for kind in (later, ours)] == [["x"], ["x"]]
    assert replace(Named("BTC/USD", 1), volume=2) == Named("BTC/USD", 2)
    assert Named("BTC/USD", 1) != Fill("BTC/USD", 1)


def test_standard_library_takes_it_for_a_dataclass() -> None:
    """Changed copies, dicts, tuples, patterns, and a class that goes on from it."""
    order = Order("BTC/USD", 1)
    assert replace(order, volume=2).doubled == 4
    assert asdict(Fill("BTC/USD", 1)) == {"pair": "BTC/USD", "volume": 1}
    assert astuple(Fill("BTC/USD", 1)) == ("BTC/USD", 1)
    assert replace(Seat(3), row=4).key == "row 4"
    with pytest.raises(ValueError, match="key"):
        replace(Seat(3), key="x")
    match order:
        case Order(pair, volume):
            assert (pair, volume) == ("BTC/USD", 1)
    more = STANDARD(frozen=True)(type("More", (Order,), {"__annotations__": {"x": int}, "x": 7}))
    assert more("BTC/USD", 1).x == 7
    with pytest.raises(TypeError, match="frozen"):
        STANDARD()(type("Open", (Order,), {}))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_copy_replaces_fields() -> None:
    """As of every value that can be replaced."""
    change: Callable[..., Order] = copy.replace  # type: ignore[attr-defined]  # of Python 3.13
    assert change(Order("BTC/USD", 1), volume=2).volume == 2


def test_fields_are_the_same_from_any_thread() -> None:
    """They are made when they are first asked for, by whoever comes first."""
    for number in range(20):
        kind, _ = kinds(f"Kind{number}", {"__annotations__": {"x": "int"}}, frozen=True)
        told: list[object] = []
        gate = threading.Barrier(3)

        def ask(kind: Any = kind, told: list[object] = told, gate: Any = gate) -> None:
            gate.wait(60)
            told.append(replace(kind(1), x=2))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert told == [kind(2)] * 3


@pytest.mark.parametrize(
    ("body", "options", "error"),
    [
        ({"__annotations__": {"x": "list"}, "x": []}, {}, ValueError),
        ({"__annotations__": {"x": "int", "y": "int"}, "x": 1}, {}, SyntaxError),
        ({"__annotations__": {"x": "int"}}, {"order": True}, TypeError),
        ({"__annotations__": {"x": "int"}}, {"slots": False}, TypeError),
    ],
    ids=["one list for all", "none after a default", "order", "no slots"],
)
def test_what_cannot_be_made_is_refused_at_once(
    body: dict[str, Any], options: dict[str, bool], error: type[Exception]
) -> None:
    """Nothing that it does not know is left out in silence."""
    with pytest.raises(error):
        OURS(**{"slots": True, **options})(type("Odd", (), {"__module__": __name__, **body}))


def test_class_with_a_base_is_refused() -> None:
    """Its fields would be lost."""
    with pytest.raises(TypeError, match="Odd has a base"):
        OURS(slots=True)(type("Odd", (Fill,), {"__annotations__": {"x": "int"}}))


def test_class_takes_half_the_memory() -> None:
    """It is what it is for: of a running program's classes there are a hundred and fifty."""
    body = {"__annotations__": dict.fromkeys("abcdef", "int"), "f": 1}

    def size(make: Any) -> int:
        space = {"__module__": __name__, "__qualname__": "Kind", **body}
        tracemalloc.start()
        try:
            made = [make(frozen=True, slots=True)(type("Kind", (), dict(space))) for _ in range(20)]
            assert len(made) == 20
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert size(OURS) < size(STANDARD) / 2
