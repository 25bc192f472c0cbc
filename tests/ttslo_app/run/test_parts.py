"""What a run is put together from: what is taken where a user chooses nothing."""

from dataclasses import FrozenInstanceError, fields

import pytest

from ttslo_app.orders.settings import OrderSettings
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.parts import Options, World


def test_options_left_out_place_orders_and_say_little() -> None:
    """Whoever chooses nothing gets a true run with the usual numbers, and no open port."""
    options = Options()
    assert (options.dry_run, options.verbose, options.debug) == (False, False, False)
    assert (options.settings, options.when_blind) == (OrderSettings(), WhenBlind.ARM_IF_BEYOND)
    assert (options.pace, options.metrics_port) == (None, None)


def test_a_step_that_nobody_watches_does_nothing() -> None:
    """Only tests end the program at one of its steps."""
    Options().step("before AddOrder")


def test_options_cannot_be_changed_while_the_program_runs() -> None:
    """Several threads read them."""
    options = Options(dry_run=True)
    with pytest.raises(FrozenInstanceError):
        options.dry_run = False  # type: ignore[misc]  # which is what is tried


def test_the_world_is_named_in_full() -> None:
    """Nothing of it is left to a default: a forgotten clock or file would go unseen."""
    with pytest.raises(TypeError, match="clocks"):
        World(prices=None, provider=None, exchange=None, tape=None)  # type: ignore[call-arg,arg-type]
    assert [part.name for part in fields(World)] == [
        *("prices", "provider", "exchange", "tape", "clocks", "set_clock")
    ]
