"""Every sentence of the commands about a shared store.

Pure. What it must never do: say that something was changed which may not have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from krakenlink.foreign import shown, some_of
from krakenlink.numbers import counted, readable
from ttslo_app.cluster.sheet import Step

if TYPE_CHECKING:  # that room says its words by this one
    from ttslo_app.hosts.store_status import AccountSeen

_MOST_IDS = 8
_LONGEST_CELL = 60


def cannot(why: object) -> str:
    """Return why a command does nothing."""
    return f"Not done: {shown(str(why), 1500)}"


def no_file(name: str) -> str:
    """Return that a file is not there."""
    return f"there is no {shown(name)}"


def no_cluster(name: str) -> str:
    """Return that nobody has made a cluster of that name."""
    return f"the store has no cluster {name}: correct the name, or make it with `ttslo store init`"


def no_account(cluster: str, name: str) -> str:
    """Return that nobody has made an account of that name."""
    return (
        f"the cluster {cluster} has no account {name}: correct the name, or make it with "
        f"`ttslo store init --account {name}`"
    )


OTHERS_CHANGED = (
    "somebody else has changed the same at this moment: run it again and see what is there"
)


# --- init --------------------------------------------------------------------------------------


def question(account: str) -> str:
    """Ask whether a key may become a cluster's alone."""
    return (
        f"The trading key of account {account} becomes this cluster's alone. {_ONE_WAY}. Is it a "
        "key of its own? Type yes:"
    )


_ONE_WAY = (
    "Kraken then takes its calls from the host that leads and refuses every other program that "
    "uses the key, for ever"
)


def no_consent(consent: str) -> str:
    """Return that nobody has agreed."""
    return (
        f"Not done: this is one way. {_ONE_WAY}. Make a key of its own at Kraken, and add {consent}"
    )


def was_made(cluster: str, cluster_id: str, account: str, epoch: int) -> str:
    """Return what there is by now."""
    led = f"led {epoch} times so far" if epoch else "not led so far"
    return (
        f"The store has the cluster {cluster} (id {cluster_id}) and in it account {account}, {led}"
    )


KEY_TESTED = (
    "Kraken has taken a nonce of the cluster with the trading key that is here: the key is the "
    "cluster's alone"
)
KEY_UNTESTED = (
    "There is no trading key here, so Kraken was not asked. The first host that leads makes "
    "its key the cluster's alone"
)


def nonce_refused(said: str) -> str:
    """Return that a key cannot be the cluster's."""
    return (
        f"Kraken takes no nonce of the cluster with this key ({shown(said, 100)}): something has "
        "used higher ones, such as --exclusive-key. Make a new key for this account"
    )


def key_refused(said: str) -> str:
    """Return that a key is not fit."""
    return (
        f"Kraken refuses the trading key that is here ({shown(said, 100)}): correct it, or its "
        "rights, as the README tells"
    )


def key_not_asked(said: str) -> str:
    """Return that Kraken does not answer."""
    return f"Kraken could not be asked about the key ({shown(said, 160)}): try again"


# --- rows --------------------------------------------------------------------------------------


NO_ROW = (
    "The file holds no row, and would take all rows out of the store. To stop them, write "
    "false under enabled"
)


def not_pushed(name: str) -> str:
    """Return that rows were refused, and nothing was changed."""
    return (
        f"Not done: the store's rows stay as they are. Mend {shown(name)}, or take those rows out"
    )


def difference(step: Step) -> str:
    """Return what becomes of a row."""
    name = shown(step.id, _LONGEST_CELL)
    if step.cells is None:
        return f"- {name}: is taken out of the store"
    if not step.version:
        return (
            f"+ {name}: {', '.join(f'{n} {_cell(c)}' for n, c in step.cells.items() if n != 'id')}"
        )
    changed = [f"{n} {_cell(old)} -> {_cell(new)}" for n, old, new in step.differences]
    return f"~ {name}: {', '.join(changed) or 'has another place'}"


def _cell(text: str) -> str:
    return shown(text, _LONGEST_CELL) if text else "(empty)"


def more_differences(count: int) -> str:
    """Return how many are not shown."""
    return f"  and {count} more"


def same(count: int) -> str:
    """Return that there is nothing to do."""
    return f"The store has the same {counted(count, 'row')}: nothing to do"


def only_looked(count: int) -> str:
    """Return what a push would do."""
    return f"{counted(count, 'row')} would change; nothing was changed, because of --check"


def pushed(count: int) -> str:
    """Return what a push has done."""
    return f"{counted(count, 'row')} changed in the store. A host that leads has them at once"


def pushed_so_far(done: int, count: int, size: int) -> str:
    """Return how far a push came before the store was silent."""
    return (
        f"{done} of {counted(count, 'row')} changed in the store; of the next {size} it is not "
        "known. Run it again: what is there already stays as it is"
    )


def pushed_before(done: int, count: int) -> str:
    """Return how far a push came before somebody else changed a row."""
    return (
        f"Stopped: {done} of {counted(count, 'row')} changed in the store, the others not: "
        "somebody has changed these meanwhile. Look at them, then run it again"
    )


def changed_meanwhile(row: str, cells: Mapping[str, str] | None) -> str:
    """Return what somebody else has made of a row."""
    name = shown(row, _LONGEST_CELL)
    if cells is None:
        return f"! {name}: is not in the store any more"
    now = (f"{n} {_cell(c)}" for n, c in cells.items() if c and n != "id")
    return f"! {name}: is now {', '.join(now)}"


