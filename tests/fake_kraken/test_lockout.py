"""The lockout: how it comes, and that only silence ends it."""

import pytest

from fake_kraken.lockout import Lockout
from fake_kraken.params import Refusal


def locked_after(wrong: int, *errors: str) -> Lockout:
    """Return a lockout that has seen `wrong` calls end with `errors`, the last at 1000 s."""
    lockout = Lockout()
    for _ in range(wrong):
        lockout.check(1000.0, 3, 900.0)
        lockout.count(Refusal(*errors))
    return lockout


def test_only_wrong_keys_close_the_door() -> None:
    """Other refusals do not, nor do too few."""
    locked_after(2, "EAPI:Invalid key").check(1001.0, 3, 900.0)
    locked_after(9, "EAPI:Invalid nonce").check(1001.0, 3, 900.0)
    for error in ("EAPI:Invalid key", "EAPI:Invalid signature"):
        with pytest.raises(Refusal, match="EGeneral:Temporary lockout"):
            locked_after(3, error).check(1001.0, 3, 900.0)


def test_each_call_prolongs_it_and_a_pause_ends_it() -> None:
    """Whoever goes on calling stays outside; after the pause the count begins anew."""
    lockout = locked_after(3, "EAPI:Invalid key")
    for at in (1899.0, 2798.0, 3697.0):
        with pytest.raises(Refusal):
            lockout.check(at, 3, 900.0)
    lockout.check(4597.0, 3, 900.0)
    lockout.count(Refusal("EAPI:Invalid key"))
    lockout.check(4598.0, 3, 900.0)
