"""Stories: what befalls each recharge of the demonstration, and how it has to end.

Pure data. Faults are the words of the simulated fleet's switchboard; {drn} is the meter, {digits}
those of the message that its customer got.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from api.simulation import MQTT, RS485, TCP
from headend.deliveries import Confirmation
from headend.quantities import Unit
from headend.recharges import RechargeState
from headend.supply import DarkCause


@unique
class Told(StrEnum):
    """What a customer is told by message."""

    DIGITS = "digits"
    TAKEN = "taken"

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]


_WORDS = {Told.DIGITS: "here are the digits", Told.TAKEN: "nothing need be typed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One recharge: which meter, what happens, what has to come of it.

    `fault` is set before the sale. `once_told` is done when the customer holds the digits. `ends`,
    `confirmed_by`, `cause` and `told` are what is checked in the end.
    """

    title: str
    bus: str
    address: str
    value: str
    unit: Unit = Unit.KWH
    fault: str | None = None
    posted_twice: bool = False
    once_told: tuple[str, ...] = ()
    ends: RechargeState = RechargeState.LIT
    confirmed_by: frozenset[Confirmation] = frozenset({Confirmation.ECHO})
    cause: DarkCause | None = None
    told: tuple[Told, ...] = ()


_FOUND = frozenset({Confirmation.TOKEN_LOG})
# A gateway answers the command and publishes the meter's event; whichever comes first counts.
_PUSHED = frozenset({Confirmation.ECHO, Confirmation.TOKEN_LOG})

STORIES = (
    Story(title="healthy", bus=RS485, address="1", value="25.6"),
    Story(
        title="holds another key: refuses the token",
        bus=RS485,
        address="2",
        value="40",
        fault="wrong-key {drn} on",
        ends=RechargeState.FAILED,
        confirmed_by=frozenset(),
    ),
    Story(
        title="answer lost after it took the token",
        bus=RS485,
        address="3",
        value="12.5",
        fault="lose-command {drn}",
        confirmed_by=_FOUND,
    ),
    Story(
        title="healthy; the back-office posts it twice",
        bus=TCP,
        address="1",
        value="100",
        posted_twice=True,
    ),
    Story(
        title="silent until fall-back, then back",
        bus=TCP,
        address="2",
        value="33.3",
        fault="silent {drn} on",
        once_told=("silent {drn} off",),
        told=(Told.DIGITS, Told.TAKEN),
    ),
    Story(
        title="relay does not close",
        bus=TCP,
        address="3",
        value="8",
        fault="relay-fault {drn} on",
        ends=RechargeState.DARK,
        cause=DarkCause.RELAY_FAULT,
    ),
    Story(title="healthy", bus=MQTT, address="gw-1", value="61.7", confirmed_by=_PUSHED),
    Story(
        title="answer lost; its event tells of the token",
        bus=MQTT,
        address="gw-1",
        value="5",
        fault="lose-command {drn}",
        confirmed_by=_FOUND,
    ),
    Story(
        title="gateway offline; customer types the digits",
        bus=MQTT,
        address="gw-2",
        value="15",
        fault="offline gw-2 on",
        once_told=("type {drn} {digits}", "offline gw-2 off"),
        confirmed_by=_FOUND,
        told=(Told.DIGITS,),
    ),
    Story(
        title="healthy water meter",
        bus=MQTT,
        address="gw-water",
        value="3.5",
        unit=Unit.M3,
        confirmed_by=_PUSHED,
    ),
)
