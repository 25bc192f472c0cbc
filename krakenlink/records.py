"""Classes of plain values, as `dataclasses` makes them, in a fifth of its time.

`dataclass`, `field` and `replace` are used like those of the standard library, and a checker of
types takes them for those. A program has a hundred such classes, and each of them takes a third of
a millisecond and twenty kilobytes of what it needs to start, for methods that are compiled and
hardly ever asked for. Here `__init__` alone is compiled for each class; the rest is the same
functions for all.

Pure. What it must never do: make a class that behaves otherwise than that of the standard library.
For others it is one: what `dataclasses.fields`, `asdict`, `replace` or a subclass look for is
worked out by `dataclasses` itself, when somebody first asks. Values are compared as those of tuples
are, which is what it does up to Python 3.12: the same NaN is equal to itself.

Source: Python's documentation of `dataclasses`, 3.11 to 3.14 (read 2026-11).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass", "field", "replace"]

_ARGUMENTS = frozenset({"default", "default_factory", "init", "repr", "compare"})
_set = object.__setattr__


class _Made:
    """Stands in a signature for what a factory makes anew."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<factory>"


_MADE = _Made()


class _Field:
    """What `field` was told, by the names of its arguments."""

    __slots__ = ("told",)

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told


_PLAIN = _Field({})


def _field(**told: Any) -> Any:
    """Do what `dataclasses.field` does, for the arguments that are used here.

    Raises:
        TypeError: If an argument is another one.
    """
    if other := told.keys() - _ARGUMENTS:
        raise TypeError(f"field() of krakenlink.records knows no {', '.join(sorted(other))}")
    return _Field(told)


def _dataclass(
    cls: type | None = None, /, *, slots: bool = False, frozen: bool = False, eq: bool = True
) -> Any:
    """Do what `dataclasses.dataclass` does, with the arguments that are used here.

    Raises:
        TypeError: If a default is a list, a dict or a set, which all objects would share, or if a
            base is a dataclass, whose fields would be missing here.
    """
    if cls is None:
        return lambda made: _dataclass(made, slots=slots, frozen=frozen, eq=eq)
    if any("__match_args__" in base.__dict__ for base in cls.__mro__[1:]):
        raise TypeError(f"{cls.__qualname__}: krakenlink.records takes no fields from a base")
    told = _told(cls)
    body = _shared(cls, told, is_pickled=frozen and slots, frozen=frozen, eq=eq)
    body["__init__"] = _init(cls, told, frozen=frozen)
    body["__dataclass_fields__"] = _Described(told, frozen=frozen, eq=eq)
    if not slots:
        return _put_into(cls, told, body)
    # Slots are made with the class: this is another one of the same name.
    gone = {"__dict__", "__weakref__", *told}
    own = {name: value for name, value in cls.__dict__.items() if name not in gone}
    made = type(cls)(cls.__name__, cls.__bases__, {**own, **body, "__slots__": tuple(told)})
    made.__qualname__ = cls.__qualname__
    return made


def _told(cls: type) -> dict[str, dict[str, Any]]:
    """Return what each field of `cls` was told, in their order."""
    found: dict[str, dict[str, Any]] = {}
    for name, annotation in cls.__annotations__.items():
        if "ClassVar[" in str(annotation):
            continue
        value = cls.__dict__.get(name, _PLAIN)
        told = value.told if isinstance(value, _Field) else {"default": value}
        if "default" in told and told["default"].__class__.__hash__ is None:
            raise TypeError(f"{cls.__qualname__}.{name}: use a default_factory, or all share it")
        found[name] = told
    return found


def _names(told: Mapping[str, Mapping[str, Any]], part: str) -> tuple[str, ...]:
    """Return the fields that take part in `init`, `repr` or `compare`."""
    return tuple(name for name, one in told.items() if one.get(part, True))


