"""What goes over the broker, as bytes: packets of frames from a relay, and what readers ask of it.

Pure. Frames travel as they came from Kraken: nothing here may change a byte of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

# No JSON text has one of these: below a space, nothing but tab and line ends may stand in it.
_BETWEEN, _BEHIND_NAME = "\x1e", "\x1f"
_FOR_ONE = "@"  # a frame begins with a brace
_VERSION = 1


class Unreadable(ValueError):
    """Bytes on a relay's channel that no relay or reader of this version has sent."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a relay publishes at one moment.

    Attributes:
        epoch: Another one means that something may be missing, and that all is asked for anew.
        seq: Counts the packets of an epoch from 1.
        age: Seconds since Kraken gave the relay its last proof of life; None if there is none.
        echo: The latest number of each reader that has sent one since the packet before.
        gone: Readers that the relay does not know any more.
        items: Frames for all, and answers for one reader, in the order in which they count.
    """

    epoch: str
    seq: int
    age: float | None
    echo: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)

    def encoded(self) -> bytes:
        """Return it as bytes."""
        head = {"v": _VERSION, "epoch": self.epoch, "seq": self.seq, "age": self.age}
        head |= {"echo": self.echo, "gone": self.gone}
        text = json.dumps(head, separators=(",", ":"))
        return _BETWEEN.join([text, *self.items]).encode()


@dataclass(frozen=True, slots=True)
class Word:
    """What a reader says to its relay.

    Attributes:
        reader: Who; one name for each connection.
        kind: `hello`, `alive`, `bye`, or `ask`.
        number: Of `hello` and `alive`: comes back in an echo.
        text: Of `ask`: a subscribe or unsubscribe as Kraken would get it.
    """

    reader: str
    kind: str
    number: int = 0
    text: str = ""

    def encoded(self) -> bytes:
        """Return it as bytes."""
        word = {"v": _VERSION, "reader": self.reader, "kind": self.kind}
        return json.dumps(word | {"number": self.number, "text": self.text}).encode()


def can_travel(frame: str) -> bool:
    """Tell whether `frame` can be told from what stands around it: all JSON objects can."""
    return frame.startswith("{") and _BETWEEN not in frame and _BEHIND_NAME not in frame


def for_one(reader: str, frame: str) -> str:
    """Return an item that only `reader` takes in."""
    return f"{_FOR_ONE}{reader}{_BEHIND_NAME}{frame}"


def frames_for(reader: str, items: list[str]) -> list[str]:
    """Return the frames among `items` that are for all or for `reader`, in order."""
    if not any(item.startswith(_FOR_ONE) for item in items):
        return items
    mine = f"{_FOR_ONE}{reader}{_BEHIND_NAME}"
    return [
        item.removeprefix(mine)
        for item in items
        if not item.startswith(_FOR_ONE) or item.startswith(mine)
    ]


def read_packet(data: bytes) -> Packet:
    """Return the packet that `data` is.

    Raises:
        Unreadable: If it is none.
    """
    try:
        head, *items = data.decode().split(_BETWEEN)
        told = _object(head)
        age = told["age"]
        return Packet(
            _text(told["epoch"]),
            _count(told["seq"]),
            None if age is None else max(0.0, float(age)),
            {_text(name): _count(number) for name, number in told["echo"].items()},
            [_text(name) for name in told["gone"]],
            items,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"no packet of a relay ({type(error).__name__})") from None


def read_word(data: bytes) -> Word:
    """Return the word that `data` is.

    Raises:
        Unreadable: If it is none.
    """
    try:
        told = _object(data.decode())
        reader, kind, text = (_text(told[name]) for name in ("reader", "kind", "text"))
        if not reader.isalnum():
            raise ValueError
        return Word(reader, kind, _count(told["number"]), text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(f"no word of a reader ({type(error).__name__})") from None


def _object(text: str) -> dict[str, Any]:
    told = json.loads(text, parse_constant=_no_constant)
    if not isinstance(told, dict) or told["v"] != _VERSION:
        raise ValueError
    return told


def _no_constant(text: str) -> float:
    raise ValueError(text)  # NaN, as an age, would be below every bound


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value
