"""Who is asked first, and for how long one that fails is asked last."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from adapters.handover.message import load_templates
from adapters.handover.providers import (
    FAILURES,
    HOLD_FIRST_S,
    HOLD_MAX_S,
    HoldOff,
    Provider,
    ProviderDown,
    in_turn,
)
from adapters.handover.router import Router
from adapters.handover.sms_http import SmsGateway, SmsGatewaySettings
from headend.errors import NotSent
from headend.usage_points import ContactKind
from tests.adapters.handover.conftest import PHONE, a_note, answer, web_server

TEMPLATES = load_templates()


@dataclass
class Carrier:
    """Takes every message, unless told to fail or to hang for so long."""

    error: Exception | None = None
    hangs_s: float = 0.0
    texts: list[str] = field(default_factory=list)

    async def send(self, message, contact):
        self.texts.append(message.text)
        if self.hangs_s:
            await asyncio.sleep(self.hangs_s)
            raise ProviderDown("it hangs")
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        pass


def router_of(*carriers):
    providers = [Provider(f"p{place}", carrier) for place, carrier in enumerate(carriers, 1)]
    return Router({ContactKind.SMS: providers}, TEMPLATES), providers


@pytest.mark.virtual_time
async def test_a_provider_that_hangs_again_and_again_delays_only_the_first_few():
    loop = asyncio.get_running_loop()
    hanging, good = Carrier(hangs_s=8.0), Carrier()
    router, _ = router_of(hanging, good)
    took = []
    for number in range(FAILURES + 5):
        began_s = loop.time()
        await router.give(a_note(id=f"n{number}"))
        took.append(loop.time() - began_s)
    assert took == [8.0] * FAILURES + [0.0] * 5
    assert len(good.texts) == FAILURES + 5


@pytest.mark.virtual_time
async def test_after_the_hold_off_one_message_finds_out_whether_it_works_again():
    down, good = Carrier(error=ProviderDown("down")), Carrier()
    router, (first, _) = router_of(down, good)
    for number in range(FAILURES):
        await router.give(a_note(id=f"n{number}"))
    await asyncio.sleep(HOLD_FIRST_S + 1)
    down.hangs_s = 8.0
    await asyncio.gather(*(router.give(a_note(id=f"m{number}")) for number in range(5)))
    assert len(down.texts) == FAILURES + 1
    await asyncio.sleep(2 * HOLD_FIRST_S + 1)
    down.hangs_s, down.error = 0.0, None
    [dispatch] = await router.give(a_note(id="again"))
    assert dispatch.provider == first.name
    assert first.hold.failures == 0


@pytest.mark.virtual_time
async def test_with_everybody_on_hold_everybody_is_asked_all_the_same():
    one, two = Carrier(error=ProviderDown("down")), Carrier(error=ProviderDown("down"))
    router, _ = router_of(one, two)
    for number in range(FAILURES + 2):
        with pytest.raises(NotSent):
            await router.give(a_note(id=f"n{number}"))
    assert len(one.texts) == len(two.texts) == FAILURES + 2


@pytest.mark.virtual_time
async def test_a_message_that_is_itself_at_fault_holds_nobody_off():
    refusing, good = Carrier(error=NotSent("this number")), Carrier()
    router, _ = router_of(refusing, good)
    for number in range(FAILURES + 5):
        await router.give(a_note(id=f"n{number}"))
    assert len(refusing.texts) == FAILURES + 5


@pytest.mark.virtual_time
async def test_who_was_tried_to_no_avail_is_not_asked_again():
    one, two = Carrier(), Carrier()
    router, _ = router_of(one, two)
    [dispatch] = await router.give(a_note(tried=frozenset({(PHONE, "p1")})))
    assert dispatch.provider == "p2"
    with pytest.raises(NotSent):
        await router.give(a_note(tried=frozenset({(PHONE, "p1"), (PHONE, "p2")})))


def test_a_hold_off_is_bounded_and_ends_with_the_first_success():
    hold = HoldOff()
    for _ in range(1000):
        hold.failed(0.0)
    assert hold.until_s == HOLD_MAX_S
    hold.worked()
    assert hold.ready(0.0)


def test_those_on_hold_come_last_in_their_order():
    names = ["a", "b", "c", "d"]
    providers = [Provider(name, Carrier()) for name in names]
    for _ in range(FAILURES):
        providers[0].hold.failed(0.0)
        providers[2].hold.failed(0.0)
    assert [one.name for one in in_turn(providers, 1.0)] == ["b", "d", "a", "c"]


# --- over HTTP --------------------------------------------------------------------------------


def gateway(server, **more):
    body = {"to": "{to}", "text": "{text}", "ref": "{id}"}
    return SmsGateway(SmsGatewaySettings(url=f"{server.url}/", json=body, timeout_s=5.0, **more))


@pytest.mark.parametrize("status", ["500 Oops", "401 No", "403 No", "429 Slow", "302 Elsewhere"])
async def test_what_would_meet_every_message_is_the_providers_fault(status):
    async with web_server(answer(status)) as web:
        sms = gateway(web)
        with pytest.raises(ProviderDown):
            await sms.send(TEMPLATES.compose(a_note()), PHONE)
        await sms.aclose()


@pytest.mark.parametrize("status", ["400 No", "422 No"])
async def test_a_number_that_a_gateway_refuses_is_the_messages_fault(status):
    async with web_server(answer(status)) as web:
        sms = gateway(web)
        with pytest.raises(NotSent) as refused:
            await sms.send(TEMPLATES.compose(a_note()), PHONE)
        await sms.aclose()
    assert not isinstance(refused.value, ProviderDown)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"messages": [{"messageId": "m-1"}]}', "m-1"),
        (b'{"messages": [{"messageId": 17}]}', "17"),
        (b'{"messages": []}', None),
        (b'{"messages": "x"}', None),
        (b"OK", None),
        (b'{"messages": [{"messageId": {}}]}', None),
        (b"[" * 5000, None),
        (b'{"messages": [{"messageId": "' + b"x" * 500 + b'"}]}', None),
    ],
)
async def test_the_gateways_own_name_of_a_message_is_taken_from_its_answer(body, found):
    async with web_server(answer("200 OK", body)) as web:
        provider = Provider("sms", gateway(web, answer_id="messages.0.messageId"), 60.0)
        router = Router({ContactKind.SMS: [provider]}, TEMPLATES)
        [dispatch] = await router.give(a_note())
        await router.aclose()
    ours = json.loads(web.requests[0][1])["ref"]
    assert dispatch.reference == (found or ours)
    assert dispatch.receipt_within_s == 60.0