def _shared(
    cls: type, told: Mapping[str, Mapping[str, Any]], *, is_pickled: bool, frozen: bool, eq: bool
) -> dict[str, Any]:
    """Return the methods but `__init__` that `cls` gets: what it has of its own stays."""
    body: dict[str, Any] = {"__match_args__": _names(told, "init"), "__replace__": _replace}
    body |= {"__repr__": _repr, "__shown__": _names(told, "repr")}
    if frozen:
        body |= {"__setattr__": _refuse, "__delattr__": _refuse}
    if is_pickled:
        body |= {"__getstate__": _get_state, "__setstate__": _set_state}
    has_hash = cls.__dict__.get("__hash__") is not None
    if eq:
        body["__eq__"], hashed = _comparing(_values(_names(told, "compare")))
        if not has_hash:
            body["__hash__"] = hashed if frozen else None
    own = cls.__dict__.keys() - {"__hash__"}
    return {name: value for name, value in body.items() if name not in own}


def _values(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return what returns the values of `names` of an object."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda it: tuple(getattr(it, name) for name in names)


def _comparing(
    values: Callable[[object], tuple[Any, ...]],
) -> tuple[Callable[[object, object], bool], Callable[[object], int]]:
    """Return `__eq__` and `__hash__` by `values`."""

    def eq(self: object, other: object) -> bool:
        return (
            values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
        )

    return eq, lambda self: hash(values(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__shown__)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse(_: object, name: str, *value: object) -> NoReturn:
    from dataclasses import FrozenInstanceError  # here, for nobody does it

    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        _set(self, name, value)


def _replace(it: Any, /, **changes: Any) -> Any:
    """Do what `dataclasses.replace` does."""
    for name in it.__match_args__:
        if name not in changes:
            changes[name] = getattr(it, name)
    return it.__class__(**changes)


def _init(cls: type, told: Mapping[str, Mapping[str, Any]], *, frozen: bool) -> Any:
    """Return the `__init__` of `cls`, whose names are those of its module."""
    given, defaults, lines = [], [], []
    names: dict[str, Any] = {"_set": _set, "_made": _MADE}
    for name, one in told.items():
        value = name
        if "default_factory" in one:
            names[f"_new_{name}"] = one["default_factory"]
            value = f"_new_{name}()"
        if one.get("init", True):
            has_default = bool(one.keys() & {"default", "default_factory"})
            given.append(f"{name}=_made" if has_default else name)
            if has_default:
                defaults.append(one.get("default", _MADE))
            if value != name:
                value += f" if {name} is _made else {name}"
        elif value == name:
            continue
        lines.append(f"_set(self,{name!r},{value})" if frozen else f"self.{name}={value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    text = "\n  ".join(
        [
            f"def made({','.join(names)}):\n def __init__({','.join(['self', *given])}):",
            *lines,
            "pass",
        ]
    )
    found: dict[str, Any] = {}
    # As `dataclasses` does it, too: of the names of a class, which its author wrote.
    exec(f"{text}\n return __init__", sys.modules[cls.__module__].__dict__, found)  # noqa: S102
    init = found["made"](**names)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__defaults__ = tuple(defaults)
    hints = {name: cls.__annotations__[name] for name in _names(told, "init")}
    init.__annotations__ = {**hints, "return": None}
    return init


def _put_into(cls: type, told: Mapping[str, Mapping[str, Any]], body: Mapping[str, Any]) -> type:
    """Return `cls` with `body`, for one without slots: a default stays where it was."""
    for name, one in told.items():
        if "default" in one:
            setattr(cls, name, one["default"])
        elif name in cls.__dict__:
            delattr(cls, name)
    for name, value in body.items():
        setattr(cls, name, value)
    return cls


class _Described:
    """`__dataclass_fields__` of a class, which `dataclasses` is asked for when somebody looks."""

    __slots__ = ("_how", "_told")

    def __init__(self, told: Mapping[str, Mapping[str, Any]], **how: bool) -> None:
        self._told, self._how = told, how

    def __get__(self, _: object, owner: type) -> Any:
        import dataclasses  # here, for who looks

        home: Any = next(c for c in owner.__mro__ if c.__dict__.get("__dataclass_fields__") is self)
        hints = {name: home.__annotations__[name] for name in self._told}
        given = {name: dataclasses.field(**one) for name, one in self._told.items()}
        like = type(
            home.__name__, (), {"__annotations__": hints, "__module__": home.__module__, **given}
        )
        twin: Any = dataclasses.dataclass(**self._how)(like)
        home.__dataclass_params__ = twin.__dataclass_params__
        home.__dataclass_fields__ = twin.__dataclass_fields__
        return twin.__dataclass_fields__


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    dataclass, field, replace = _dataclass, _field, _replace
