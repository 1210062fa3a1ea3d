"""Showing: the progress and the result for people, as a live table or as plain lines.

Token digits never come this way: REST told them masked, and typed ones are not repeated.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from api.commands.telling import tell_json
from api.demonstration.checking import Finding, token_of, units
from api.demonstration.house import House
from api.demonstration.scene import Scene, milli
from headend.prospects import NextStep
from headend.recharges import RechargeState

PLAIN_WIDTH = 160
MASKED = 8
COLOURS: Mapping[str, str] = {
    RechargeState.ISSUED: "yellow",
    RechargeState.LIT: "green",
    RechargeState.DARK: "magenta",
    RechargeState.FAILED: "red",
    RechargeState.UNRESOLVED: "red",
}


class Screen:
    """Satisfies `performance.Front`: a live table on a terminal, lines elsewhere.

    `as_json`: the result goes to standard output as JSON, and all else to the console.
    """

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        self._console = console
        self._as_json = as_json
        self._live: Live | None = None
        self._scenes: Sequence[Scene] = ()
        self._began_s = 0.0
        self._steps: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._console.print("Starting a head-end with its embedded defaults, and simulated meters.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def prepared(self, house: House, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        self._began_s = asyncio.get_running_loop().time()
        for name, url in house.fleet.buses.items():
            self._console.print(f"  {name:<12}{url}", soft_wrap=True, highlight=False)
        broker = house.settings.embedded_broker
        self._console.print(f"  {'mqtt':<12}127.0.0.1:{broker}", soft_wrap=True, highlight=False)
        self._console.print(f"  {'rest':<12}{house.url}", soft_wrap=True, highlight=False)
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._progress)
            self._live.start()

    def happened(self, scene: Scene, text: str) -> None:
        self._say(scene, text)

    def moved(self, scene: Scene) -> None:
        step = step_of(scene)
        if self._steps.get(scene.drn) == step:
            return
        self._steps[scene.drn] = step
        # On a terminal the table tells it; a line for every question to a meter would be too much.
        if self._live is None and _part(scene.answer, "next").get("step") != NextStep.AWAIT_ANSWER:
            self._say(scene, step)

    def concluded(self, findings: Sequence[Finding]) -> None:
        self._stop()
        self._console.print(_result(findings))
        disagreeing = [finding for finding in findings if not finding.agrees]
        for finding in disagreeing:
            for fault in finding.faults:
                self._console.print(f"meter {finding.scene.drn}: {escape(fault)}", style="red")
        took_s = asyncio.get_running_loop().time() - self._began_s
        agree = len(findings) - len(disagreeing)
        self._console.print(
            f"{agree} of {len(findings)} recharges agree with the meters' own registers"
            f" ({took_s:.1f} s)."
        )
        if self._as_json:
            shown = [finding.shown() for finding in findings]
            tell_json({"agree": not disagreeing, "recharges": shown})

    def stays_open(self, house: House) -> None:
        for line in (
            "It goes on running; Ctrl-C ends it and removes everything.",
            f"  documentation  {house.url}/docs",
            f"  API key        {house.key}",
        ):
            self._console.print(line, soft_wrap=True, highlight=False)

    def _say(self, scene: Scene, text: str) -> None:
        at_s = asyncio.get_running_loop().time() - self._began_s
        line = f"{at_s:5.1f} s  {scene.drn}  {scene.story.bus:<10}  {text}"
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _progress(self) -> Table:
        since_s = asyncio.get_running_loop().time() - self._began_s
        table = Table(title=f"{since_s:.0f} s", expand=True)
        for name in ("meter", "wire", "story", "state"):
            table.add_column(name)
        table.add_column("what happens next", ratio=1, no_wrap=True, overflow="ellipsis")
        for scene in self._scenes:
            story = scene.story
            step = self._steps.get(scene.drn, "")
            table.add_row(scene.drn, story.bus, story.title, _state(scene), step)
        return table


def step_of(scene: Scene) -> str:
    """Where a recharge stands, in one line."""
    answer = scene.answer
    taken, coming, supply = (_part(answer, name) for name in ("taken", "next", "supply"))
    match scene.state:
        case RechargeState.LIT | RechargeState.DARK:
            lit = scene.state == RechargeState.LIT
            light = "supply is on" if lit else f"supply is off: {supply.get('cause')}"
            amount = f"{units(milli(str(taken.get('value'))))} {taken.get('unit')}"
            return f"{scene.state}: {amount} are in ({answer.get('confirmed_by')}), {light}"
        case RechargeState.FAILED:
            return f"failed: {_part(answer, 'result').get('name')}; {coming.get('text')}"
        case _:
            return f"{scene.state}: {coming.get('text')}"


def _part(answer: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = answer.get(name)
    return part if isinstance(part, dict) else {}


def _state(scene: Scene) -> Text:
    return Text(scene.state, style=COLOURS.get(scene.state, ""))


def _result(findings: Sequence[Finding]) -> Table:
    table = Table(title="What became of each recharge", title_justify="left")
    for name in ("meter", "wire", "story", "state", "token", "confirmed by"):
        table.add_column(name)
    table.add_column("head-end", justify="right")
    table.add_column("meter's register", justify="right")
    table.add_column("agree")
    for finding in findings:
        scene = finding.scene
        unit = scene.story.unit.value
        table.add_row(
            scene.drn,
            scene.story.bus,
            scene.story.title,
            _state(scene),
            token_of(scene)[-MASKED:],
            str(scene.answer.get("confirmed_by") or "-"),
            f"{units(finding.credited_told)} {unit}",
            f"{units(finding.credited_meter)} {unit}",
            Text("yes", style="green") if finding.agrees else Text("NO", style="bold red"),
        )
    return table
