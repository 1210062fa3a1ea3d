"""Meters behind MQTT gateways: sessions for the core, and what meters say unasked.

A result reaches its session only when its notice is `done`: first the commit, then the
acknowledgement, then whoever waits. So sessions need somebody who takes the notices.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from adapters.mqtt.broker import MqttLink
from adapters.mqtt.counts import DROPPED
from adapters.mqtt.inbound import Inbound
from adapters.mqtt.messages import Presence
from adapters.mqtt.profile import Profile
from adapters.mqtt.reports import Told, tell
from adapters.mqtt.session import MqttSession, Wire
from adapters.mqtt.topics import CommandTopics, Nonsense
from adapters.mqtt.waiting import Waiting
from headend.agenda import Urgency
from headend.errors import Misconfigured
from headend.meters import BusName, Capability, Meter, ProfileName, TenantId
from headend.ports import Chance, Clock, Notice, Report

BATCH = 64
# Gateways that told us they left; beyond that many the oldest is thought to be back.
OFFLINE_LIMIT = 100_000
# One gateway gone mad must not fill the log: after each this many drops one is told.
LOG_EVERY = 1_000

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class MqttDriver:
    """Satisfies Driver and Listener for one broker, which is one bus."""

    def __init__(
        self,
        link: MqttLink,
        *,
        bus: BusName,
        profiles: Mapping[ProfileName, Profile],
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._link = link
        self._bus = bus
        self._profiles = profiles
        self._clock = clock
        self._waiting = Waiting()
        self._offline: OrderedDict[tuple[TenantId, str], None] = OrderedDict()
        self._dropped = 0
        self._wire = Wire(
            link=link,
            waiting=self._waiting,
            offline=lambda topics: (topics.tenant, topics.gateway) in self._offline,
            clock=clock,
            chance=chance,
        )

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        await self._link.run()

    def capabilities(self, profile: ProfileName) -> Capability:
        """What a profile can do; NONE for a profile of another dialect."""
        known = self._profiles.get(profile)
        return Capability.NONE if known is None else known.can

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator[MqttSession]:
        """A session with one meter; raises Misconfigured. Nothing is sent yet."""
        profile = self._profiles.get(meter.profile)
        if profile is None:
            raise Misconfigured(f"{meter.profile} is no MQTT profile")
        if meter.route is None or meter.route.bus != self._bus:
            raise Misconfigured(f"the meter has no route on {self._bus}")
        topics = CommandTopics(meter.tenant, meter.route.address, meter.drn)
        yield MqttSession(topics, profile=profile, wire=self._wire)

    async def notices(self) -> AsyncIterator[Sequence[Notice]]:
        """Batches in the order of arrival, at most 64 each. One taker at a time.

        When the taker leaves, what it did not acknowledge is asked for again.
        """
        try:
            while True:
                heard = await self._link.take(BATCH)
                batch = [notice for message in heard if (notice := self._notice(message))]
                if batch:
                    yield batch
        finally:
            self._link.redeliver()

    def _notice(self, message: Inbound) -> "_MqttNotice | None":
        """What a message tells the core, or None; then it is acknowledged at once."""
        try:
            told = tell(
                message.topic,
                message.payload,
                retained=message.retained,
                bus=self._bus,
                now=self._clock.now(),
            )
        except Nonsense as nonsense:
            self._drop(message, nonsense)
            told = None
        if told is not None and told.presence is not None:
            self._mark((told.tenant, told.gateway), told.presence)
        if told is None or told.report is None:
            message.done()
            return None
        return _MqttNotice(told.report, told, message, self._waiting)

    def _mark(self, gateway: tuple[TenantId, str], presence: Presence) -> None:
        if presence is Presence.ONLINE:
            self._offline.pop(gateway, None)
            return
        self._offline[gateway] = None
        if len(self._offline) > OFFLINE_LIMIT:
            self._offline.popitem(last=False)

    def _drop(self, message: Inbound, nonsense: Nonsense) -> None:
        DROPPED.labels(nonsense.reason).inc()
        if self._dropped % LOG_EVERY == 0:
            log.warning(
                "message dropped",
                reason=nonsense.reason,
                topic=message.topic[:200],
                size=len(message.payload),
                dropped_before=self._dropped,
            )
        self._dropped += 1


@dataclass(frozen=True, slots=True)
class _MqttNotice:
    report: Report
    _told: Told
    _message: Inbound
    _waiting: Waiting

    def done(self) -> None:
        self._message.done()
        told = self._told
        if told.result is not None:
            place = (told.tenant, told.gateway, self.report.drn, told.result.cmd)
            self._waiting.hear(place, told.result)
