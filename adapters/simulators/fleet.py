"""A fleet of simulated meters, built from a description, running on its lines and gateways.

It writes the list of its meters as the CSV that `headend meters import` reads, and tells under
which URL each bus is to be reached.
"""

import asyncio
import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.simulators.dlt645_unit import Dlt645Unit
from adapters.simulators.fleet_description import (
    DescriptionRefused,
    FleetDescription,
    GatewayDescription,
    LineDescription,
    Way,
)
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit, Registers
from adapters.simulators.mqtt_meter import MqttGateway
from adapters.simulators.plate import UNIT_PRICE_MILLI, MeterSettings, Plate
from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.rs485 import AnyStation, Rs485Line, manners_of, rs485_line
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.sheet_registers import Sheet, SheetRegisters
from adapters.simulators.stations import Dlt645Station, Habits, ModbusStation, ReadOutStation
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.transport.address import SerialAddress
from headend.meters import Service
from headend.ports import Chance, Clock
from protocols.dlt645.frame import ADDRESS_DIGITS
from protocols.iec62056_21.characters import SPEEDS
from protocols.sts.drn import Drn
from protocols.sts.tables import EncryptionAlgorithm

COLUMNS = (
    "drn",
    "service",
    "profile",
    "bus",
    "address",
    "sgc",
    "krn",
    "ti",
    "kt",
    "ea",
    "keypad",
    "usage_point",
    "contact_sms",
    "contact_email",
    "language",
    "protected",
    "currency",
)
STSM, ENERGY, MQTT = "stsm", "eastron-sdm630", "amr-v1"
DLT645, READ_OUT = "dlt645-2007", "iec62056-21"
PREPAID = {STSM, MQTT, DLT645}
# Says that the speed stays as it is (mode A); the port of a simulator does not change its own.
SAME_SPEED = ":"
# Tokens must be younger than the meter.
AGE = timedelta(days=30)
# Loads differ a little from meter to meter, and the same in every run.
LOAD_SPREAD = 37
STOP_TRIES = 5
STOP_TRY_S = 3.0

Row = Mapping[str, str]


