"""A recharge on a saturated line, over bus, store, driver and wires with their physics."""

import pytest

from adapters.transport.address import SerialAddress
from adapters.transport.line import TIMEOUT_S
from headend.agenda import Urgency
from tests.bench.rs485_bus import longest_s, sell

pytestmark = pytest.mark.virtual_time
# The silence before a frame, and the instants between a commit and the next turn.
A_MOMENT_S = 0.005
SALES = 24


@pytest.mark.parametrize("baud", [2400, 9600, 115200])
async def test_a_sale_is_on_the_wires_within_one_transaction(baud: int):
    address = SerialAddress(path="-", baud=baud)
    till = await sell(address, SALES)
    assert len(till.waits_s) == SALES
    assert max(till.waits_s) <= longest_s(address) + A_MOMENT_S
    assert len(till.asked) == 32, "meanwhile every meter was asked"
    assert all(till.done[one] for one in set(Urgency) - {Urgency.HISTORY}), "and every order done"


async def test_dead_slaves_cost_a_sale_one_time_out_at_most():
    address = SerialAddress(path="-", baud=9600)
    till = await sell(address, 20, dead=range(1, 21))
    assert max(till.waits_s) <= TIMEOUT_S + longest_s(address) + A_MOMENT_S
