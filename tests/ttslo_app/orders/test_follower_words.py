"""What the order thread says where several hosts share an account."""

from decimal import Decimal

from order_bench import life, rule

from ttslo_app.messages import Crossing, Kind
from ttslo_app.orders import follower_words as words
from ttslo_app.orders.life import RuleState


def test_kept_crossing_is_no_order() -> None:
    """Whoever reads it at night must not think that this host sells."""
    said = words.kept_for_leader(Crossing(rule(), Decimal("50001.0"), "50001.0"))
    assert said.text.startswith("btc: crossed at 50001. The host that leads places its order")
    assert (said.kind, said.level) == (Kind.STANDBY, "INFO")
    assert said.fields["id"] == "btc"


def test_order_that_nobody_knew_is_named() -> None:
    """Its row counts as placed, and a person should look what else the store has lost."""
    said = words.unknown_to_the_store(life(RuleState.ARMED), "OA\x1b")
    assert said.text.startswith("btc: order OA")
    assert "\x1b" not in said.text
    assert said.kind is Kind.DOUBTFUL
