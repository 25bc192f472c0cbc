"""Every number of the feed, with its reason.

Pure. No file of the feed may have a duration or a count of its own: whoever tunes the feed, or lets
a test run it in milliseconds, does so here. Another number never changes what counts as proof.

Sources: Kraken, spot WebSocket v2, its guides on connecting and rate limits (read 2026-11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Every number of the feed. Durations are seconds."""

    # Kraken beats once a second when there is nothing else to say; two missed beats are odd
    # enough to ask, a third second without an answer is death.
    ping_after: float = 2.0
    dead_after: float = 3.0
    # A pong comes behind everything that was sent before it, so its delay is the lag of the
    # prices. Asked now and then; no answer at all is held against Kraken's servers, and against
    # others that have answered pings before.
    lag_check_every: float = 10.0
    # Acks and snapshots take one round trip; three seconds are dozens of them.
    mute_after: float = 3.0
    # What was mute may have been Kraken's bad minute: it is left and asked for anew so often, and
    # nobody waits for it meanwhile; 0: not before the next connection.
    mute_retry_every: float = 60.0
    # A book whose sum is wrong is asked for anew, so often within so many seconds; then it is mute,
    # because whatever is wrong stays so.
    wrong_most: int = 3
    wrong_forgotten: float = 60.0
    # A TCP and TLS handshake across the world takes under a second.
    connect_timeout: float = 5.0
    # How long a first connect may take before callers stop waiting for it: they have REST.
    connect_patience: float = 2.0
    # A subscribe message is under 2 kB: a socket that takes none for this long is dead.
    send_timeout: float = 3.0
    # The first retry at once because most drops are a proxy's restart; the last value repeats.
    retry_delays: tuple[float, ...] = (0.0, 1.0, 2.0, 5.0, 5.0, 10.0, 20.0, 30.0)
    # Each delay is shortened by up to this share, so that many clients do not come in step.
    retry_jitter: float = 0.25
    # Connections that last this long reset the delays; shorter ones are flapping.
    stable_after: float = 30.0
    # Kraken's guide: no faster than once in 5 s during maintenance.
    maintenance_delay: float = 5.0
    # The edge or Kraken said no in words (HTTP 4xx, close code 1008): asking faster is rude.
    refused_delay: float = 30.0
    # About 150 attempts in 10 minutes make Kraken's edge ban the address; its own clients stop
    # themselves at 120.
    budget_attempts: int = 120
    budget_window: float = 600.0
    # A server on this machine bans nobody; tests and the demo are not to be throttled.
    budget_on_loopback: bool = False
    # Chunks of 100 symbols, 10 messages at once and then 10 a second, are in use elsewhere.
    batch_size: int = 100
    send_burst: int = 10
    send_interval: float = 0.1
    # "Exceeded msg rate": pause, doubled at each repetition up to the maximum.
    rate_pause: float = 1.0
    rate_pause_max: float = 10.0
    # Ticker frames are 300 bytes; what is larger than this is damage or malice.
    max_message_bytes: int = 4 * 1024 * 1024
    # `trades`: the ticker speaks when `last` changes, which is the price that thresholds are
    # compared with. `bbo` sends a hundred times the frames and no other `last`; it pays only for
    # somebody who reads bid and ask.
    event_trigger: str = "trades"
    # One REST call a minute for all symbols finds a subscription that fell mute; 0: never. What
    # looks wrong is looked at again after a pause in which any delay of Kraken's is over.
    audit_every: float = 60.0
    audit_again_after: float = 5.0
    # Waking up costs more than reading: above so many messages a second, in the mean of the last
    # seconds, they are let gather for so long before they are read, for a third of the processor
    # time: by so much a price is late at most.
    # Below that, and with 0 seconds, nothing ever waits; who trades on every tick wants 0.
    gather_above: float = 1000.0
    gather_for: float = 0.005
    # So many symbols of a channel, or frames a second, are enough for one connection, and so many
    # connections for one machine. Kraken sends all of its pairs over one, and ten times their
    # usual pace is a tenth of a core; each further connection wakes up for itself.
    pool_symbols: int = 2000
    pool_frames: float = 25000.0
    pool_most: int = 4
    # Figures per second in `health()` are means over this window.
    rate_window: float = 10.0


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What the account's stream needs beside the numbers of its link. Durations are seconds."""

    # A key without the permission gets it by its owner's hand, in minutes at best.
    denied_delay: float = 300.0
    # Whoever goes on calling with a key that is unknown is locked out, and a lockout ends after a
    # quarter of an hour in which nobody calls.
    lockout_delay: float = 960.0
    # All orders are asked for anew where a number is missing, but not without a pause: a stream
    # that loses one event in two must not be answered with as many snapshots.
    snapshot_pause: float = 5.0
    # Orders that have ended are known so long, so that a late event does not bring one back.
    most_ended: int = 500


def patient(settings: FeedSettings) -> FeedSettings:
    """Return the settings of a connection that carries messages of 2 MB.

    A slow line takes seconds for one, and nothing else comes meanwhile: it is not dead.
    """
    return replace(
        settings,
        ping_after=settings.dead_after,
        dead_after=10 * settings.dead_after,
        mute_after=10 * settings.mute_after,
        audit_every=0.0,
    )


DEFAULT_SETTINGS = FeedSettings()
DEFAULT_ACCOUNT = AccountSettings()


def retry_delay(settings: FeedSettings, failures: int, chance: float) -> float:
    """Return how long to wait before the next attempt.

    Args:
        settings: The delays and their jitter.
        failures: How many attempts or short connections went before, at least 1.
        chance: A random number from 0 to 1; it takes up to `retry_jitter` off the delay.
    """
    delays = settings.retry_delays
    delay = delays[min(failures, len(delays)) - 1]
    return delay * (1.0 - settings.retry_jitter * chance)
