"""A reader's bookkeeping: what its relay's packets prove, and since when.

Pure. A frame that came lately proves nothing behind a broker that keeps messages for who is slow.
What proves is the reader's own number, which comes back in the same stream as the prices: all that
follows it was sent after the number left. Only the reader's own clock is asked.
"""

from __future__ import annotations

from collections import deque

from krakenlink.relay.packets import Packet, frames_for

PONG = '{"method":"pong"}'


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

    def sends(self, number: int, at: float) -> None:
        """A number is about to leave; each is higher than the one before."""
        self._sent.append((number, at))

    def pings(self) -> None:
        """A ping is answered behind all that was sent before it: with the echo of a later number.

        The latest number that left went before the ping, so it is the one after it.
        """
        self._pings.append(self._sent[-1][0] + 1 if self._sent else 0)

    def take(self, packet: Packet) -> list[str]:
        """Take in the next packet, and return the frames that are for this reader.

        Raises:
            Broken: If something may be missing, or the relay itself has no proof.
        """
        echoed = packet.echo.get(self.reader)
        if not self.is_open:
            if echoed is None:
                return []
            self.is_open = True
        elif self._place != (packet.epoch, packet.seq - 1):
            raise Broken(self._gap(packet))
        self._place = packet.epoch, packet.seq
        if packet.age is None:
            raise Broken("the relay has no proven prices itself")
        if self.reader in packet.gone:
            raise Broken("the relay has not heard of this reader for too long")
        frames = frames_for(self.reader, packet.items)
        return frames if echoed is None else [*self._echo(echoed, packet.age), *frames]

    def _gap(self, packet: Packet) -> str:
        assert self._place is not None  # it is open
        epoch, seq = self._place
        if packet.epoch != epoch:
            return "the relay begins anew"
        return f"packet {packet.seq} of the relay came after {seq}: some are lost"

    def _echo(self, echoed: int, age: float) -> list[str]:
        """A number came back; return the pongs that it brings."""
        while self._sent and self._sent[0][0] <= echoed:
            number, at = self._sent.popleft()
            if number == echoed:
                self.proven_at = max(self.proven_at, at - age)
        pongs = []
        while self._pings and self._pings[0] <= echoed:
            self._pings.popleft()
            pongs.append(PONG)
        return pongs
