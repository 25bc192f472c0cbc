"""Two real hosts on a real store: one crossing, one order, whichever of them dies or is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.chaos.chaos_proxy import FAIR, Weather
from tests.kits.hosts.standby_kit import KrakenLines
from tests.kits.hosts.three_etcd import EtcdNodes
from tests.kits.program.program_process import (
    PAIR,
    ProgramProcess,
    environment_for,
    wait_until,
    with_reading_key,
)
from ttslo_app.cluster.etcd import store_from
from ttslo_app.cluster.records import (
    Keys,
    Lead,
    cluster_text,
    dumped,
    lead_text,
    life_text,
    read_cells,
    read_lead,
    row_text,
)
from ttslo_app.cluster.store import Change, Store

ROOT = Path(__file__).resolve().parents[3]
KEYS = Keys("prod")
BTC = {
    "id": "btc",
    "pair": "BTC/USD",
    "threshold_price": "51000",
    "threshold_type": "above",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": "0.5",
    "enabled": "true",
}
ETH = {**BTC, "id": "eth", "threshold_price": "52000"}
PATIENCE = 60.0  # seconds that one call to the store may take
# Seconds of silence after which another host takes over; the program's own is 3. Nobody takes
# the lead from a host that a busy machine lets have no turn for so long.
SILENCE = 4.0


class Yard:
    """Three nodes of a store, an exchange where BTC stands at 50000, and hosts."""

    def __init__(self, nodes: EtcdNodes, exchange: FakeKraken, folder: Path) -> None:
        self.nodes, self.exchange, self.folder = nodes, with_reading_key(exchange), folder
        self.url = nodes.url(KEYS.cluster)
        self.store: Store = store_from(self.url)[0]
        self.hosts: list[ProgramProcess] = []
        self.lines: dict[str, KrakenLines] = {}
        nobody = lead_text(Lead(0, "", "", "t"))
        self.put({KEYS.format: cluster_text("c-1", "t"), KEYS.lead: nobody})
        self.push(BTC, ETH)

    def put(self, puts: dict[str, bytes]) -> None:
        """Put values into the store."""
        assert self.store.commit(Change({}, puts), patience=PATIENCE).is_done

    def push(self, *rows: dict[str, str]) -> None:
        """Put rows into the store, as an operator does."""
        self.put({KEYS.row(row["id"]): row_text(row, n, repr(row)) for n, row in enumerate(rows)})

    def host(
        self, name: str, after: float = SILENCE, weather: Weather = FAIR, **plan: int
    ) -> ProgramProcess:
        """Start a host of its own folder, whose lines to Kraken are as they are."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        flags = ["--store", self.url, "--standby-after", str(after)]
        lines = self.lines[name] = KrakenLines(self.exchange)
        self.cut_off(name, "rest", "stream", weather=weather)
        environment = environment_for(self.exchange, **lines.urls)
        host = ProgramProcess(folder, environment, flags, plan)
        self.hosts.append(host)
        return host

    def cut_off(self, name: str, *kinds: str, weather: Weather) -> None:
        """Let something happen to what a host and Kraken say to each other."""
        for kind in kinds:
            for line in self.lines[name].lines[kind]:
                line.weather = weather
                if weather == FAIR:
                    line.reset()  # no stream goes on behind a hole

    def pair(self, **plan: int) -> tuple[ProgramProcess, ProgramProcess]:
        """Start a host that leads, and one that follows it."""
        first = self.host("a", SILENCE, FAIR, **plan)
        first.wait_for("LEADS")
        second = self.host("b")
        second.wait_for("FOLLOWS")
        second.wait_for("btc: armed")
        wait_until(lambda: self.life("btc"), "the leader has armed the row")
        return first, second

    def cross(self) -> None:
        """Let the price pass the threshold of BTC's row."""
        self.exchange.set_price(PAIR, "51001")

    def life(self, rule_id: str) -> dict[str, str]:
        """Return what the store has of a life."""
        entry = self.store.get(KEYS.life(rule_id), patience=PATIENCE)
        return {} if entry is None else read_cells(entry.key, entry.value)

    def row(self, rule_id: str) -> dict[str, str]:
        """Return what the store has of a row."""
        entry = self.store.get(KEYS.row(rule_id), patience=PATIENCE)
        return {} if entry is None else read_cells(entry.key, entry.value)

    def settle(self) -> None:
        """Wait until row and life name the one order of BTC's row."""

        def is_settled() -> bool:
            order = self.life("btc").get("order_id", "")
            return bool(order) and self.row("btc").get("order_id") == order

        wait_until(is_settled, lambda: "".join(f"--\n{host.output}" for host in self.hosts))

    @property
    def orders(self) -> list[str]:
        """The orders that were ever placed."""
        return [order["txid"] for order in self.exchange.orders]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdNodes]:
    """Three nodes for all tests here, each of which begins with an empty store."""
    nodes = EtcdNodes(tmp_path_factory.mktemp("etcd"))
    yield nodes
    nodes.end()


