"""The blunt city, small: real processes killed a few times. `make blunt` kills them a hundred."""

import pytest

from tests.city.blunt import Orders, Victim, beat

# Each kill is a start of a process, which takes seconds on a busy machine.
pytestmark = pytest.mark.timeout(240)


async def test_whatever_is_killed_nothing_is_lost_double_or_untrue():
    told: list[str] = []
    orders = Orders(recharges=20, kills=2, database_kills=1, broker_kills=1, meters=4)
    findings = await beat(orders, tell=told.append)
    assert findings.recharges >= orders.recharges
    assert findings.killed == {Victim.HEAD_END: 2, Victim.DATABASE: 1, Victim.BROKER: 1}
    assert (findings.lost, findings.double, findings.untruthful) == (0, 0, 0), findings
    assert findings.clean, findings
