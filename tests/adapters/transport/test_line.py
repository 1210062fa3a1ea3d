"""The one owner of a line: urgency, silence, late replies, dead slaves, echo, noise, recording."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.transport.exchange import Exchange, strip_echo
from headend.agenda import TURNS_IN_A_ROW, Urgency
from headend.delays import ENOUGH
from headend.errors import NoAnswer, NotSent, Resting
from headend.lines import StationStatus
from protocols.modbus.blocks import Span
from protocols.modbus.registers import Encoding, NumberFormat
from tests.adapters.transport.wires import (
    PAUSE_S,
    T0,
    SeededChance,
    Wires,
    asking,
    wires,
)

pytestmark = pytest.mark.virtual_time


def time() -> float:
    return asyncio.get_running_loop().time()


def of(wires: Wires, letter: str) -> StationStatus:
    status = wires.line.status()
    return next(one for one in status.stations if one.name == f"toy {letter}")


async def ask_for_ever(wires: Wires, letter: str, urgency: Urgency) -> None:
    while True:
        await wires.line.ask(asking(letter), urgency=urgency)


# --- whose turn it is ----------------------------------------------------------------------------


async def test_a_recharge_waits_for_one_transaction_at_most():
    async with wires("ABCDT") as one, asyncio.TaskGroup() as group:
        readers = [
            group.create_task(ask_for_ever(one, letter, Urgency.READING)) for letter in "ABCD"
        ]
        await asyncio.sleep(1.0)
        for after_s in range(50):
            await asyncio.sleep(0.0137 * after_s % 0.1)
            frames = one.medium.heard.frames
            await one.line.ask(asking("T"), urgency=Urgency.TOKEN)
            # Its own question and answer, and what was on the wires: no more than one exchange.
            assert one.medium.heard.frames - frames <= 2 + 2
        for reader in readers:
            reader.cancel()


async def test_readings_and_history_go_on_while_tokens_crowd_the_line():
    async with wires("ABTUV") as one, asyncio.TaskGroup() as group:
        crowd = [group.create_task(ask_for_ever(one, letter, Urgency.TOKEN)) for letter in "TUV"]
        await asyncio.sleep(0.5)
        for letter, urgency in (("A", Urgency.READING), ("B", Urgency.HISTORY)):
            before = one.medium.heard.frames
            await one.line.ask(asking(letter), urgency=urgency)
            assert one.medium.heard.frames - before <= 2 * (TURNS_IN_A_ROW + len(Urgency) + 1)
        for token in crowd:
            token.cancel()


async def test_a_run_is_not_parted():
    async with wires("AB") as one:
        async with one.line.run("toy A", urgency=Urgency.HISTORY) as run:
            other = asyncio.create_task(one.line.ask(asking("B"), urgency=Urgency.TOKEN))
            await run.ask(asking("A", 1))
            run.tune(baud=9600, parity="E")
            await run.ask(asking("A", 2))
            assert one.toys["B"].asked == []
        assert await other == 7


async def test_who_leaves_while_waiting_gives_nobody_a_turn_too_much():
    async with wires("AB") as one:
        first = asyncio.create_task(one.ask("A"))
        leaving = [asyncio.create_task(one.ask("B")) for _ in range(5)]
        await asyncio.sleep(0.001)
        for task in leaving:
            task.cancel()
        assert await first == 7
        assert await one.ask("B", 9) == 9
        assert len(one.toys["B"].asked) == 1


# --- time on the wire ----------------------------------------------------------------------------


async def test_frames_are_parted_by_the_silence_that_slaves_need():
    async with wires("AB") as one:
        for _ in range(50):
            await one.ask("A")
            await one.ask("B")
        status = one.line.status()
    assert (one.medium.heard.blurred, status.count(lambda slave: slave.silences)) == (0, 0)
    assert status.efficiency is not None
    assert 0.99 < status.efficiency <= 1.0


async def test_a_slave_is_waited_for_as_long_as_it_needs():
    async with wires("AB", timeout_s=1.0) as one:
        one.toys["B"].delay_s = 0.2
        for _ in range(ENOUGH):
            await one.ask("A")
            await one.ask("B")
        assert of(one, "A").timeout_s < 0.1
        assert 0.5 < of(one, "B").timeout_s < 1.0
        one.toys["A"].silent = True
        before = time()
        with pytest.raises(NoAnswer):
            await one.ask("A")
        assert time() - before < 0.12


async def test_a_slave_that_became_slower_is_not_taken_for_dead():
    async with wires("AB", timeout_s=1.0, quiet_s=0.3) as one:
        for _ in range(ENOUGH):
            await one.ask("A")
        one.toys["A"].delay_s = 0.3
        for _ in range(20):
            with suppress(NoAnswer, Resting):
                await one.ask("A")
            await asyncio.sleep(0.5)
        assert await one.ask("A") == 7
        assert of(one, "A").late_replies >= 1
        assert of(one, "A").timeout_s > 0.3


# --- late replies --------------------------------------------------------------------------------


async def test_a_late_reply_is_no_answer_and_holds_nobody_else():
    async with wires("AB") as one:
        one.toys["A"].delays = [0.7]
        with pytest.raises(NoAnswer):
            await one.ask("A", 1)
        before = time()
        assert await one.ask("B", 2) == 2
        assert time() - before < 0.1
        assert await one.ask("A", 3) == 3
        assert of(one, "A").late_replies == 1


async def test_a_late_reply_of_another_leaves_a_slave_all_of_its_time():
    async with wires("AB") as one:
        # Its late reply comes in two pieces, of which the first is no reply yet.
        one.toys["A"].delays, one.toys["A"].wakes = [0.35], b"\xfe" * 6
        one.toys["B"].delays = [0.2]
        with pytest.raises(NoAnswer):
            await one.ask("A", 1)
        assert await one.ask("B", 2) == 2
        assert (of(one, "A").late_replies, of(one, "B").misfits) == (1, 0)


async def test_where_a_reply_has_no_name_everybody_waits_for_it():
    async with wires("AB") as one:
        one.toys["A"].delays = [0.7]
        with pytest.raises(NoAnswer):
            await one.line.ask(asking("A", addressed=False))
        before = time()
        assert await one.ask("B", 2) == 2
        assert time() - before > 0.15


async def test_no_wrong_value_in_2000_reads_of_a_bad_line():
    wrong = lost = 0
    async with wires("ABC", timeout_s=0.2, quiet_s=0.3, flip_share=2e-4, seed=4) as one:
        chance = SeededChance(9)
        for number in range(2000):
            toy = one.toys["ABC"[number % 3]]
            toy.delays = [0.3 if chance.spread() < 0.2 else 0.02]
            what = int(chance.spread() * 256)
            try:
                wrong += await one.ask(toy.letter, what) != what
            except (NoAnswer, Resting):
                lost += 1
    assert wrong == 0
    assert 300 < lost < 1500
    assert one.medium.heard.flips > 20


# --- long replies --------------------------------------------------------------------------------


class Talker:
    """Says nothing that is an answer, a byte every `every_s`, as often as `times`."""

    def __init__(self, wires: Wires, *, every_s: float, times: int = 1 << 30) -> None:
        self._wires = wires
        self._every_s = every_s
        self._times = times

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        if frame[:2] == b"?L":
            asyncio.get_running_loop().call_later(self._every_s, self._drip, self._times)
        return None

    def _drip(self, times: int) -> None:
        if times:
            self._wires.medium.say(b"x")
            asyncio.get_running_loop().call_later(self._every_s, self._drip, times - 1)


def asking_long() -> Exchange[int]:
    return asking("L", 7, gap_s=1.5, whole_s=20.0, timeout_s=1.5)


async def test_a_reply_without_an_end_holds_the_line_for_a_bounded_time():
    async with wires("A") as one:
        one.medium.stations.append(Talker(one, every_s=1.0, times=25))
        with pytest.raises(NoAnswer, match="no end within 20 s"):
            await one.line.ask(asking_long())
        assert time() < 21
        await asyncio.sleep(10)
        assert await one.ask("A") == 7


async def test_a_reply_without_an_end_is_kept_up_to_a_bound():
    async with wires("A") as one:
        one.medium.stations.append(Talker(one, every_s=0.005, times=2000))
        with pytest.raises(NoAnswer, match="babbles"):
            await one.line.ask(asking_long())
        assert len(one.line._ear.heard) < 1100


async def test_a_long_reply_is_looked_through_once():
    looked: list[int] = []
    async with wires("A") as one:
        one.medium.stations.append(Talker(one, every_s=0.01, times=500))

        def answer(heard: bytes) -> tuple[int, int] | None:
            looked.append(len(heard))
            return (len(heard), 400) if b"x" * 400 in heard else None

        once = replace(
            asking_long(), answer=answer, ended=lambda heard, since: since < 400 <= len(heard)
        )
        assert await one.line.ask(once) >= 400
    assert len(looked) == 1


def test_no_exchange_is_without_a_bound_or_a_question():
    with pytest.raises(AssertionError, match="bound"):
        asking("A", gap_s=1.5)
    with pytest.raises(AssertionError, match="answer"):
        replace(asking("A"), request=b"")
    heard = bytearray(b"said at once")
    assert not strip_echo(heard, b"")
    assert heard == b"said at once"


# --- silent slaves -------------------------------------------------------------------------------

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"


async def read_round(one: Wires, letters: str, seconds: float) -> dict[str, int]:
    """Ask each again as soon as it may be asked; how many answers each gave."""
    answers = dict.fromkeys(letters, 0)
    until = time() + seconds

    async def work(mine: str) -> None:
        rests = dict.fromkeys(mine, 0.0)
        while time() < until:
            for letter in mine:
                if time() < rests[letter]:
                    continue
                try:
                    await one.ask(letter)
                    answers[letter] += 1
                except Resting as resting:
                    rests[letter] = time() + resting.again_s
                except NoAnswer:
                    pass
            await asyncio.sleep(0)
            if all(time() < rest for rest in rests.values()):
                await asyncio.sleep(0.05)

    await asyncio.gather(*(work(letters[at::4]) for at in range(4)))
    return answers


@pytest.mark.parametrize("dead", ["", "ABC", LETTERS[:20]])
async def test_dead_slaves_cost_the_living_a_twentieth_at_most(dead: str):
    async with wires(LETTERS, timeout_s=0.5) as one:
        for letter in dead:
            one.toys[letter].silent = True
        await read_round(one, LETTERS, 40)  # they are found out
        probing_s = one.line.status().probing_s
        answers = await read_round(one, LETTERS, 60)
        probed_s = one.line.status().probing_s - probing_s
    exchange_s = 9 * 10 / 9600 + 0.02 + PAUSE_S
    assert sum(answers.values()) * exchange_s > 0.95 * 60
    assert probed_s < 0.05 * 60
    assert all(answers[letter] == 0 for letter in dead)
    living = [answers[letter] for letter in LETTERS if letter not in dead]
    assert min(living) > 0.8 * max(living)


async def test_a_slave_that_is_back_answers_again():
    async with wires("AB") as one:
        one.toys["A"].silent = True
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await one.ask("A")
        with pytest.raises(Resting, match="toy A has been silent"):
            await one.ask("A")
        one.toys["A"].silent = False
        for _ in range(100):
            try:
                assert await one.ask("A") == 7
                break
            except Resting as resting:
                await asyncio.sleep(resting.again_s)
        assert await one.ask("A") == 7
        assert of(one, "A").rests_s is None


async def test_a_recharge_does_not_wait_for_the_rest_of_a_silent_slave():
    async with wires("AB") as one:
        one.toys["A"].silent = True
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await one.ask("A")
        one.toys["A"].silent = False
        assert await one.line.ask(asking("A"), urgency=Urgency.TOKEN) == 7


async def test_a_port_is_opened_again_when_every_slave_is_silent():
    async with wires("A") as one:
        one.toys["A"].silent = True
        for _ in range(200):
            with suppress(NoAnswer, Resting):
                await one.ask("A")
            await asyncio.sleep(1)
        assert 2 <= one.line.status().connections <= 200 / 30 + 1


# --- echo, other dialects ------------------------------------------------------------------------


async def test_an_adapter_that_hears_itself():
    async with wires("AB", echo=True) as one:
        assert [await one.ask("A", what) for what in range(20)] == list(range(20))
        status = one.line.status()
        assert status.count(lambda slave: slave.misfits) == 0
        assert status.efficiency is not None
        assert status.efficiency > 0.99


class Parrot:
    """Answers with the question itself, as Modbus FC06 does."""

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        return (0.02, frame) if frame[:1] == b"=" else None


def parroted(what: int) -> Exchange[int]:
    request = bytes((ord("="), what, what ^ 0xFF))

    def answer(heard: bytes) -> tuple[int, int] | None:
        at = heard.find(request)
        return None if at < 0 else (heard[at + 1], at + 3)

    return Exchange(
        station="parrot",
        request=request,
        reply_bytes=3,
        answer=answer,
        what="the parrot",
        mirrored=True,
    )


@pytest.mark.parametrize("echo", [False, True])
async def test_a_reply_like_the_question_is_told_from_its_echo(echo: bool):
    async with wires("A", echo=echo) as one:
        one.medium.stations.append(Parrot())
        await one.ask("A")  # whether this adapter hears itself is known from here on
        answered_at = []
        for what in range(5):
            before = time()
            assert await one.line.ask(parroted(what)) == what
            answered_at.append(time() - before)
        assert min(answered_at) > 0.02


async def test_modbus_and_another_dialect_share_a_pair():
    async with wires("AB") as one:
        meter = EnergyMeter(T0, load=400)
        unit = ModbusUnit(SdmRegisters(meter), meter, meter.faults)

        class StillClock:
            def now(self):
                return T0

        habits = Habits(Manners(), clock=StillClock(), chance=SeededChance())
        station = ModbusStation(5, unit, habits)
        one.medium.stations.append(station)
        modbus = ModbusLine.on(one.line)

        async def hertz() -> object:
            words = await modbus.read(5, Table.INPUT, Span(0x46, 2))
            return NumberFormat(encoding=Encoding.FLOAT32).value(words)

        found = await asyncio.gather(
            *(one.ask("A", n) for n in range(20)), *(hertz() for _ in range(20))
        )
        assert found == [*range(20), *[50] * 20]
        names = {slave.name for slave in one.line.status().stations}
        assert names == {"toy A", "modbus 5"}


# --- recording -----------------------------------------------------------------------------------


async def test_exchanges_are_recorded_and_secrets_are_not():
    async with wires("AB") as one:
        await one.ask("A", 1)
        await one.line.ask(asking("B", 0x55, shown=asking("B", 0).request))
        one.toys["B"].silent = True
        with pytest.raises(NoAnswer):
            await one.line.ask(asking("B", 0x55, shown=asking("B", 0).request))
        text = one.line.frames(now=T0)
        only_a = one.line.frames(now=T0, station="toy A")
    sent = asking("A", 1).request.hex(" ")
    assert f"> {sent}   " in text
    assert "< 21 41 01 01 64   " in text
    assert "3f 42 55" not in text
    assert text.count("secret digits replaced") == 2
    assert "< silence   " in text
    assert [line[0] for line in only_a.splitlines()] == ["#", "#", ">", "<"]


async def test_a_recording_is_bounded():
    async with wires("A") as one:
        for _ in range(1200):
            await one.ask("A")
        assert one.line.frames(now=T0).count("\n>") == 1000


async def test_a_closed_line_sends_nothing():
    async with wires("A") as one:
        await one.line.aclose()
        with pytest.raises(NotSent, match="closed"):
            await one.ask("A")
