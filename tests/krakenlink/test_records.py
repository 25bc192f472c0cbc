"""A record is a dataclass in all that anybody can see, and is made of less."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import math
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakenlink import records

ROOT = Path(__file__).parents[2]
# A checker of types takes the one for the other, and may.
OURS: Callable[..., Any] = records.dataclass
MAKERS = (dataclasses, records)
Pair = tuple[Any, Any]


def both(body: Callable[[Any], type], **how: bool) -> Pair:
    """Return the class of `body`, which is told whose `field` to use, by both makers."""
    theirs, ours = (maker.dataclass(**how)(body(maker)) for maker in cast("Any", MAKERS))
    return theirs, ours


def price(maker: Any) -> type:
    """Return a class with a field of each kind."""

    class Price:
        """A price."""

        LARGEST: ClassVar[int] = 9
        symbol: str
        last: float
        at: float = 0.5
        said: str = maker.field(default="", compare=False)
        secret: str = maker.field(default="s", repr=False)
        notes: list[str] = maker.field(default_factory=list, compare=False)

        @property
        def twice(self) -> float:
            """Twice the price."""
            return 2 * self.last

    return Price


def one(maker: Any) -> type:
    """Return a class of a single field."""

    class One:
        value: float

    return One


def none(maker: Any) -> type:
    """Return a class without any."""

    class Nothing:
        """Nothing."""

    return Nothing


def worked_out(maker: Any) -> type:
    """Return a class with fields that no caller gives."""

    class WorkedOut:
        side: int
        area: int = maker.field(init=False)
        seen: list[int] = maker.field(default_factory=list, init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "area", self.side**2)

    return WorkedOut


def wilful(maker: Any) -> type:
    """Return a class with methods of its own."""

    class Wilful:
        value: int

        def __repr__(self) -> str:
            return "no"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    return Wilful


BODIES = (price, one, none, worked_out, wilful)
ARGUMENTS: dict[Any, tuple[Any, ...]] = {price: ("X", 1.5), one: (1.0,), none: ()}
HOWS: list[dict[str, bool]] = [
    {"frozen": frozen, "slots": slots, "eq": eq}
    for frozen in (True, False)
    for slots in (True, False)
    for eq in (True, False)
]
every_body = pytest.mark.parametrize("body", BODIES)
every_how = pytest.mark.parametrize("how", HOWS, ids=str)


def made(kinds: Pair, body: Any) -> Pair:
    """Return an object of each of `kinds`."""
    theirs, ours = (kind(*ARGUMENTS.get(body, (3,))) for kind in kinds)
    return theirs, ours


def outcome(act: Callable[[Any], object], it: Any) -> object:
    """Return what `act` returns of `it`, or how it fails."""
    try:
        return act(it)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the other's, too
        return type(error), str(error)


LOOKS: dict[str, Callable[[Any], object]] = {
    "repr": lambda x: repr(x).replace("price.<locals>.", ""),
    "equal": lambda x: x == copy.copy(x),
    "itself": lambda x: x == x,
    "other kind": lambda x: x == "x",
    "can be a key": lambda x: x.__hash__ is None,
    "hash": lambda x: None if x.__hash__ is None else hash(x) == hash(copy.copy(x)),
    "match": lambda x: x.__match_args__,
    "slots": lambda x: getattr(x, "__slots__", None),
    "has dict": lambda x: hasattr(x, "__dict__"),
    "doc": lambda x: type(x).__doc__ if type(x).__name__ == "Price" else None,
    "names": lambda x: (type(x).__name__, type(x).__qualname__, type(x).__module__),
    "signature": lambda x: str(inspect.signature(type(x))),
    "hints": lambda x: typing.get_type_hints(type(x).__init__),
    "its hints": lambda x: typing.get_type_hints(type(x)),
    "fields": lambda x: [
        (f.name, f.type, f.init, f.repr, f.compare) for f in dataclasses.fields(x)
    ],
    "is one": lambda x: (dataclasses.is_dataclass(x), dataclasses.is_dataclass(type(x))),
    "params": lambda x: (dataclasses.fields(x), type(x).__dataclass_params__.frozen)[1],
    "asdict": dataclasses.asdict,
    "astuple": dataclasses.astuple,
    "set": lambda x: [x.__setattr__(name, 2) for name in x.__match_args__],
    "delete": lambda x: [x.__delattr__(name) for name in x.__match_args__],
    "too many": lambda x: type(x)(*range(20)),
    "unknown": lambda x: type(x)(stranger=1),
    "deep copy": lambda x: dataclasses.astuple(copy.deepcopy(x)),
    "replaced": lambda x: dataclasses.astuple(dataclasses.replace(x, **first_of(x))),
}


def first_of(it: Any) -> dict[str, object]:
    """Return another value for the first field, if there is one."""
    return dict.fromkeys(it.__match_args__[:1], 8)


@every_how
@every_body
def test_nobody_sees_a_difference(body: Any, how: dict[str, bool]) -> None:
    """Whatever one looks at, the standard library's class of the same body shows the same."""
    kinds = both(body, **how)
    for look, act in LOOKS.items():
        theirs, ours = made(kinds, body)  # anew, since some looks change it
        assert (look, outcome(act, ours)) == (look, outcome(act, theirs))