@pytest.fixture
def yard(nodes: EtcdNodes, tmp_path: Path) -> Iterator[Yard]:
    """A store, an exchange, and no host yet."""
    store = store_from(nodes.url(KEYS.cluster))[0]
    entries, _ = store.list(KEYS.root, patience=30)
    store.commit(Change({}, {}, [entry.key for entry in entries]), patience=30)
    with FakeKraken() as exchange:
        exchange.set_price(PAIR, "50000")
        yard = Yard(nodes, exchange, tmp_path)
        yield yard
        for host in yard.hosts:
            host.kill()
        for lines in yard.lines.values():
            for line in (one for some in lines.lines.values() for one in some):
                line.close()


def test_leader_places_the_order_and_the_other_knows_of_it(yard: Yard) -> None:
    """Both have seen the crossing; row and life name the order, and a clean end gives way."""
    first, second = yard.pair()
    for host, mode in ((first, "LEADS"), (second, "FOLLOWS")):
        path = host.folder / "state.csv.status.json"
        wait_until(lambda p=path, m=mode: m in p.read_text(), f"{mode} in {path}")  # type: ignore[misc]
    yard.cross()
    yard.settle()
    assert len(yard.orders) == 1
    assert yard.row("btc")["enabled"] == "false"
    assert first.end() == 0
    second.wait_for("Nobody leads, so this host takes the lead")
    second.wait_for("LEADS")
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: len(yard.orders) == 2, "the order of the other row")
    assert second.end() == 0
    entry = yard.store.get(KEYS.lead, patience=PATIENCE)
    assert entry is not None
    assert read_lead(entry.key, entry.value).host == ""


def test_leader_that_is_dead_at_the_crossing_is_replaced(yard: Yard) -> None:
    """The other has seen it, and places the order once the first has been silent."""
    first, second = yard.pair()
    first.kill()
    yard.cross()
    wait_until(lambda: yard.orders, second.output)
    yard.settle()
    assert len(yard.orders) == 1
    assert "has been silent for" in second.output


# The steps of one order: told in this order by the program itself.
STEPS = ("intending", "intended", "sending", "answered", "noting", "noted")


@pytest.mark.parametrize("step", STEPS)
def test_leader_that_dies_at_a_step_leads_to_one_order(step: str, yard: Yard) -> None:
    """Whatever it had written, sent or heard: the other looks first where it may have sent."""
    first, second = yard.pair(die_at_step=_number_of(step))
    yard.cross()
    assert first.wait() != 0
    yard.settle()
    assert len(yard.orders) == 1
    assert second.end() == 0


def _number_of(step: str) -> int:
    """Return which of all steps of a run it is: before the first order state is written once."""
    return ("written", *STEPS).index(step) + 1


