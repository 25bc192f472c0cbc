"""Makes the small classes of the house, as `dataclasses.dataclass` does, for less.

The standard one writes and compiles up to six functions for each class, and a running program has
150 such classes. Here all of them share what is the same for all, and only `__init__` is compiled
for each: a third of the memory and a fifth of the time. What comes of it is a dataclass to type
checkers, to `dataclasses` with its `fields`, `replace` and `asdict`, to `pickle` and to `match`.

Pure. No class has a base of its own; of `field` it knows what the house uses.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, field, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
_PLAIN: Any = field()  # what is neither compared nor shown in a way of its own, nor has a default


def _dataclass(
    *, slots: bool, frozen: bool = False, eq: bool = True
) -> Callable[[type[T]], type[T]]:
    """Return what makes a class of annotated fields one of values, with slots.

    Args:
        slots: True, for type checkers; a class of ours has no other form.
        frozen: Whether no field may change; then it has a hash, too, where it is compared.
        eq: Whether two are equal that are of one class and have equal fields.
    """
    if not slots:
        raise TypeError("a class without slots is one for dataclasses.dataclass")

    def made(cls: type[T]) -> type[T]:
        if cls.__bases__ != (object,):
            raise TypeError(f"{cls.__qualname__} has a base; dataclasses.dataclass knows of those")
        given = {name: vars(cls)[name] for name in cls.__annotations__ if name in vars(cls)}
        found = {name: _field_of(given.get(name, _PLAIN)) for name in cls.__annotations__}
        dropped = {*found, "__dict__", "__weakref__"}
        space = {name: what for name, what in vars(cls).items() if name not in dropped}
        if frozen:
            space |= {"__setattr__": _setattr, "__delattr__": _delattr}
        if not eq:
            space |= {"__eq__": object.__eq__, "__hash__": object.__hash__}
        elif frozen:
            space["__hash__"] = _hash
        compared = (name for name, one in found.items() if one.compare)
        space |= {
            "__qualname__": cls.__qualname__,
            "__annotations__": cls.__annotations__,
            "__slots__": tuple(found),
            "__match_args__": tuple(name for name, one in found.items() if one.init),
            "__init__": _init_of(cls, found, frozen),
            "__given__": given,
            "__compared__": attrgetter("__class__", *compared),
        }
        again: type[T] = type(cls.__name__, (_Value,), space)  # slots are given at birth alone
        return again

    return made


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass


def _field_of(given: Any) -> dataclasses.Field[Any]:
    """Return what is said of a field, by `field` or by a default alone."""
    if isinstance(given, dataclasses.Field):
        return given
    if given.__class__.__hash__ is None:  # all would share the one list
        raise ValueError(f"a {type(given).__name__} as default; use field(default_factory=...)")
    made: dataclasses.Field[Any] = field(default=given)
    return made


def _init_of(
    cls: type, found: dict[str, dataclasses.Field[Any]], frozen: bool
) -> Callable[..., None]:
    """Compile the constructor, as one would write it by hand."""
    parameters, steps = [], []
    for name, one in found.items():
        value = name
        if one.default_factory is not MISSING:
            value = f"_found['{name}'].default_factory()"
            if one.init:
                value += f" if {name} is _missing else {name}"
                parameters.append(f"{name}=_missing")
        elif one.init:
            has_default = one.default is not MISSING
            parameters.append(f"{name}=_found['{name}'].default" if has_default else name)
        else:
            continue  # `__post_init__` fills it
        steps.append(f"_set(self, '{name}', {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        steps.append("self.__post_init__()")
    text = (
        "def make(_found, _missing, _set):\n"
        f" def __init__({', '.join(['self', *parameters])}):\n"
        f"  {'; '.join(steps) or 'pass'}\n"
        " return __init__"
    )
    space: dict[str, Any] = {}
    # In the class's own module, where the hints of its fields mean something.
    exec(text, vars(sys.modules[cls.__module__]), space)  # noqa: S102 - names of our own fields
    init: Any = space["make"](found, MISSING, object.__setattr__)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = cls.__annotations__
    return init  # type: ignore[no-any-return]  # made of text


class _Fields:
    """What `dataclasses` knows of a class, made when it first asks: of most it never does."""

    def __get__(self, instance: object, cls: Any) -> dict[str, dataclasses.Field[Any]]:
        made = next((one for one in cls.__mro__ if "__given__" in vars(one)), None)
        if made is None:
            raise AttributeError("what all classes share has no fields")
        body = {"__annotations__": made.__annotations__, "__module__": made.__module__}
        standard = dataclasses.dataclass(init=False, repr=False, eq=False)
        model: Any = standard(type(made.__name__, (), {**body, **made.__given__}))
        # Two threads make the same of it, so it does not matter whose stays.
        made.__dataclass_params__ = model.__dataclass_params__
        made.__dataclass_params__.frozen = made.__setattr__ is _setattr
        made.__dataclass_fields__ = model.__dataclass_fields__
        return made.__dataclass_fields__  # type: ignore[no-any-return]  # of the standard library


class _Value:
    """What all of them share. One that may change shares it with one that may not: see `frames`."""

    __slots__ = ()
    __dataclass_fields__ = _Fields()
    __replace__ = dataclasses.replace
    # Of each class: what reads all that is compared.
    __compared__: Callable[[object], object]

    @recursive_repr()
    def __repr__(self) -> str:
        of: Any = self
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(of) if one.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Value) or other.__class__ is not self.__class__:
            return NotImplemented
        return self.__compared__(self) == self.__compared__(other)

    __hash__ = None  # type: ignore[assignment]  # but where nothing may change

    def __getstate__(self) -> list[object]:
        return [getattr(self, name) for name in _names(self)]

    def __setstate__(self, state: list[object]) -> None:
        for name, value in zip(_names(self), state, strict=True):
            object.__setattr__(self, name, value)  # what is copied may be filled once


def _names(value: Any) -> list[str]:
    return [one.name for one in fields(value)]


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _setattr(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
