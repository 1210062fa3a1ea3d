"""A conversation with one meter over its gateway: a command out, its result awaited.

PUBACK and `received` are never success. What a result means to the caller is decided here; see
docs/mqtt.md, section 8. Results arrive by way of the driver's notices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.mqtt import commands
from adapters.mqtt.amounts import parse_time, parse_value, parse_values
from adapters.mqtt.broker import MqttLink
from adapters.mqtt.commands import Asked
from adapters.mqtt.messages import Progress, Reason, Result
from adapters.mqtt.profile import Profile
from adapters.mqtt.reports import read_outcome, read_sts
from adapters.mqtt.supply import read_supply
from adapters.mqtt.topics import CommandTopics
from adapters.mqtt.waiting import Waiting
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Unsupported, WireError
from headend.events import MeterEvent
from headend.meters import Capability, StsConfiguration
from headend.ports import Chance, Clock
from headend.readings import CLOCK_DRIFT, Quality, Reading, ReadingType
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome

_ERRORS: dict[str, type[WireError]] = {
    Reason.BUSY: NotSent,
    Reason.EXPIRED: NotSent,
    Reason.CLOCK_INVALID: NotSent,
    Reason.RETAINED: NotSent,
    Reason.NO_ANSWER: NoAnswer,
    Reason.REFUSED: Refused,
    Reason.UNSUPPORTED: Unsupported,
    Reason.UNKNOWN_METER: Misconfigured,
    Reason.MALFORMED: Misconfigured,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What every session of a driver works with."""

    link: MqttLink
    waiting: Waiting
    offline: Callable[[CommandTopics], bool]
    clock: Clock
    chance: Chance


class MqttSession:
    """An open conversation with one meter; costs nothing until it asks."""

    def __init__(self, topics: CommandTopics, *, profile: Profile, wire: Wire) -> None:
        self._topics = topics
        self._profile = profile
        self._wire = wire
        self._supply: Supply | None = None

    async def read(self) -> Sequence[Reading]:
        """The basic registers; the supply that comes with them is kept for one `supply`."""
        self._need(Capability.READ)
        return await self._read()

    async def supply(self) -> Supply:
        self._need(Capability.SUPPLY)
        if self._supply is None:
            await self._read()
        supply, self._supply = self._supply, None
        if supply is None:
            raise NoAnswer("the gateway answered without the supply of the meter")
        return supply

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self._need(Capability.ENTER_TOKEN)
        result = await self._ask(commands.enter_token(token, attempt=attempt))
        outcome = read_outcome(result) if result.state is not Progress.UNKNOWN else None
        if outcome is not None:
            return outcome
        _check(result)
        raise NoAnswer("the gateway says done, but not what the meter said")

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        self._need(Capability.TOKEN_OUTCOME)
        result = await self._ask(commands.token_outcome(token, command_id=self._new_id()))
        _check(result, unless_coded=True)
        if result.code is None:
            return None
        outcome = read_outcome(result)
        if outcome is None:
            raise NoAnswer("the gateway remembers a token result that is not known here")
        return outcome

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        self._need(Capability.SUPPLY_ORDER)
        asked_at = self._wire.clock.now()
        if asked_at >= order.expires_at:
            raise NotSent("the order has expired")
        result = await self._ask(commands.set_supply(order, command_id=order_id))
        _check(result)
        self._keep_supply(result, asked_at)

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        raise Unsupported("a meter on MQTT tells its events unasked")

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        raise Unsupported("a meter on MQTT tells its history unasked")

    async def set_clock(self, now: datetime) -> Confirmation:
        self._need(Capability.CLOCK)
        _check(await self._ask(commands.set_clock(now, command_id=self._new_id())))
        return Confirmation.ECHO

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        raise Unsupported("a meter on MQTT takes no credit parameters")

    async def sts_configuration(self) -> StsConfiguration:
        """The key that the meter holds now.

        Raises Unsupported also where the gateway does not know the question, whatever it calls it,
        or its answer names no key.
        """
        self._need(Capability.STS_CONFIGURATION)
        asked = commands.sts_configuration(command_id=self._new_id())
        result = await self._ask(asked)
        if result.state is Progress.FAILED and result.reason == Reason.MALFORMED:
            raise Unsupported("the gateway does not understand the verb config")
        _check(result)
        held = read_sts(result.sts)
        if held is None:
            raise Unsupported("the gateway does not tell the key of the meter")
        return held

    async def _read(self) -> Sequence[Reading]:
        asked_at = self._wire.clock.now()
        result = await self._ask(commands.read(command_id=self._new_id()))
        _check(result)
        self._keep_supply(result, asked_at)
        received_at = self._wire.clock.now()
        told = parse_time(result.ts)
        return [
            Reading(
                tenant=self._topics.tenant,
                drn=self._topics.drn,
                type=kind,
                value=value,
                taken_at=told or received_at,
                received_at=received_at,
                quality=Quality.SUSPECT if told is None else Quality.GOOD,
            )
            for kind, value in parse_values(result.values).items()
        ]

    def _keep_supply(self, result: Result, asked_at: datetime) -> None:
        """The gateway's clock may be off; the answer is from between our question and now."""
        now = self._wire.clock.now()
        told = parse_time(result.ts) or now
        credit = result.values.get("credit")
        self._supply = read_supply(
            result.supply,
            min(max(told, asked_at), now),
            credit_milli=parse_value(ReadingType.CREDIT_LEFT_MILLI, credit),
        )

    async def _ask(self, asked: Asked) -> Result:
        """Send one command and wait for its last result."""
        self._supply = None
        if self._wire.offline(self._topics):
            raise NotSent("the gateway is offline")
        place = (self._topics.tenant, self._topics.gateway, self._topics.drn, asked.id)
        reply = self._topics.result(asked.id)
        with self._wire.waiting.expect(place) as awaited:
            await self._wire.link.publish(
                self._topics.command(asked.verb),
                self._payload(asked, reply),
                expiry_s=self._profile.answer_s,
                reply=reply,
                correlation=asked.id.encode(),
            )
            return await awaited.result(
                silence_s=self._profile.silence_s, answer_s=self._profile.answer_s
            )

    def _payload(self, asked: Asked, reply: str) -> bytes:
        """A command is dead when we stop waiting, give or take the drift of the gateway's clock."""
        now = self._wire.clock.now()
        dead_at = now + timedelta(seconds=self._profile.answer_s) + CLOCK_DRIFT
        worthless_after = asked.worthless_after or dead_at
        return commands.encode(
            asked,
            meter=self._topics.drn,
            reply=reply,
            now=now,
            expires_at=min(dead_at, worthless_after),
        )

    def _need(self, capability: Capability) -> None:
        if capability not in self._profile.can:
            raise Unsupported(f"profile {self._profile.name} cannot {capability.name}")

    def _new_id(self) -> str:
        return self._wire.chance.ident(self._wire.clock.now())


def _check(result: Result, *, unless_coded: bool = False) -> None:
    """Raise what a result that is no success means to the caller."""
    match result.state:
        case Progress.DONE:
            return
        case Progress.FAILED if unless_coded and result.code is not None:
            return
        case Progress.FAILED:
            raise _failure(result.reason)
        case _:
            raise NoAnswer("the gateway does not know how the command ended")


def _failure(reason: str | None) -> WireError:
    """A reason that we do not know leaves everything open, and may hold what it should not."""
    if reason is None or reason not in _ERRORS:
        return NoAnswer("the gateway says that it failed, but not why")
    return _ERRORS[reason](f"the gateway says {reason}")
