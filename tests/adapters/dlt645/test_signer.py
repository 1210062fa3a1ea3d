"""An external signer makes what only a security module can make; we carry it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from adapters.dlt645.access import ExternalSigner
from headend.errors import Misconfigured, NotSent
from protocols.dlt645.frame import Function
from protocols.dlt645.orders import Control
from tests.adapters.http_answers import answering

METER = "000000000161"
UNTIL = datetime(2030, 1, 1, 18, tzinfo=UTC)


@asynccontextmanager
async def a_signer(url: str) -> AsyncIterator[ExternalSigner]:
    signer = ExternalSigner(url, bearer="for tests only")
    try:
        yield signer
    finally:
        await signer.aclose()


async def test_what_the_signer_answers_is_carried_as_it_is():
    asked: list[tuple[dict[str, str], bytes]] = []

    def answer(headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        asked.append((headers, body))
        return 200, b'{"data": "98010203"}'

    async with answering(answer) as url, a_signer(url) as signer:
        control = await signer.control(METER, Control.TRIP, until=UNTIL)
        written = await signer.write(METER, "04000102", b"\x30\x15\x12")
    assert (control.function, control.data) == (Function.CONTROL, bytes.fromhex("98010203"))
    assert (written.function, written.data) == (Function.WRITE, bytes.fromhex("98010203"))
    assert asked[0][0]["authorization"] == "Bearer for tests only"
    assert json.loads(asked[0][1]) == {
        "meter": METER,
        "function": "1c",
        "order": "1a",
        "until": "2030-01-01T18:00:00+00:00",
    }
    assert json.loads(asked[1][1])["value"] == "301512"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"", NotSent),
        (403, b"", Misconfigured),
        (200, b"nonsense", Misconfigured),
        (200, b'{"data": 7}', Misconfigured),
        (200, b'{"data": "zz"}', Misconfigured),
        (200, b'{"data": ""}', Misconfigured),
        (200, b'{"data": "' + b"00" * 51 + b'"}', Misconfigured),
        (200, b" " * 5000 + b'{"data": "98"}', Misconfigured),
    ],
)
async def test_other_answers_are_errors_with_a_next_step(status, body, error):
    async with answering(lambda headers, asked: (status, body)) as url, a_signer(url) as signer:
        with pytest.raises(error):
            await signer.control(METER, Control.TRIP, until=UNTIL)


async def test_a_signer_that_is_not_there_is_asked_later():
    async with answering(lambda headers, body: (200, b"")) as url:
        pass
    async with a_signer(url) as signer:
        with pytest.raises(NotSent):
            await signer.control(METER, Control.TRIP, until=UNTIL)
