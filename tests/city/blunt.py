"""The blunt city: real processes, PostgreSQL, Mosquitto and Modbus TCP, and SIGKILL at random.

`make blunt`. Meters and customers live here and outlive everything that is killed; in the end their
registers are compared with what was bought, and with what the head-end says of it.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path

import httpx2

from headend.recharges import UNLIT_STATES, RechargeState
from tests.flows.town import FIRST_CREDIT_MILLI, KWH, Town, a_town
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import PostgresServer

RECHARGES, KILLS, OTHER_KILLS, METERS = 2_000, 100, 10, 16
# Between a recovery and the next kill.
PAUSE_S = (0.3, 3.0)
# Once digits are with a person, a try may wait as long as RETRY_MAX_HANDED_S.
SETTLED_WITHIN_S = 1_000.0
STORIES = 3
LOOK_S = 0.05
RECOVERED_WITHIN_S = 120.0
PROGRESS_S = 10.0
IN_THE_METER = frozenset({RechargeState.LIT, *UNLIT_STATES})
UNDECIDED = frozenset({RechargeState.OPEN, RechargeState.ISSUED})


@unique
class Victim(StrEnum):
    """What is killed."""

    HEAD_END = "head-end"
    DATABASE = "database"
    BROKER = "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How much is bought, and how often what is killed."""

    recharges: int = RECHARGES
    kills: int = KILLS
    database_kills: int = OTHER_KILLS
    broker_kills: int = OTHER_KILLS
    meters: int = METERS
    seed: int = 1

    def victims(self) -> Sequence[Victim]:
        """In the order in which they die."""
        every = [Victim.HEAD_END] * self.kills
        every += [Victim.DATABASE] * self.database_kills + [Victim.BROKER] * self.broker_kills
        random.Random(self.seed).shuffle(every)
        return every


@dataclass
class Findings:
    """What came of it; `lost`, `double` and `untruthful` must be none.

    `untruthful` counts, meter by meter, sales said to be in and not in, or the other way round.
    Recovery is from the kill to the next token that a meter took from the head-end.
    """

    recharges: int = 0
    repeated_posts: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    double: int = 0
    untruthful: int = 0
    undecided: int = 0
    states: Counter[str] = field(default_factory=Counter)
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    settled_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.double or self.untruthful or self.undecided)