def test_leader_that_was_stopped_wakes_deposed_and_sends_nothing(yard: Yard) -> None:
    """It believes that it leads: its order is refused by the store or by Kraken, and it says so."""
    first, second = yard.pair()
    first.send(signal.SIGSTOP)
    yard.cross()
    wait_until(lambda: yard.orders, second.output)
    yard.settle()
    first.send(signal.SIGCONT)
    first.wait_for("DEPOSED")
    first.wait_for("FOLLOWS")
    assert len(yard.orders) == 1
    # Deposed, it stands by as any other.
    second.kill()
    wait_until(lambda: first.output.count("LEADS") == 2, first.output)
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: len(yard.orders) == 2, first.output)


def lead_of(yard: Yard) -> Lead:
    """Return who leads by the store."""
    entry = yard.store.get(KEYS.lead, patience=PATIENCE)
    assert entry is not None
    return read_lead(entry.key, entry.value)


_LEADS = "LEADS (epoch"  # what a host says once its crossings have their orders
DARK, MUTE, DEAF = Weather(is_dark=True), Weather(loses_questions=True), Weather(loses_answers=True)


@pytest.mark.parametrize(
    ("kinds", "weather"),
    [
        (("rest", "stream"), DARK),
        (("rest",), DARK),
        (("rest", "stream"), MUTE),
        (("rest", "stream"), DEAF),
    ],
    ids=["both", "rest alone", "questions are lost", "answers are lost"],
)
def test_leader_that_is_cut_off_from_kraken_gives_way(
    kinds: tuple[str, ...], weather: Weather, yard: Yard
) -> None:
    """To a host that reaches it; back to it once that one is cut off and this one is not."""
    first, second = yard.pair()
    yard.cut_off("a", *kinds, weather=weather)
    yard.cross()
    first.wait_for("hands over")
    second.wait_for("Nobody leads, so this host takes the lead")
    wait_until(lambda: yard.orders, second.output)
    yard.settle()
    assert len(yard.orders) == 1
    yard.cut_off("a", *kinds, weather=FAIR)
    if kinds == ("rest",):
        first.wait_for("Kraken answers calls from here again")
        yard.cut_off("b", "rest", "stream", weather=DARK)
        wait_until(lambda: first.output.count("LEADS (") == 2, lambda: first.output)
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: len(yard.orders) == 2, lambda: first.output + second.output)


def test_host_that_starts_cut_off_from_kraken_takes_no_lead_before_it_is_answered(
    yard: Yard,
) -> None:
    """It has read no price, so it could judge no row; nobody waits for it."""
    late = yard.host("b", weather=DARK)
    late.wait_for("of account main")
    first = yard.host("a")
    first.wait_for("LEADS (")
    yard.cross()
    wait_until(lambda: yard.orders, lambda: first.output + late.output)
    yard.settle()
    yard.cut_off("b", "rest", "stream", weather=FAIR)
    late.wait_for("eth: armed")
    first.kill()
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: len(yard.orders) == 2, lambda: late.output)


def test_lead_stays_where_it_is_while_kraken_answers_nobody(yard: Yard) -> None:
    """A host that gave it away would win nothing; what is crossed meanwhile is looked at later."""
    first, second = yard.pair()
    for name in ("a", "b"):
        yard.cut_off(name, "rest", "stream", weather=DARK)
    first.wait_for("NO ORDER can be placed, and no other host reaches it")
    second.wait_for("this host takes over only if no other can")
    yard.cross()
    assert lead_of(yard).epoch == 1
    for name in ("a", "b"):
        yard.cut_off(name, "rest", "stream", weather=FAIR)
    wait_until(lambda: yard.orders, lambda: first.output + second.output)
    yard.settle()
    assert len(yard.orders) == 1
    assert lead_of(yard).epoch == 1