@every_how
@every_body
def test_replace_is_theirs(body: Any, how: dict[str, bool]) -> None:
    """A changed copy has the new value, and the others of the old one."""
    theirs, ours = made(both(body, **how), body)
    changed = records.replace(ours, **first_of(ours))
    assert type(changed) is type(ours)
    assert dataclasses.astuple(changed) == dataclasses.astuple(
        dataclasses.replace(theirs, **first_of(theirs))
    )


def test_replace_refuses_a_name_that_is_no_field() -> None:
    """A typing error makes no copy."""
    (_, ours) = made(both(one), one)
    with pytest.raises(TypeError, match="stranger"):
        records.replace(ours, stranger=1)


@records.dataclass(frozen=True, slots=True)
class Kept:
    """Stands in a module, where pickle finds it."""

    symbol: str
    price: float = 1.0


KEPT = Kept("X", 2.0)


@records.dataclass(slots=True)
class Open:
    """Can be changed."""

    symbol: str
    price: float = 1.0


@pytest.mark.parametrize("it", [Kept("X", 2.0), Open("X", 2.0)])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_record_is_pickled_and_copied(it: Any, protocol: int) -> None:
    """What comes back is equal and of its class."""
    for again in (pickle.loads(pickle.dumps(it, protocol)), copy.copy(it), copy.deepcopy(it)):
        assert type(again) is type(it)
        assert again == it


VALUES = st.tuples(st.floats(), st.floats(), st.text())


@given(VALUES, VALUES)
def test_equality_and_hash_are_those_of_a_tuple(some: Any, other: Any) -> None:
    """NaN, zeros of both signs, whatever: records are equal exactly where their values are."""
    mine, mine_other = THREE(*some), THREE(*other)
    assert (mine == mine_other) is (some == other)
    assert mine == THREE(*some)  # the same objects, NaN among them
    assert hash(mine) == hash(some)


THREE = OURS(
    type("Three", (), {"__annotations__": dict.fromkeys("abc", "object")}), frozen=True, slots=True
)


def test_one_value_is_compared_like_many() -> None:
    """The same NaN is equal to itself within a record, as within a tuple."""
    kind = OURS(one(records), frozen=True, slots=True)
    assert kind(math.nan) != kind(-math.nan)
    assert kind(math.nan) == kind(math.nan)  # the same object
    assert len({kind(1.0), kind(1.0)}) == 1
    assert hash(kind(1.0)) == hash((1.0,))


def test_records_of_two_kinds_differ() -> None:
    """The same values in another class are something else."""
    other: Any = Open("X", 2.0)
    assert other not in (KEPT, Kept("X", 2.0))


def test_each_record_has_a_list_of_its_own() -> None:
    """A factory is called for each, and not where a value is given."""
    (_, ours) = both(price, slots=True)
    mine, other, given_one = ours("X", 1.0), ours("X", 1.0), ours("X", 1.0, notes=["a"])
    mine.notes.append("b")
    assert (other.notes, given_one.notes) == ([], ["a"])


