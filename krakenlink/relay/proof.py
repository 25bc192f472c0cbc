"""A reader's bookkeeping: what its relay's packets prove, and since when.

Pure. A frame that came lately proves nothing behind a broker that keeps messages for who is slow.
What proves is the reader's own number, which comes back in the same stream as the prices: all that
follows it was sent after the number left. Only the reader's own clock is asked.
"""

from __future__ import annotations

from collections import deque

from krakenlink.relay.packets import Answers, Packet
from krakenlink.relay.shelf import CARRIED, PAIRS

PONG = '{"method":"pong"}'
# How a frame of a channel begins, as Kraken writes it.
_BEGIN = {channel: f'{{"channel":"{channel}"' for channel in CARRIED}


class Broken(Exception):
    """Something may be missing from here on: nothing counts before all is asked for anew."""


class Proof:
    """What one connection to a relay has proven. Not thread-safe.

    Attributes:
        reader: Its name.
        proven_at: Kraken was alive, and all that it had sent had come, at this moment of the
            reader's clock; long ago before the first echo.
        is_open: Whether an echo has come: from then on each packet must follow the one before.
    """

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self.proven_at = float("-inf")
        self.is_open = False
        self._sent: deque[tuple[int, float]] = deque()
        self._place: tuple[str, int] | None = None
        self._pings: deque[int] = deque()  # the number whose echo answers each
        self._echoed: tuple[int, float] | None = None  # a number that came back, and Kraken's age
        self._followed: set[str] = set()
        self._unwanted = tuple(_BEGIN.values())

    def sends(self, number: int, at: float) -> None:
        """A number is about to leave; each is higher than the one before."""
        self._sent.append((number, at))

    def pings(self) -> None:
        """A ping is answered behind all that was sent before it: with the echo of a later number.

        The latest number that left went before the ping, so it is the one after it.
        """
        self._pings.append(self._sent[-1][0] + 1 if self._sent else 0)

    def follows(self, channel: str) -> None:
        """Frames of `channel` are wanted; those that other readers want besides are left out."""
        self._followed.add(channel)
        begin = [text for name, text in _BEGIN.items() if name not in self._followed]
        self._unwanted = tuple(begin)

    def take(self, message: Packet | Answers) -> list[str]:
        """Take in what came next, and return the frames that are for this reader.

        An echo among it counts with `settle`, before the next `take`.

        Raises:
            Broken: If something may be missing, or the relay itself has no proof.
        """
        if isinstance(message, Answers):
            return self._answers(message)
        packet, echoed = message, message.echo.get(self.reader)
        if not self.is_open:
            if echoed is None:
                return []
            self.is_open = True
        elif self._place != (packet.epoch, packet.seq - 1):
            raise Broken(self._gap(packet.epoch, packet.seq))
        self._place = packet.epoch, packet.seq
        if packet.age is None:
            raise Broken("the relay has no proven prices itself")
        if self.reader in packet.gone:
            raise Broken("the relay lets this reader begin anew")
        if echoed is not None:
            self._echoed = echoed, self._age(packet)
        return [item for item in packet.items if not item.startswith(self._unwanted)]

    def _age(self, packet: Packet) -> float:
        """Return the age of Kraken's own proof; of several connections, the oldest one's."""
        assert packet.age is not None  # it was looked at
        is_with_pairs = PAIRS in self._followed and packet.pairs_age is not None
        return max(packet.age, packet.pairs_age or 0.0) if is_with_pairs else packet.age

    def _answers(self, answers: Answers) -> list[str]:
        if not self.is_open or answers.reader != self.reader:
            return []
        if self._place != (answers.epoch, answers.behind):
            raise Broken(self._gap(answers.epoch, answers.behind + 1))
        return answers.items

    def _gap(self, epoch_now: str, seq_now: int) -> str:
        assert self._place is not None  # it is open
        epoch, seq = self._place
        if epoch_now != epoch:
            return "the relay begins anew"
        return f"packet {seq_now} of the relay came after {seq}: some are lost"

    @property
    def has_echo(self) -> bool:
        """Whether a number has come back that `settle` is to count."""
        return self._echoed is not None

    def settle(self) -> list[str]:
        """Let the number that came back count, and return the pongs that it brings.

        Called once all that came up to it has been taken in: until then whoever asks would get an
        older price with a newer proof.
        """
        if self._echoed is None:
            return []
        (echoed, age), self._echoed = self._echoed, None
        while self._sent and self._sent[0][0] <= echoed:
            number, at = self._sent.popleft()
            if number == echoed:
                self.proven_at = max(self.proven_at, at - age)
        pongs = []
        while self._pings and self._pings[0] <= echoed:
            self._pings.popleft()
            pongs.append(PONG)
        return pongs
