"""Sessions with STSM meters: tokens, supply, clock, key; by the blocks of `protocols.modbus.stsm`.

A command is received when its FC16 is answered, and done when its result block says so. What goes
wrong before the command is written leaves nothing in doubt (NotSent). What goes wrong after it does
(NoAnswer); the same id is then safe to send again, for the meter repeats its result.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from adapters.modbus.doubt import in_doubt, nothing_in_doubt
from adapters.modbus.frames import Table
from adapters.modbus.readings import ReadingSession
from adapters.modbus.stsm_key import key_held
from adapters.modbus.stsm_log import StsmLog
from adapters.modbus.stsm_parameters import change_parameters, read_parameters
from adapters.modbus.stsm_supply import COMMANDS, REASONS, refusal_of, supply_of
from adapters.modbus.stsm_tokens import (
    decided,
    judged,
    logged,
    own_request_ids,
    request_id,
    scaled,
)
from adapters.modbus.unit import Acquaintance, Unit
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Unsupported
from headend.events import MeterEvent
from headend.meters import Meter, StsConfiguration
from headend.ports import Clock
from headend.readings import CLOCK_DRIFT, Reading
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome, TokenResult
from protocols.modbus import stsm
from protocols.modbus.blocks import Span
from protocols.modbus.registers import signed, unsigned

# What recordings show in place of a token.
NO_DIGITS = "0" * stsm.TOKEN_DIGITS
# A meter judges a token in about two seconds; one with a slow relay takes a few more.
RESULT_WAIT_S = 15.0
RESULT_POLL_S = 0.25


class _Result(Protocol):
    @property
    def request_id(self) -> int: ...
    @property
    def progress(self) -> int: ...


_R = TypeVar("_R", bound=_Result)


class StsmSession:
    """A conversation with one STSM meter. Satisfies `ports.Session`."""

    def __init__(self, unit: Unit, meter: Meter, *, known: Acquaintance, clock: Clock) -> None:
        self._unit = unit
        self._meter = meter
        self._known = known
        self._clock = clock
        self._readings = ReadingSession(unit, meter, known=known, clock=clock)
        codes, exponent = known.profile.event_codes, known.amount_exponent
        self._log = StsmLog(unit, meter, codes, exponent=exponent)

    async def read(self) -> Sequence[Reading]:
        """The readings of the profile."""
        return await self._readings.read()

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        """The event log above this number; a meter without one tells nothing."""
        if stsm.Feature.EVENT_LOG not in self._known.features:
            return []
        return await self._log.events(after=after, received_at=self._clock.now())

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        """Past days and months; a meter that keeps none tells nothing."""
        if stsm.Feature.HISTORY not in self._known.features:
            return []
        return await self._log.history(since=since, received_at=self._clock.now())

    # --- tokens ---

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        """Write the token, then wait for the meter's judgement of it."""
        ident = request_id(token.id, attempt)
        with nothing_in_doubt():
            credit = signed(await self._read(stsm.CREDIT))
        words = stsm.token_entry(ident, token.digits, origin=stsm.Origin.HEADEND)
        shown = stsm.token_entry(ident, NO_DIGITS, origin=stsm.Origin.HEADEND)
        await self._unit.write(stsm.TOKEN_ENTRY.start, words, shown=shown)
        with in_doubt():
            judgement = await self._until_done(stsm.TOKEN_RESULT, stsm.TokenJudgement.of, ident)
        exponent = self._known.amount_exponent
        return judged(judgement, exponent, credit_before=scaled(credit, exponent))

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        """The judgement of this token, from the last result or the token log.

        None also for a token that was only put off (lock-out, not ready): enter it again. A token
        that is in process is waited for.
        """
        own = own_request_ids(token)
        last = await self._last_outcome(own)
        if last is not None and last.result is not TokenResult.USED_ERROR:
            return last
        if token.tid is None:
            return last
        # "Used" alone is no evidence of whose token it was; the log may have it.
        words = [word for span in stsm.TOKEN_LOG for word in await self._read(span)]
        entries = stsm.logged_tokens(words)
        return logged(entries, token, own, self._known.amount_exponent) or last

    async def _last_outcome(self, own: frozenset[int]) -> TokenOutcome | None:
        last = stsm.TokenJudgement.of(await self._read(stsm.TOKEN_RESULT))
        if last.request_id not in own or last.progress == stsm.Progress.IDLE:
            return None
        if last.progress != stsm.Progress.DONE:
            last = await self._until_done(
                stsm.TOKEN_RESULT, stsm.TokenJudgement.of, last.request_id
            )
        outcome = judged(last, self._known.amount_exponent)
        return outcome if decided(outcome) else None

    async def sts_configuration(self) -> StsConfiguration:
        """The key that the identity block tells now.

        Raises Unsupported where it tells none, Misconfigured when another meter answers.
        """
        identity = stsm.Identity.of(await self._read(stsm.IDENTITY))
        if identity.drn != self._meter.drn:
            raise Misconfigured(f"meter {identity.drn} answers in place of {self._meter.drn}")
        return key_held(identity)

    # --- supply and clock ---

    async def supply(self) -> Supply:
        taken_at = self._clock.now()
        span = stsm.STATUS_WITH_DETAILS if self._known.tells_details else stsm.STATUS
        words = await self._read(span)
        details = words[stsm.STATUS.count :]
        return supply_of(
            stsm.Status.of(words),
            taken_at,
            details=stsm.SupplyDetails.of(details) if details else None,
            exponent=self._known.amount_exponent,
        )

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        """Open, or permit the customer to close; returns when the meter has done it.

        Raises Refused when it was judged otherwise, or has expired before it was sent.
        """
        if stsm.Feature.RELAY not in self._known.features:
            raise Unsupported("this meter has no relay")
        if order.expires_at <= self._clock.now():
            raise Refused("the supply order has expired")
        ident = request_id(order_id, 0)
        words = stsm.supply_order(
            ident,
            COMMANDS[order.action],
            valid_until=min(int(order.expires_at.timestamp()), 0xFFFF_FFFF),
            reason=REASONS[order.reason],
        )
        await self._unit.write(stsm.SUPPLY_ORDER.start, words)
        with in_doubt():
            outcome = await self._until_done(stsm.SUPPLY_RESULT, stsm.SupplyOutcome.of, ident)
        if outcome.answer != stsm.SupplyAnswer.DONE:
            raise refusal_of(outcome.answer)

    async def set_clock(self, now: datetime) -> Confirmation:
        """Set the clock and read it back; raises Refused when the meter keeps another time."""
        zone = now.utcoffset()
        assert zone is not None, "times are aware"
        epoch = int(now.timestamp())
        words = stsm.clock_setting(
            epoch, zone_minutes=int(zone.total_seconds()) // 60, mode=stsm.ClockMode.SET
        )
        await self._unit.write(stsm.CLOCK.start, words)
        with in_doubt():
            shown = await self._read(stsm.CLOCK_STATE)
        off_s = abs(unsigned(shown[:2]) - epoch)
        if off_s > CLOCK_DRIFT.total_seconds():
            raise Refused(f"the meter's clock is {off_s} s off after it was set")
        return Confirmation.READ_BACK

    # --- credit parameters ---

    async def credit_parameters(self) -> CreditParameters:
        """As the meter holds them now."""
        return await read_parameters(self._unit, exponent=self._known.amount_exponent)

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        """Set those that are named, and read them back.

        Raises Refused also for what this meter, by its own word, does not have.
        """
        features = self._known.features
        if change.emergency_credit and stsm.Feature.EMERGENCY_CREDIT not in features:
            raise Refused("this meter has no emergency credit")
        if change.power_limit_w and stsm.Feature.POWER_LIMIT not in features:
            raise Refused("this meter has no power limit")
        await change_parameters(self._unit, change, exponent=self._known.amount_exponent)

    # --- leaves ---

    async def _read(self, span: Span) -> tuple[int, ...]:
        return await self._unit.read(Table.HOLDING, span)

    async def _until_done(
        self, span: Span, decode: Callable[[Sequence[int]], _R], ident: int
    ) -> _R:
        """Read a result block until it is done with our command; a lost read is only read again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESULT_WAIT_S
        missing = "not done with it"
        while loop.time() < deadline:
            try:
                result = decode(await self._read(span))
            except (NoAnswer, NotSent) as exc:
                missing = str(exc)
            else:
                if (result.request_id, result.progress) == (ident, stsm.Progress.DONE):
                    return result
            await asyncio.sleep(RESULT_POLL_S)
        raise NoAnswer(f"no result within {RESULT_WAIT_S:g} s of the command: {missing}")
