"""The switchboard of a running fleet: a line of text sets a fault, types a token, shows a meter.

The same words on the standard input of `headend simulate` and in the same process from `headend
demo`. A line that makes no sense has an answer that says what would.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TextIO

from adapters.simulators.control_words import DarkWords, Senseless, numbers, on, switch, word
from adapters.simulators.faults import Dying
from adapters.simulators.fleet import Fleet
from adapters.simulators.meter import MeterDown, SimulatedMeter
from headend.tokens import TokenResult

MAX_LINE = 200
MAX_WAITING = 100

HELP = """\
silent DRN on|off          it hears nothing
busy DRN on|off            it refuses whatever is asked
slow DRN SECONDS           every answer waits so long
lose DRN [N]               it acts, and the next N answers are lost
lose-command DRN [N]       the same, for tokens and orders only
late DRN [N [SECONDS]]     the next N answers come late
garble DRN [N]             the next N answers are garbled
die DRN before|after [S]   power goes around the next remote token, for S seconds
wrong-key DRN on|off       it holds another key than everybody believes
relay-fault DRN on|off     its contacts do not follow
power DRN on|off           a power cut, and its end
tamper DRN                 its cover is opened
voltage DRN on|off         no voltage at its terminals; it lives on by its battery
disconnect DRN on|off      somebody else ordered its supply off
limit DRN WATTS            it trips above so many W; 0: no limit
threshold DRN AMOUNT       supply comes back from so much credit on
debt DRN AMOUNT            supply is off until the debt is 0
keypad-unit DRN lost|seen  it does not hear the unit with the button
load DRN WATTS             appliances (litres per hour for water and gas)
type DRN DIGITS            the customer types a token
press DRN                  the customer presses the button
repair DRN                 no faults any more
offline GATEWAY on|off     a gateway loses its network
show [DRN]                 credit, supply and faults
help                       these words"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one line. `details` is what --json shows."""

    ok: bool
    text: str
    details: Mapping[str, object]


