"""How a simulated gateway carries out a command on one of its meters (docs/mqtt.md, 7 and 8).

Its link to the meters has the faults of each meter: a silent one is `no_answer`, a busy one
`busy`. Knows nothing of topics and of what was answered before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from adapters.simulators.gateway_memory import CommandMemory
from adapters.simulators.gateway_messages import (
    VERBS,
    Command,
    Fields,
    echo,
    milliseconds,
    moment_of,
    sts,
    supply,
    values,
)
from adapters.simulators.logs import TokenEntry
from adapters.simulators.meter import MeterDown, SimulatedMeter
from adapters.simulators.supply_port import SupplyCommand, SupplyOrder, SupplyResult
from adapters.simulators.token_port import Busy
from headend.ports import Clock
from headend.tokens import TokenResult

# Between two looks at a meter that still judges a token.
LOOK_S = 0.02

_ORDERS = {"open": SupplyCommand.OPEN, "permit_close": SupplyCommand.PERMIT_CLOSE}
_REASON_OF = {SupplyResult.EXPIRED: "expired"}


class GatewayCommands:
    """Carries out commands; every method of it answers with the fields of a last result.

    A gateway of older firmware has fewer `verbs`.
    """

    def __init__(
        self, clock: Clock, memory: CommandMemory, *, verbs: Collection[str] = VERBS
    ) -> None:
        self._known = frozenset(verbs)
        self._clock = clock
        self._memory = memory
        self._verbs: Mapping[str, Callable[[Command, SimulatedMeter], Awaitable[Fields]]] = {
            "token": self._token,
            "outcome": self._outcome,
            "read": self._read,
            "relay": self._relay,
            "clock": self._set_clock,
            "config": self._configuration,
        }

    async def carry_out(self, command: Command, meter: SimulatedMeter) -> Fields:
        """Do it; raises Malformed for arguments that make no sense."""
        verb = self._verbs.get(command.verb)
        if verb is None or command.verb not in self._known:
            return failed("unsupported")
        try:
            return await verb(command, meter)
        except MeterDown:
            return failed("no_answer")

    async def _token(self, command: Command, meter: SimulatedMeter) -> Fields:
        digits = command.text("token")
        self._reach(meter)
        if meter.faults.busy:
            return failed("busy")
        if meter.token_port.contradicts(command.id, digits):
            return coded(TokenResult.REQUEST_ID_USED)
        try:
            meter.submit(command.id, digits, self._clock.now())
        except Busy:
            return coded(TokenResult.NOT_READY)
        while (pending := meter.token_port.pending) and pending.request_id == command.id:
            await asyncio.sleep(LOOK_S)
            meter.advance(self._clock.now())
        entry = meter.token_port.known(command.id)
        if entry is None or not meter.powered:
            return failed("no_answer")
        return judged(entry)

    async def _outcome(self, command: Command, meter: SimulatedMeter) -> Fields:
        asked = command.text("cmd")
        request = command.args.get("request")
        token_id = request if isinstance(request, str) else None
        known = self._memory.of_token(meter.drn, asked, token_id)
        if known is None or known.get("code") == TokenResult.USED_ERROR:
            self._reach(meter)
            known = _logged(meter, asked, command.args.get("tid")) or known
        if known is None:
            return {"state": "done", "code": None, "of": asked}
        told = (
            "state",
            "code",
            "tid",
            "amount",
            "credit_before",
            "balance",
            "at",
            "lockout_s",
            "origin",
        )
        return {"of": asked, **{name: known[name] for name in told if name in known}}

    async def _read(self, command: Command, meter: SimulatedMeter) -> Fields:
        self._reach(meter)
        if meter.faults.busy:
            return failed("busy")
        return {"state": "done", "values": values(meter), "supply": supply(meter)}

    async def _relay(self, command: Command, meter: SimulatedMeter) -> Fields:
        wanted = _ORDERS.get(command.text("order"))
        until = command.moment("until")
        self._reach(meter)
        now = self._clock.now()
        if wanted is None:
            return failed("malformed")
        if meter.faults.busy:
            return failed("busy")
        order = SupplyOrder(id=command.id, command=wanted, due_at=now, until=until)
        meter.order_supply(order, now)
        answer = meter.circuit.port.answer
        if answer is None or answer.id != command.id:
            return failed("no_answer")
        if answer.result is not SupplyResult.DONE:
            return failed(_REASON_OF.get(answer.result, "refused")) | {"supply": supply(meter)}
        return {"state": "done", "supply": supply(meter)}

    async def _set_clock(self, command: Command, meter: SimulatedMeter) -> Fields:
        told = command.moment("now")
        self._reach(meter)
        now = self._clock.now()
        sent = now if command.ts is None else moment_of(command.ts, command.id)
        meter.set_clock(told + (now - sent), now)
        return {"state": "done", "at": milliseconds(meter.clock.at(now))}

    async def _configuration(self, command: Command, meter: SimulatedMeter) -> Fields:
        self._reach(meter)
        if meter.faults.busy:
            return failed("busy")
        return {"state": "done", "sts": sts(meter)}

    def _reach(self, meter: SimulatedMeter) -> None:
        meter.advance(self._clock.now())
        if meter.faults.silent or not meter.powered:
            raise MeterDown


def failed(reason: str) -> Fields:
    """A failure without a token result."""
    return {"state": "failed", "reason": reason}


def coded(result: TokenResult) -> Fields:
    """A token result without an echo."""
    return {"state": "done" if result.taken else "failed", "code": int(result)}


def judged(entry: TokenEntry) -> Fields:
    """A token result with the meter's echo."""
    return coded(entry.result) | echo(entry)


def _logged(meter: SimulatedMeter, command_id: str, tid: str | int | None) -> Fields | None:
    """What the meter itself remembers: of the request id, else of the TID.

    That it called the token used tells nothing of who used it; its log may.
    """
    known = meter.token_port.known(command_id)
    if known is not None and known.result is not TokenResult.USED_ERROR:
        return judged(known)
    if tid is None:
        return judged(known) if known else None
    entries = [entry for entry in meter.tokens.newest_first() if entry.tid == tid]
    taken = (entry for entry in entries if entry.result.taken)
    found = next(taken, entries[0] if entries else None)
    return judged(found) if found else None