def test_record_that_holds_itself_can_be_shown() -> None:
    """A circle is cut, as the standard library cuts it."""
    for kind in both(one):
        circle = kind(1)
        circle.value = [circle]
        assert repr(circle).endswith("One(value=[...])")


def test_frozen_record_takes_no_stranger() -> None:
    """Neither by the name of a field nor by any other."""
    it: Any = KEPT
    with pytest.raises(dataclasses.FrozenInstanceError, match="assign to field 'stranger'"):
        it.stranger = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'stranger'"):
        del it.stranger


@pytest.mark.parametrize("default", [[], {}, set()])
def test_default_that_all_would_share_is_refused(default: object) -> None:
    """It would be one list for all objects of the class."""
    body = type("Body", (), {"__annotations__": {"x": "list[int]"}, "x": default})
    with pytest.raises(TypeError, match=r"Body\.x: use a default_factory"):
        OURS(body)


def test_field_without_default_after_one_with_is_refused() -> None:
    """As everywhere in Python, values that are needed come first."""
    body = type("Body", (), {"__annotations__": {"x": "int", "y": "int"}, "x": 1})
    with pytest.raises(SyntaxError):
        OURS(body)


def test_argument_that_is_not_known_is_refused() -> None:
    """What this module does not do, it does not leave out in silence."""
    with pytest.raises(TypeError, match="knows no kw_only, metadata"):
        cast("Any", records).field(kw_only=True, metadata={})
    with pytest.raises(TypeError, match="order"):
        OURS(order=True)


def test_base_with_fields_is_refused() -> None:
    """Its fields would be missing in the class that is made."""
    with pytest.raises(TypeError, match="takes no fields from a base"):
        OURS(type("Child", (Kept,), {"__annotations__": {"more": "int"}}))


def test_others_may_derive_a_dataclass_from_a_record() -> None:
    """The standard library finds the fields of the base, and that it is frozen."""

    @dataclasses.dataclass(frozen=True, slots=True)
    class Child(Kept):
        more: int = 3

    assert [f.name for f in dataclasses.fields(Child)] == ["symbol", "price", "more"]
    assert Child("X", 2.0, 4) == Child("X", 2.0, 4)
    assert dataclasses.asdict(Child("X")) == {"symbol": "X", "price": 1.0, "more": 3}
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclasses.dataclass(type("Loose", (Kept,), {"__annotations__": {"more": "int"}}))


def test_child_that_is_no_dataclass_shows_its_fields() -> None:
    """A plain subclass that is asked first finds what its base has."""
    child: Any = type("Child", (OURS(one(records)),), {})
    assert [f.name for f in dataclasses.fields(child(1.0))] == ["value"]
    assert child(1.0) == child(1.0)


def test_match_takes_a_record_apart() -> None:
    """The fields stand in their order."""
    match Kept("X", 2.0):
        case Kept(symbol, at):
            assert (symbol, at) == ("X", 2.0)


def test_making_records_loads_no_maker_of_classes() -> None:
    """`dataclasses` and `inspect` are loaded for who asks for fields, and not before."""
    code = (
        "import sys\n"
        "from krakenlink.records import dataclass, replace\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Pair:\n"
        "    a: 'int'\n"
        "    b: 'int' = 2\n"
        "assert replace(Pair(1), b=3) != Pair(1)\n"
        "repr(Pair(1)), hash(Pair(1))\n"
        "print(sorted({'ast', 'dataclasses', 'inspect'} & {*sys.modules}))\n"
        "Pair.__dataclass_fields__\n"
        "print('dataclasses' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "True"]


ROOMS = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *ROOT.glob("*.py"),
        *(ROOT / "krakenlink").rglob("*.py"),
        *(ROOT / "ttslo_app").rglob("*.py"),
    )
)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_make_their_classes_here(room: str) -> None:
    """No other room makes a dataclass: each costs a program that starts what is saved here."""
    tree = ast.parse((ROOT / room).read_text(encoding="utf-8"))
    taken = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        for alias in node.names
    }
    assert not taken & {"dataclass", "field", "make_dataclass", "replace"} or room == str(
        Path("krakenlink") / "records.py"
    )