class Fleet:
    """Meters, lines and gateways. `async with fleet:` runs them; leaving it stops everything.

    `meters`, `energy_meters` (by meter number) and `gateways` (by name) are there at once; `buses`,
    bus name to URL, once it runs. Raises DescriptionRefused; entering raises OSError where a port
    or device cannot be had. A line with physics, or of several dialects, needs `chance`.
    """

    def __init__(
        self,
        description: FleetDescription,
        *,
        clock: Clock,
        sheets: Mapping[str, Sheet] | None = None,
        chance: Chance | None = None,
    ) -> None:
        self._chance = chance
        self._sheets = sheets or {}
        self.meters: dict[str, SimulatedMeter] = {}
        self.energy_meters: dict[str, EnergyMeter] = {}
        self.gateways: dict[str, MqttGateway] = {}
        self.buses: dict[str, str] = {}
        self.clock = clock
        self._description = description
        self._key = description.vending_key()
        self._serials = count(description.meters.first_serial)
        self._rows: list[Row] = []
        self._lines = [(line, self._line(line)) for line in description.lines]
        for gateway in description.gateways:
            self.gateways[gateway.name] = self._gateway(gateway)
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()

    # --- running ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            for description, line in self._lines:
                self.buses[description.name] = await _open(description, line)
        except OSError:
            await self._close_lines()
            raise
        await self._group.__aenter__()
        for gateway in self.gateways.values():
            self._tasks.add(self._group.create_task(gateway.run(), name=gateway.name))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An error of the block stays what it is; only those of the gateways come as a group.
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        try:
            await self._end_gateways()
            await self._group.__aexit__(type(cancelled) if cancelled else None, cancelled, trace)
        finally:
            await self._close_lines()

    async def _end_gateways(self) -> None:
        """Cancel until they have ended: connecting can swallow a cancellation on Python 3.11."""
        running = self._tasks
        for _ in range(STOP_TRIES):
            for task in running:
                task.cancel()
            if running:
                _, running = await asyncio.wait(running, timeout=STOP_TRY_S)

    async def connected(self) -> None:
        """Wait until every gateway has reached its broker."""
        for gateway in self.gateways.values():
            await gateway.connected.wait()

    async def _close_lines(self) -> None:
        for _, line in self._lines:
            await line.close()

    # --- the list of meters ----------------------------------------------------------------------

    @property
    def rows(self) -> Sequence[Row]:
        """One row a meter, with the columns of `headend meters import`."""
        return tuple(self._rows)

    def write_csv(self, path: Path) -> None:
        """Write the list of meters; raises OSError."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self._rows)

    def _list(self, drn: Drn, profile: str, *, service: Service, bus: str, address: str) -> None:
        fleet, key = self._description, self._key
        contact = {
            "contact_sms": fleet.contact_sms.replace("{serial}", drn.serial),
            "contact_email": fleet.contact_email.replace("{serial}", drn.serial),
        }
        self._rows.append(
            {
                "drn": drn.digits,
                "service": service.value,
                "profile": profile,
                "bus": bus,
                "address": address,
                "sgc": f"{key.sgc:06d}",
                "krn": str(key.krn),
                "ti": f"{fleet.meters.tariff_index:02d}",
                "kt": str(int(key.key_type)),
                "ea": f"{fleet.meters.ea:02d}",
                "keypad": "meter" if profile in PREPAID else "none",
                "usage_point": f"UP-{drn.serial}",
                **contact,
                "language": fleet.language,
                "protected": "false",
                "currency": fleet.meters.currency or "" if profile in PREPAID else "",
            }
        )

    # --- building --------------------------------------------------------------------------------

    def _line(self, description: LineDescription) -> SimulatedLine | Rs485Line:
        units: dict[int, ModbusUnit] = {}
        for unit in range(1, description.meters + 1):
            meter = self._meter(description.service)
            units[unit] = ModbusUnit(StsmRegisters(meter), meter, meter.faults)
            self._list(
                meter.plate.drn,
                STSM,
                service=description.service,
                bus=description.name,
                address=str(unit),
            )
        for _ in range(description.energy_meters):
            self._add_energy_meter(units, ENERGY, description.name, SdmRegisters)
        for model, number in description.models.items():
            registers = partial(SheetRegisters, sheet=self._sheet(model))
            for _ in range(number):
                self._add_energy_meter(units, model, description.name, registers)
        if description.physics is None and not description.mixed:
            return SimulatedLine(units, clock=self.clock)
        return self._shared(description, units)

    def _shared(self, description: LineDescription, units: Mapping[int, ModbusUnit]) -> Rs485Line:
        """A pair of wires, with the meters of other dialects beside those of Modbus."""
        assert self._chance is not None, "wires need chance"
        manners = manners_of(description.physics)
        habits = Habits(manners, clock=self.clock, chance=self._chance)
        stations: list[AnyStation] = [
            ModbusStation(number, unit, habits) for number, unit in units.items()
        ]
        dlt645, read_out = description.dlt645_meters, description.iec62056_21_meters
        stations += [Dlt645Station(self._dlt645_unit(description), habits) for _ in range(dlt645)]
        stations += [
            ReadOutStation(self._read_out_unit(description), habits) for _ in range(read_out)
        ]
        return rs485_line(description.physics, stations, chance=self._chance)

    def _dlt645_unit(self, description: LineDescription) -> Dlt645Unit:
        meter = self._meter(description.service)
        address = meter.drn[-ADDRESS_DIGITS:].rjust(ADDRESS_DIGITS, "0")
        self._list(
            meter.plate.drn,
            DLT645,
            service=description.service,
            bus=description.name,
            address=address,
        )
        return Dlt645Unit(meter, address, zone=UTC)

    def _read_out_unit(self, description: LineDescription) -> ReadOutUnit:
        drn, energy = self._next_energy_meter()
        self._list(
            drn,
            READ_OUT,
            service=Service.ELECTRICITY,
            bus=description.name,
            address=drn.digits,
        )
        return ReadOutUnit(energy, drn.digits, speed_character=_speed_character(description))

    def _add_energy_meter(
        self,
        units: dict[int, ModbusUnit],
        model: str,
        bus: str,
        registers: Callable[[EnergyMeter], Registers],
    ) -> None:
        unit = len(units) + 1
        drn, energy = self._next_energy_meter()
        units[unit] = ModbusUnit(registers(energy), energy, energy.faults)
        self._list(drn, model, service=Service.ELECTRICITY, bus=bus, address=str(unit))

    def _next_energy_meter(self) -> tuple[Drn, EnergyMeter]:
        drn = self._next_drn()
        energy = EnergyMeter(self.clock.now(), load=self._load(drn))
        self.energy_meters[drn.digits] = energy
        return drn, energy

    def _sheet(self, model: str) -> Sheet:
        if model not in self._sheets:
            known = ", ".join(self._sheets) or "none"
            raise DescriptionRefused(f"no model that is only read is called {model!r}: {known}")
        return self._sheets[model]

    def _gateway(self, description: GatewayDescription) -> MqttGateway:
        meters = [self._meter(description.service) for _ in range(description.meters)]
        for meter in meters:
            self._list(
                meter.plate.drn,
                MQTT,
                service=description.service,
                bus=description.bus,
                address=description.name,
            )
        return MqttGateway(
            description.name,
            {meter.drn: meter for meter in meters},
            tenant=self._description.tenant,
            broker=self._description.broker,
            clock=self.clock,
            reading_interval_s=self._description.reading_interval_s,
        )

    def _meter(self, service: Service) -> SimulatedMeter:
        common, drn = self._description.meters, self._next_drn()
        now = self.clock.now()
        plate = Plate.keyed(
            drn.digits,
            self._key,
            made_at=now - AGE,
            tariff_index=common.tariff_index,
            algorithm=EncryptionAlgorithm(common.ea),
            service=service,
            currency=common.currency,
        )
        settings = MeterSettings(
            needs_button=common.needs_button,
            processing_s=common.processing_s,
            drift_ppm=common.drift_ppm,
            price_milli=common.price_milli if common.currency else UNIT_PRICE_MILLI,
        )
        meter = SimulatedMeter(
            plate, now, settings=settings, credit_milli=common.credit_milli, load=self._load(drn)
        )
        self.meters[meter.drn] = meter
        return meter

    def _next_drn(self) -> Drn:
        code = self._description.meters.mfr_code
        return Drn.build(mfr_code=code, serial=f"{next(self._serials):08d}")

    def _load(self, drn: Drn) -> int:
        load = self._description.meters.load
        return load + int(drn.serial) % 10 * LOAD_SPREAD if load else 0


def _speed_character(description: LineDescription) -> str:
    """What a read-out meter offers in its sign-on, such that the line keeps its speed."""
    if description.way is Way.SERIAL:
        return SAME_SPEED
    baud = description.physics.baud if description.physics else SerialAddress(path="-").baud
    return next((sign for sign, speed in SPEEDS.items() if speed == baud), SAME_SPEED)


async def _open(description: LineDescription, line: SimulatedLine | Rs485Line) -> str:
    """Open a line and return its URL."""
    host, port = description.host, description.port
    match description.way:
        case Way.TERMINAL if isinstance(line, Rs485Line):
            return line.serve_terminal_url()
        case Way.TERMINAL:
            return f"serial://{line.serve_terminal()}"
        case Way.SERIAL:
            assert description.device is not None, "checked with the description"
            await line.serve_serial(SerialAddress(path=description.device))
            return f"serial://{description.device}"
        case _ if isinstance(line, Rs485Line):
            return f"tcp://{host}:{await line.serve_tcp(host=host, port=port)}"
        case Way.TCP:
            return f"tcp://{host}:{await line.serve_tcp(host=host, port=port)}"
        case Way.RTU_OVER_TCP:
            return f"tcp://{host}:{await line.serve_rtu_over_tcp(host=host, port=port)}"