def test_host_that_is_cut_off_from_kraken_takes_no_lead_from_one_that_is_not(yard: Yard) -> None:
    """It is the first to see that nobody leads, and leaves it to the one that can."""
    first, second = yard.pair()
    third = yard.host("c", 2.5 * SILENCE)  # twice that is a blind one's
    third.wait_for("FOLLOWS")
    third.wait_for("btc: armed")
    yard.cut_off("b", "rest", "stream", weather=DARK)
    second.wait_for("this host takes over only if no other can")
    first.kill()
    yard.cross()
    third.wait_for("LEADS (")
    wait_until(lambda: yard.orders, lambda: third.output)
    yard.settle()
    assert len(yard.orders) == 1
    assert lead_of(yard).epoch == 2  # nobody has led in between


def test_row_that_is_crossed_while_a_host_still_loads_is_not_lost(yard: Yard) -> None:
    """It looks as if its threshold had been met from the start: the store knows better."""
    yard.exchange.fault("delayed_action", endpoint="AssetPairs", seconds=3.0, count=1)
    late = yard.host("b")
    assert yard.exchange.wait_for(lambda exchange: exchange.count("AssetPairs") >= 1, 60)
    first = yard.host("a")
    wait_until(lambda: yard.life("btc").get("rule_state") == "armed", first.output)
    first.send(signal.SIGSTOP)
    yard.cross()
    wait_until(lambda: yard.orders, late.output)
    yard.settle()
    assert len(yard.orders) == 1


def test_without_a_majority_nothing_fires_and_it_is_owed(yard: Yard) -> None:
    """Watching goes on; the crossing has its order once the store answers again."""
    first = yard.host("a")
    first.wait_for("LEADS")
    for node in (0, 1):
        yard.nodes.stop(node)
    try:
        first.wait_for("NO ORDER can be placed")
        yard.cross()
        first.wait_for("CANNOT BE WRITTEN")
        assert yard.orders == []
    finally:
        for node in (0, 1):
            yard.nodes.cont(node)
    first.wait_for("The store answers again")
    wait_until(lambda: yard.orders, first.output)
    yard.settle()
    assert len(yard.orders) == 1


def test_hand_over_waits_for_no_silence(yard: Yard) -> None:
    """A person wants to mend the machine of the one that leads."""
    first = yard.host("a", after=600)
    first.wait_for("LEADS")
    second = yard.host("b", after=600)
    second.wait_for("FOLLOWS")

    lead = yard.store.get(KEYS.lead, patience=PATIENCE)
    assert lead is not None
    # A host that has just come lives once it has said so twice; until then the wish waits.
    wish = {KEYS.handover: dumped({"token": "1"})}
    assert yard.store.commit(Change({KEYS.lead: lead.version}, wish), patience=PATIENCE).is_done
    first.wait_for("Hands over")
    second.wait_for("LEADS")
    yard.cross()
    wait_until(lambda: yard.orders, second.output)
    yard.settle()
    assert len(yard.orders) == 1


def test_row_that_is_pushed_is_armed_and_one_that_is_taken_away_is_not(yard: Yard) -> None:
    """An edit of the rows in the store is an edit of a config.csv."""
    first, second = yard.pair()
    yard.push({**BTC, "threshold_price": "60000"}, ETH, {**BTC, "id": "new"})
    for host in (first, second):
        host.wait_for("new: armed")
        host.wait_for("btc: armed: BTC/USD at or above 60000")
    yard.store.commit(Change({}, {}, (KEYS.row("eth"),)), patience=PATIENCE)
    first.wait_for("eth: no longer armed")
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: yard.life("new").get("order_id"), first.output)
    assert len(yard.orders) == 1


