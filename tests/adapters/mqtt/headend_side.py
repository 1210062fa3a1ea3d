"""The head-end's side in the tests: a driver, its link running, somebody who takes the notices."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from adapters.mqtt.address import parse_broker_url
from adapters.mqtt.broker import MqttLink
from adapters.mqtt.driver import MqttDriver
from adapters.mqtt.profile import Profile, load_profiles
from adapters.mqtt.topics import FILTERS
from headend.meters import (
    BusName,
    Drn,
    Keypad,
    KeyType,
    Meter,
    ProfileName,
    Route,
    Service,
    StsConfiguration,
    TenantId,
)
from headend.ports import Notice, Report
from headend.tokens import Token, TokenPurpose
from tests.adapters.mqtt.gateway import DRN, GATEWAY, NOON, TENANT

BUS = BusName("field")
PATIENCE_S = 20


class RealClock:
    """Real time, as the gateways of the tests have it."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class StoppedClock:
    def now(self) -> datetime:
        return NOON


class Even:
    """Chance without any: retries come quickly, ids count."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def nibble(self) -> int:
        return 0

    def spread(self) -> float:
        return 0.0

    def ident(self, now: datetime) -> str:
        return f"{next(self._count):026d}"


def a_meter(*, gateway: str = GATEWAY, profile: str = "amr-v1") -> Meter:
    return Meter(
        tenant=TenantId(TENANT),
        drn=Drn(DRN),
        service=Service.ELECTRICITY,
        profile=ProfileName(profile),
        route=Route(BUS, gateway),
        sts=StsConfiguration(sgc="123456", krn=1, tariff_index=1, key_type=KeyType.UNIQUE, ea=7),
        keypad=Keypad.METER,
        changed_at=NOON,
    )


def a_token() -> Token:
    return Token(
        id="01K9V3Y5T0ABCDEFGHJKMNPQRS",
        tenant=TenantId(TENANT),
        drn=Drn(DRN),
        delivery_id="d-1",
        sequence=1,
        purpose=TokenPurpose.CREDIT,
        digits="12345678901234567890",
        tid=17_286,
    )


def impatient(*, silence_s: int = 1, answer_s: int = 2) -> Mapping[ProfileName, Profile]:
    """The shipped profiles, for tests that wait for what does not come."""
    return {
        name: replace(profile, silence_s=silence_s, answer_s=answer_s)
        for name, profile in load_profiles().items()
    }


@dataclass(slots=True)
class HeadEnd:
    """A driver at work; `reports` are those that were taken."""

    driver: MqttDriver
    link: MqttLink
    reports: list[Report] = field(default_factory=list)

    async def take(
        self, *, commit: Callable[[Notice], None] = lambda notice: notice.done()
    ) -> None:
        """Take notices until cancelled; `commit` is what is done with each."""
        async for batch in self.driver.notices():
            for notice in batch:
                self.reports.append(notice.report)
                commit(notice)

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait for something to become true."""
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                await asyncio.sleep(0.01)

    def values(self) -> set[int]:
        return {reading.value for report in self.reports for reading in report.readings}


def a_head_end(
    url: str,
    *,
    queue_limit: int = 1_000,
    profiles: Mapping[ProfileName, Profile] | None = None,
) -> HeadEnd:
    link = MqttLink(
        parse_broker_url(url),
        client_id="headend",
        filters=FILTERS,
        chance=Even(),
        queue_limit=queue_limit,
    )
    driver = MqttDriver(
        link, bus=BUS, profiles=profiles or load_profiles(), clock=RealClock(), chance=Even()
    )
    return HeadEnd(driver, link)


@asynccontextmanager
async def running(headend: HeadEnd, *, taking: bool = True) -> AsyncIterator[HeadEnd]:
    """With the link up and, if `taking`, every notice acknowledged at once."""
    tasks = [asyncio.create_task(headend.driver.run())]
    if taking:
        tasks.append(asyncio.create_task(headend.take()))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await headend.link.wait_connected()
        yield headend
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