# --- state -------------------------------------------------------------------------------------


def damaged_journal(name: str) -> str:
    """Return that nobody knows what was on its way."""
    return (
        f"{shown(name)} is damaged, so orders may be on their way of which nobody knows. Run ttslo "
        "with these files once, and settle what it says"
    )


def unreadable_life(row: str, error: Exception) -> str:
    """Return that a row's past is in doubt."""
    return f"{shown(row, _LONGEST_CELL)}: its row cannot be read: {shown(str(error), 160)}"


def unsettled(rows: Sequence[str], name: str) -> str:
    """Return that orders may be on their way."""
    return (
        f"of {_some(rows)} it is not known whether an order stands. Run ttslo with "
        f"{shown(name)} until it says what became of it"
    )


def unreadable_store(error: Exception) -> str:
    """Return that the store holds a life that nobody of ours wrote."""
    return f"{shown(str(error), 200)}. Restore the store from a backup, or take that key out"


def still_led(host: str) -> str:
    """Return that a host works with the lives."""
    return f"{shown(host, 60)} leads this account and lives: stop all hosts of it first"


def lives_there(rows: Sequence[str]) -> str:
    """Return that the store knows other lives."""
    return (
        f"the store has other lives already, of {_some(rows)}. Use an account that was never led, "
        "or keep those of the store"
    )


def imported(count: int, known: int) -> str:
    """Return what was taken over."""
    before = f"; {known} were there already" if known else ""
    return (
        f"{count} lives were put into the store{before}. Start no program with the file again: its "
        "orders belong to the cluster"
    )


def imported_so_far(done: int, count: int) -> str:
    """Return how far an import came."""
    return (
        f"{done} of {count} lives are in the store; of the next ones it is not known. Run it again"
    )


def export_of_a_moment(host: str) -> str:
    """Return that an export is older than the next moment."""
    return (
        f"WARNING: {shown(host, 60)} leads this account and goes on: what is printed is true of "
        "this moment only. Stop all hosts first to go back to files"
    )


def exported_unsettled(rows: Sequence[str]) -> str:
    """Return that orders are on their way."""
    return (
        f"WARNING: of {_some(rows)} it is not known whether an order stands. Let a host lead until "
        "that is settled, then export again"
    )


def _some(rows: Sequence[str]) -> str:
    return some_of([shown(row, 40) for row in rows], _MOST_IDS)


# --- who leads ---------------------------------------------------------------------------------


def account_lines(account: AccountSeen) -> Iterator[str]:
    """Yield what is told of an account, a line each."""
    if account.is_halted:
        yield (
            f"{account.name}: HALTED: Kraken saw a higher nonce than the store knows, so nobody "
            "leads it any more. See After a restore in STANDBY.md"
        )
    elif not account.leader:
        yield f"{account.name}: NOBODY LEADS, after {account.epoch} epochs"
    elif account.is_led:
        yield (
            f"{account.name}: {shown(account.leader, 60)} leads since {shown(account.since, 40)}, "
            f"epoch {account.epoch}"
        )
    else:
        yield (
            f"{account.name}: NOT LED: {shown(account.leader, 60)} gave no sign of life; it led "
            f"since {shown(account.since, 40)}, epoch {account.epoch}"
        )
    yield f"  {counted(account.rows, 'row')}, {len(account.unsettled)} not settled" + (
        f": {_some(account.unsettled)}" if account.unsettled else ""
    )
    for host in account.hosts:
        signs = "gave no sign of life" if not host.is_alive else shown(host.state, 40)
        lacks = ", sees no live price" if host.is_blind and host.is_alive else ""
        lacks += ", is not answered by Kraken" if host.is_cut_off and host.is_alive else ""
        yield f"  host {shown(host.name, 60)}: {signs}{lacks}"
    if account.is_led and not any(h.is_alive and h.name != account.leader for h in account.hosts):
        yield "  nobody stands by: start a second host"


def no_accounts(cluster: str) -> str:
    """Return that a cluster is empty."""
    return f"the cluster {cluster} has no account: make one with `ttslo store init`"


def nobody_leads(account: str) -> str:
    """Return that there is nothing to hand over."""
    return f"nobody leads account {account}: start a host, and it does"


def leader_is_silent(host: str) -> str:
    """Return that the leader cannot hear the wish."""
    return f"{shown(host, 60)} leads and gives no sign of life: a host that stands by takes over"


def nobody_stands_by(host: str) -> str:
    """Return that there is nobody to take over."""
    return f"no other host gives a sign of life, so {shown(host, 60)} leads on: start a second one"


def handed_over(before: str, after: str, seconds: float) -> str:
    """Return that another host leads."""
    took = readable(str(round(seconds, 2)))
    return f"{shown(after, 60)} leads now, and {shown(before, 60)} does no longer; it took {took} s"


def took_it_back(host: str) -> str:
    """Return that no other host was ready."""
    return (
        f"{shown(host, 60)} gave the lead away, no other host took it, and it leads again: look "
        "whether the other one sees prices and has read its rows"
    )


def not_handed_over(host: str) -> str:
    """Return that nothing came of it so far."""
    return (
        f"{shown(host, 60)} has not handed over yet: an order may be on its way. See "
        "`ttslo status --store`"
    )
