"""What goes over the broker, as bytes: packets of frames from a relay, and what readers ask of it.

Pure. Frames travel as they came from Kraken: nothing here may change a byte of one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

# No JSON text has it: below a space, nothing but tab and line ends may stand in one.
_BETWEEN = "\x1e"
_VERSION = 2


class Unreadable(ValueError):
    """Bytes on a relay's channel that no relay or reader of this version has sent."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What a relay publishes for all at one moment.

    Attributes:
        epoch: Another one means that something may be missing, and that all is asked for anew.
        seq: Counts the packets of an epoch from 1.
        age: Seconds since Kraken gave the relay its last proof of life; None if there is none.
        pairs_age: The same of the connection that carries the list of pairs.
        echo: The latest number of each reader that has sent one since the packet before.
        gone: Readers that have to begin anew, before they take anything more in.
        items: Frames, in the order in which they count.
    """

    epoch: str
    seq: int
    age: float | None
    pairs_age: float | None = None
    echo: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)

    def encoded(self) -> bytes:
        """Return it as bytes."""
        head = {"v": _VERSION, "epoch": self.epoch, "seq": self.seq, "age": self.age}
        head |= {"pairs_age": self.pairs_age, "echo": self.echo, "gone": self.gone}
        return _joined(head, self.items)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a relay publishes for one reader, between two packets.

    Attributes:
        reader: Whose they are.
        epoch: The epoch of the packets.
        behind: The `seq` of the packet before them.
        items: Answers and first data, in the order in which they count.
    """

    reader: str
    epoch: str
    behind: int
    items: list[str]

    def encoded(self) -> bytes:
        """Return them as bytes."""
        head = {"v": _VERSION, "to": self.reader, "epoch": self.epoch, "behind": self.behind}
        return _joined(head, self.items)


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
    return frame.startswith("{") and _BETWEEN not in frame


def read_message(data: bytes) -> Packet | Answers:
    """Return the packet, or the answers, that `data` is.

    Raises:
        Unreadable: If it is neither.
    """
    try:
        head, *items = data.decode().split(_BETWEEN)
        told = _object(head)
        epoch = _text(told["epoch"])
        if "to" in told:
            return Answers(_text(told["to"]), epoch, _count(told["behind"]), items)
        return Packet(
            epoch,
            _count(told["seq"]),
            _age(told["age"]),
            _age(told["pairs_age"]),
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
        if not reader.isalnum():  # it becomes part of a channel's name
            raise ValueError
        return Word(reader, kind, _count(told["number"]), text)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(f"no word of a reader ({type(error).__name__})") from None


def _joined(head: dict[str, Any], items: list[str]) -> bytes:
    return _BETWEEN.join([json.dumps(head, separators=(",", ":")), *items]).encode()


def _object(text: str) -> dict[str, Any]:
    told = json.loads(text, parse_constant=_no_constant)
    if not isinstance(told, dict) or told["v"] != _VERSION:
        raise ValueError
    return told


def _no_constant(text: str) -> float:
    raise ValueError(text)  # NaN, as an age, would be below every bound


def _age(value: Any) -> float | None:
    return None if value is None else max(0.0, float(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value
