"""One address of a line: what was written is out, whatever is found out afterwards."""

import asyncio

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.modbus.unit import Acquaintance, Memory, Unit
from headend.errors import Misconfigured, NoAnswer, NotSent, WireError
from headend.meters import ProfileName
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import (
    Pieces,
    one_after_another,
    promptly,
    right_answer,
    tcp_slave,
)
from tests.builders import DRN

UNIT = 5


def and_close(request: bytes) -> Pieces:
    yield 0.0, right_answer(request)
    yield 0.02, None


@pytest.mark.parametrize("found", [NotSent("nobody opens"), Misconfigured("it is another meter")])
async def test_what_was_written_is_in_doubt_when_the_probe_after_it_fails(found: WireError):
    async def meet() -> None:
        raise found

    async with tcp_slave(one_after_another(and_close, promptly)) as slave:
        line = ModbusLine(slave.url)
        unit = Unit(line, UNIT, Memory())
        await unit.read(Table.HOLDING, Span(0, 1))
        profile = load_profiles()[ProfileName("stsm")]
        unit.remember(Acquaintance(profile=profile, drn=DRN, currency=None))
        unit.meet_with(meet)
        await asyncio.sleep(0.1)
        with pytest.raises(NoAnswer, match=str(found)):
            await unit.write(0, (1, 2))
        await line.aclose()
    assert slave.requests[-1][1] == 16