async def beat(orders: Orders, *, tell: Callable[[str], None]) -> Findings:
    """One run, in a folder of its own."""
    findings, began = Findings(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="headend-blunt-") as folder:
        async with _servers() as (database, broker):
            url = database.url(await asyncio.to_thread(database.create))
            async with a_town(
                Path(folder), broker, url, meters_a_wire=max(1, orders.meters // 2)
            ) as town:
                await town.start()
                await _sell_and_kill(orders, town, database, broker, findings, tell)
                await _settle(town, findings, tell)
    findings.elapsed_s = time.perf_counter() - began
    return findings


@asynccontextmanager
async def _servers() -> AsyncIterator[tuple[PostgresServer, Mosquitto]]:
    database, broker = PostgresServer(durable=True), Mosquitto(persistence=True)
    try:
        await asyncio.to_thread(database.start)
        await asyncio.to_thread(broker.start)
        yield database, broker
    finally:
        await asyncio.to_thread(broker.remove)
        await asyncio.to_thread(database.stop)


async def _sell_and_kill(
    orders: Orders,
    town: Town,
    database: PostgresServer,
    broker: Mosquitto,
    findings: Findings,
    tell: Callable[[str], None],
) -> None:
    luck, told_at = random.Random(orders.seed), time.perf_counter()
    victims = list(orders.victims())
    async with town.buying(luck):
        while victims or town.bought.total() < orders.recharges:
            await asyncio.sleep(luck.uniform(*PAUSE_S))
            if victims and _in_step(orders, town, victims):
                victim = victims.pop()
                took_s = await _kill(victim, town, database, broker)
                findings.killed[victim] += 1
                findings.recovery_s.setdefault(victim, []).append(took_s)
            if time.perf_counter() - told_at > PROGRESS_S:
                told_at = time.perf_counter()
                done = findings.killed.total()
                tell(f"{town.bought.total()} recharges, {done} kills, {len(victims)} to come")
    findings.recharges = town.bought.total()
    findings.repeated_posts = town.repeats


def _in_step(orders: Orders, town: Town, victims: Sequence[Victim]) -> bool:
    """Kills are spread over all sales."""
    every = len(orders.victims())
    done = (every - len(victims)) / every
    return town.bought.total() >= done * orders.recharges


async def _kill(victim: Victim, town: Town, database: PostgresServer, broker: Mosquitto) -> float:
    """Kill it, start it again, and wait until tokens reach meters; how long that took."""
    began, taken = time.perf_counter(), _taken(town)
    match victim:
        case Victim.HEAD_END:
            await town.kill()
            await town.start()
        case Victim.DATABASE:
            await asyncio.to_thread(database.kill)
            await asyncio.to_thread(database.recover)
        case Victim.BROKER:
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
    while _taken(town) == taken:
        if time.perf_counter() - began > RECOVERED_WITHIN_S:
            raise AssertionError(f"no token since the {victim} was killed:\n{town.head_end.log()}")
        await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began


def _taken(town: Town) -> int:
    return sum(meter.tokens.accepted for meter in town.meters)


async def _settle(town: Town, findings: Findings, tell: Callable[[str], None]) -> None:
    """Wait until the head-end has a last word on everything, and hold it against the meters."""
    began = time.perf_counter()
    ends: dict[str, RechargeState | None] = {}
    async with town.head_end.client() as client:
        while time.perf_counter() - began < SETTLED_WITHIN_S:
            for ident in sorted(town.idents() - ends.keys()):
                state = await _state(client, ident)
                if state not in UNDECIDED:
                    ends[ident] = state
            if len(ends) == town.bought.total():
                break
            tell(f"{town.bought.total() - len(ends)} recharges are not at their end")
            await asyncio.sleep(1.0)
        for ident in sorted(town.idents() - ends.keys())[:STORIES]:
            tell(f"without an end: {(await client.get(f'/v1/recharges/{ident}')).text}")
    findings.settled_s = time.perf_counter() - began
    findings.undecided = town.bought.total() - len(ends)
    findings.states.update(str(state) for state in ends.values())
    for meter in town.meters:
        inside = (meter.credit_milli - FIRST_CREDIT_MILLI) // KWH
        bought = town.bought[meter.drn]
        said = sum(
            state in IN_THE_METER for ident, state in ends.items() if ident.startswith(meter.drn)
        )
        findings.lost += max(0, bought - inside)
        findings.double += max(0, inside - bought)
        findings.untruthful += abs(said - inside)


async def _state(client: httpx2.AsyncClient, ident: str) -> RechargeState | None:
    answer = await client.get(f"/v1/recharges/{ident}")
    return RechargeState(answer.json()["state"]) if answer.is_success else None


def main(arguments: Sequence[str]) -> int:
    """Run it as asked; 1 when something was lost, double or untrue."""
    options = _parsed(arguments)
    orders = Orders(
        recharges=options.recharges,
        kills=options.kills,
        database_kills=options.database_kills,
        broker_kills=options.broker_kills,
        meters=options.meters,
        seed=options.seed,
    )
    findings = asyncio.run(beat(orders, tell=lambda line: print(line, file=sys.stderr, flush=True)))
    if options.json:
        recovery = {name: _spread(times) for name, times in findings.recovery_s.items()}
        print(json.dumps(vars(findings) | {"recovery_s": recovery, "seed": orders.seed}))
    else:
        print(_told(findings, orders))
    return 0 if findings.clean else 1


def _spread(times: Sequence[float]) -> dict[str, float]:
    return {"p50": round(statistics.median(times), 2), "max": round(max(times), 2)}


def _told(findings: Findings, orders: Orders) -> str:
    sold = f"{findings.recharges} recharges, {findings.repeated_posts} posts repeated"
    lines = [f"seed {orders.seed}: {sold}, {findings.elapsed_s:.0f} s"]
    for victim, times in findings.recovery_s.items():
        spread = _spread(times)
        lines.append(
            f"{victim} killed {findings.killed[victim]} times;"
            f" recovered in {spread['p50']} s (p50), {spread['max']} s (max)"
        )
    states = ", ".join(f"{name} {count}" for name, count in findings.states.most_common())
    lines.append(f"lost {findings.lost}, double {findings.double}, untrue {findings.untruthful}")
    lines.append(f"{states}; without an end {findings.undecided}")
    lines.append(f"all at their end {findings.settled_s:.1f} s after the last sale")
    return "\n".join(lines)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make blunt",
        description="Kill the real head-end, its database and its broker while it sells.",
        epilog='For example: make blunt ARGS="--recharges 200 --kills 10 --seed 3"',
    )
    add = parser.add_argument
    add("--recharges", type=int, default=RECHARGES, help=f"to be sold (else {RECHARGES})")
    add("--kills", type=int, default=KILLS, help=f"of the head-end (else {KILLS})")
    add("--database-kills", type=int, default=OTHER_KILLS, help=f"(else {OTHER_KILLS})")
    add("--broker-kills", type=int, default=OTHER_KILLS, help=f"(else {OTHER_KILLS})")
    add("--meters", type=int, default=METERS, help=f"on two wires (else {METERS})")
    add("--seed", type=int, default=1, help="of the moments and victims (else 1)")
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