class Control:
    """Obeys lines of text on a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        dark = DarkWords(self._now)
        self._on_meter: Mapping[str, Callable[[SimulatedMeter, Sequence[str]], str]] = {
            "silent": self._silent,
            "busy": self._busy,
            "slow": self._slow,
            "lose": self._lose,
            "lose-command": self._lose_command,
            "late": self._late,
            "garble": self._garble,
            "die": self._die,
            "wrong-key": self._wrong_key,
            "relay-fault": self._relay_fault,
            "power": self._power,
            "tamper": self._tamper,
            "voltage": dark.voltage,
            "disconnect": dark.disconnect,
            "limit": dark.limit,
            "threshold": dark.threshold,
            "debt": dark.debt,
            "keypad-unit": dark.keypad_unit,
            "load": self._load,
            "type": self._type,
            "press": self._press,
            "repair": self._repair,
        }

    def obey(self, line: str) -> Answer:
        """Do what one line says; never raises for what the line says."""
        words = line[:MAX_LINE].split()
        try:
            return self._obey(words)
        except Senseless as why:
            return Answer(False, f"{why}; try help", {"error": str(why)})
        except MeterDown:
            return Answer(False, "the meter has no power", {"error": "no power"})

    def _obey(self, words: Sequence[str]) -> Answer:
        match words:
            case [] | ["help"]:
                return Answer(True, HELP, {"help": HELP})
            case ["show"]:
                meters = [self._shown(meter) for meter in self._fleet.meters.values()]
                return Answer(True, "\n".join(map(_line_of, meters)), {"meters": meters})
            case ["show", drn]:
                shown = self._shown(self._meter(drn))
                return Answer(True, _line_of(shown), shown)
            case ["offline", name, switch]:
                gateway = self._fleet.gateways.get(name)
                if gateway is None:
                    raise Senseless(f"no gateway {name} here")
                gateway.set_online(not on(switch))
                return Answer(True, f"{name} offline {switch}", {"gateway": name})
            case [verb, drn, *rest] if verb in self._on_meter:
                text = self._on_meter[verb](self._meter(drn), rest)
                return Answer(True, text, {"meter": drn, "done": text})
            case _:
                raise Senseless(f"{words[0]} is no word of this switchboard, or misses its meter")

    def _meter(self, drn: str) -> SimulatedMeter:
        meter = self._fleet.meters.get(drn)
        if meter is None:
            raise Senseless(f"no payment meter {drn[:20]} here")
        return meter

    def _now(self) -> datetime:
        return self._fleet.clock.now()

    # --- one word each ---------------------------------------------------------------------------

    def _silent(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        meter.faults.silent = switch(rest)
        return f"silent {word(meter.faults.silent)}"

    def _busy(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        meter.faults.busy = switch(rest)
        return f"busy {word(meter.faults.busy)}"

    def _slow(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (seconds,) = numbers(rest, ["0"])
        meter.faults.slow_s = seconds
        return f"answers wait {seconds:g} s"

    def _lose(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (answers,) = numbers(rest, ["1"])
        meter.faults.lose(int(answers))
        return f"the next {int(answers)} answers will be lost"

    def _lose_command(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (answers,) = numbers(rest, ["1"])
        meter.faults.lose_commands(int(answers))
        return f"the answers to the next {int(answers)} commands will be lost"

    def _late(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        answers, by_s = numbers(rest, ["1", "3"])
        meter.faults.late(int(answers), by_s=by_s)
        return f"the next {int(answers)} answers come {by_s:g} s late"

    def _garble(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (answers,) = numbers(rest, ["1"])
        meter.faults.garble(int(answers))
        return f"the next {int(answers)} answers will be garbled"

    def _die(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        if not rest or rest[0] not in list(Dying):
            raise Senseless("it can die before or after taking the token")
        (down_s,) = numbers(rest[1:], ["3"])
        meter.faults.dying = Dying(rest[0])
        meter.faults.down_s = down_s
        return f"dies {rest[0]} the next remote token, for {down_s:g} s"

    def _wrong_key(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        wrong = switch(rest)
        meter.set_wrong_key(wrong)
        return f"wrong key {word(wrong)}"

    def _relay_fault(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        broken = switch(rest)
        meter.set_relay_fault(broken, self._now())
        return f"relay fault {word(broken)}"

    def _power(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        powered = switch(rest)
        meter.advance(self._now())
        if powered:
            meter.power_on(self._now())
        else:
            meter.power_cut(self._now())
        return f"power {word(powered)}"

    def _tamper(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        meter.tamper(self._now())
        return "cover opened, locked"

    def _load(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (load,) = numbers(rest, ["0"])
        meter.set_load(int(load), self._now())
        return f"load {int(load)}"

    def _type(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        result = meter.customer_types("".join(rest).replace("-", ""), self._now()).result
        return f"{'taken' if result.taken else 'refused'}: {_name(result)}"

    def _press(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        meter.press_button(self._now())
        return f"supply {word(meter.lit)}"

    def _repair(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        now = self._now()
        meter.faults.clear()
        meter.set_wrong_key(False)
        meter.set_relay_fault(False, now)
        meter.power_on(now)
        return "no faults any more"

    def _shown(self, meter: SimulatedMeter) -> Mapping[str, object]:
        meter.advance(self._now())
        cause = meter.circuit.cause
        return {
            "meter": meter.drn,
            "credit": f"{Decimal(meter.credit_milli).scaleb(-3):f}",
            "import": f"{Decimal(meter.import_milli).scaleb(-3):f}",
            "supply": word(meter.lit),
            "control": meter.relay.control.name.lower(),
            "cause": cause.value if cause else None,
            "powered": meter.powered,
            "tokens": meter.tokens.accepted,
            "faults": meter.faults.named(),
        }


async def lines_of(stream: TextIO) -> AsyncIterator[str]:
    """Lines of a stream as they come, until its end; never holds the process up when it ends."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    room = threading.Semaphore(MAX_WAITING)

    def read() -> None:
        # The loop may be gone while this thread still waits for a line, and a line may be no text.
        with suppress(RuntimeError):
            with suppress(ValueError):
                for line in stream:
                    room.acquire()
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="control lines", daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line


def _name(result: TokenResult) -> str:
    return result.name.lower().replace("_", " ")


def _line_of(shown: Mapping[str, object]) -> str:
    faults = shown["faults"]
    parts = [
        f"{shown['meter']}  credit {shown['credit']}",
        f"supply {shown['supply']} ({shown['cause'] or shown['control']})",
        f"tokens {shown['tokens']}",
        "" if shown["powered"] else "no power",
        f"faults: {', '.join(faults)}" if isinstance(faults, list) and faults else "",
    ]
    return "  ".join(part for part in parts if part)