def test_store_that_went_back_in_time_leads_nobody(yard: Yard) -> None:
    """It was restored from a backup: Kraken has seen higher nonces, and nothing is sent."""
    first = yard.host("a")
    first.wait_for("LEADS")
    before, _ = yard.store.list(KEYS.base, patience=PATIENCE)
    yard.cross()
    yard.settle()
    assert first.end() == 0
    later = yard.host("c")
    later.wait_for("LEADS")
    assert later.end() == 0
    lost = [KEYS.life("btc"), KEYS.life("eth"), KEYS.row("btc")]
    yard.store.commit(Change({}, {}, [*lost, KEYS.lead]), patience=PATIENCE)
    yard.put({entry.key: entry.value for entry in before if entry.key in (*lost, KEYS.lead)})
    second = yard.host("b")  # which has no file that remembers
    second.wait_for("REFUSES TO LEAD main: Kraken saw a higher nonce")
    yard.exchange.set_price(PAIR, "50500")
    yard.cross()
    second.wait_for("btc: crossed at")
    assert len(yard.orders) == 1
    third = yard.host("a")  # which remembers
    third.wait_for("FOLLOWS")
    third.wait_for("REFUSES TO LEAD")
    assert len(yard.orders) == 1


def test_second_host_in_the_same_folder_is_refused(yard: Yard) -> None:
    """Two hosts of one name could not tell each other apart, and nobody their logs."""
    first = yard.host("a")
    first.wait_for("LEADS")
    second = yard.host("a")
    assert second.wait() == 1
    assert "state.csv is in use by process" in second.output
    assert "give this one its own files" in second.output


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda yard: yard.store.commit(Change({}, {}, (KEYS.format,)), patience=PATIENCE),
            "store init",
        ),
        (
            lambda yard: yard.put({KEYS.format: dumped({"format": "9", "id": "x"})}),
            "run the version that made the store",
        ),
    ],
    ids=["never made", "another format"],
)
def test_store_that_is_none_of_ours_ends_the_run(
    spoil: Callable[[Yard], object], said: str, yard: Yard
) -> None:
    """Nothing is written into it."""
    spoil(yard)
    host = yard.host("a")
    assert host.wait() == 1
    assert said in host.output
    assert yard.life("btc") == {}


def test_life_that_was_spoilt_by_hand_does_not_trade(yard: Yard) -> None:
    """Nobody knows whether its row has fired; the other rows trade on."""
    yard.put({KEYS.life("btc"): b"what is this", KEYS.life("eth"): life_text({"id": "eth"}, "t")})
    first = yard.host("a")
    first.wait_for("LEADS")
    first.wait_for("btc")
    yard.exchange.set_price(PAIR, "52001")
    wait_until(lambda: yard.life("eth").get("order_id"), first.output)
    assert len(yard.orders) == 1


@contextmanager
def accounts(yard: Yard, folder: Path) -> Iterator[Path]:
    """Run the host of several accounts, and kill it in the end; yields the log of its account."""
    environment = environment_for(yard.exchange)
    for name in ("KRAKEN_API_KEY", "KRAKEN_API_SECRET"):
        environment[f"{name}_RW__MAIN"] = environment.pop(f"{name}_RW")
        environment[f"{name}__MAIN"] = environment.pop(name)
    command = [sys.executable, str(ROOT / "ttslo.py"), "--store", yard.url, "--accounts", "main"]
    with (folder / "said.txt").open("ab") as out:
        parent = subprocess.Popen(
            [*command, "--standby-after", "600"],
            cwd=folder, env=environment, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            yield folder / "logs.main.csv"
        finally:
            parent.kill()
            parent.wait()


def test_accounts_end_in_good_order_when_their_parent_is_killed(yard: Yard) -> None:
    """Nobody is left behind who leads on, and a second start need not look for them."""
    folder = yard.folder / "many"
    folder.mkdir()
    for times in (1, 2):
        with accounts(yard, folder) as log:
            wait_until(
                lambda n=times: log.exists() and log.read_text("utf-8").count(_LEADS) == n,  # type: ignore[misc]
                (folder / "said.txt").read_text,
            )
        wait_until(lambda: not lead_of(yard).host, lambda: log.read_text("utf-8"))
    assert log.read_text("utf-8").count("Who started this program is gone") == 2
    other = yard.host("other", 600)  # which waits for nobody
    other.wait_for("LEADS")
