"""The meters of a city, watched: what each took, and when its relay was closed.

The ledger is the truth that the head-end is judged by. It is kept outside of the meter, unbounded,
and read by nobody but the invariants.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapters.simulators.logs import EventLog, Origin, RequestId, TokenEntry
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.plate import MeterSettings, Plate
from headend.events import EventType
from headend.tokens import TokenResult
from protocols.sts.drn import Drn as StsDrn
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, Dkga, KeyType
from tests.city.trace import Trace

SGC = "201457"
# Published test keys; the second one is that of the next revision.
KEYS = {
    1: "abababababababab949494949494949401234567",
    2: "cdcdcdcdcdcdcdcd525252525252525289abcdef",
}
BASE = BaseDate.Y2014
MADE = timedelta(days=30)
_RELAY = frozenset({EventType.SUPPLY_CLOSED, EventType.SUPPLY_OPENED})


@dataclass(frozen=True, slots=True)
class Entered:
    """One token as a meter judged it. `when` is true time."""

    when: datetime
    digits: str
    result: TokenResult
    tid: int | None
    amount_milli: int
    origin: Origin


class CityMeter(SimulatedMeter):
    """A simulated meter whose every entry is written down. `gone`: it never comes back."""

    def __init__(self, plate: Plate, now: datetime, trace: Trace, **more: object) -> None:
        super().__init__(plate, now, **more)  # type: ignore[arg-type] # the fleet names the fields
        self.ledger: list[Entered] = []
        self.gone = False
        self.first_credit_milli = self.credit_milli
        self.trace = trace
        self._switched: list[tuple[datetime, bool]] = [(now, self.relay.closed)]
        self.circuit._events = self.events = Watching(self)
        self._true_now = now

    @property
    def taken(self) -> dict[str, Entered]:
        """Credit that it took, by digits."""
        return {one.digits: one for one in self.ledger if one.result is TokenResult.ACCEPT}

    def advance(self, now: datetime) -> None:
        self._true_now = max(self._true_now, now)
        super().advance(now)

    def was_closed(self, since: datetime, until: datetime) -> bool:
        """The relay was closed at some moment of that time."""
        first = bisect_right(self._switched, (since, True)) - 1
        return any(closed for when, closed in self._switched[max(0, first) :] if when <= until)

    def note_relay(self, told: datetime) -> None:
        """It may have switched, by its own clock then."""
        when = told - (self.clock.at(self._true_now) - self._true_now)
        self._switched.append((max(when, self._switched[-1][0]), self.relay.closed))

    def set_relay_fault(self, broken: bool, now: datetime) -> None:
        super().set_relay_fault(broken, now)
        self._switched.append((now, self.relay.closed))

    def _enter(
        self, digits: str, now: datetime, origin: Origin, request_id: RequestId | None
    ) -> TokenEntry:
        entry = super()._enter(digits, now, origin, request_id)
        self.ledger.append(
            Entered(now, digits, entry.result, entry.tid, entry.amount_milli, origin)
        )
        self.trace.tell(
            self.drn,
            f"the meter judges ...{digits[-4:]} from {origin.name.lower()}:"
            f" {entry.result.name} tid {entry.tid} amount {entry.amount_milli}",
        )
        return entry


class Watching(EventLog):
    """The event log of a meter; it tells when the relay has switched."""

    def __init__(self, meter: CityMeter) -> None:
        super().__init__()
        self._meter = meter

    def add(
        self, type: EventType, at: datetime, *, argument: int = 0, entry: TokenEntry | None = None
    ) -> None:
        super().add(type, at, argument=argument, entry=entry)
        if type in _RELAY:
            self._meter.note_relay(at)


def vending_key(krn: int) -> VendingKey:
    """The key of a revision."""
    return VendingKey(
        value=bytes.fromhex(KEYS[krn]),
        dkga=Dkga.HMAC_SHA_256,
        sgc=int(SGC),
        krn=krn,
        base_date=BASE,
        ken=255,
        key_type=KeyType.UNIQUE,
    )


_plates: dict[int, Plate] = {}


def plate(serial: int, made_at: datetime) -> Plate:
    """The plate of a meter; keys are derived once, the meters are the same in every city."""
    if serial not in _plates:
        drn = StsDrn.build(mfr_code="04", serial=f"{serial:08d}")
        _plates[serial] = Plate.keyed(drn.digits, vending_key(1), made_at=made_at)
    return _plates[serial]


def a_meter(
    serial: int,
    now: datetime,
    trace: Trace,
    *,
    settings: MeterSettings,
    credit_milli: int,
    load: int,
) -> CityMeter:
    """A meter that has its first credit."""
    return CityMeter(
        plate(serial, now - MADE),
        now,
        trace,
        settings=settings,
        credit_milli=credit_milli,
        load=load,
    )
