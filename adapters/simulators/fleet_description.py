"""A fleet on paper: lines and gateways, how many meters each, and what they have in common.

Read from TOML or JSON. The vending key is the published test key unless another is named; simulated
meters never need a live one.
"""

import json
import tomllib
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from adapters.simulators.mqtt_meter import Broker
from headend.currencies import ISO_NUMBERS
from headend.meters import Service
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType

# Published in STS 531-1; worth nothing to anybody.
TEST_KEY = bytes.fromhex("ABABABABABABABAB949494949494949401234567")
MAX_METERS = 10_000
MAX_UNITS = 247

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_METERS)]
Milli = Annotated[int, msgspec.Meta(ge=0, le=9_999_999_990)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


Currency = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(ISO_NUMBERS)})$")]


class DescriptionRefused(ValueError):
    """The description of a fleet cannot be used; the text says where and why."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused: they are typing mistakes."""


@unique
class Way(StrEnum):
    """How the head-end reaches a line; a terminal is a pseudo-terminal that is made."""

    TCP = "tcp"
    RTU_OVER_TCP = "rtu_over_tcp"
    TERMINAL = "terminal"
    SERIAL = "serial"


class PhysicsDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An RS485 line as it is: characters take their time, slaves theirs, and wires fail.

    Pseudo-terminals have no parity; with two stop bits a character takes as long as 8E1. Replies
    come after `delay_ms` and up to `jitter_ms` more, `late_percent` of them `late_ms` later; of a
    million bits `flips` are another at the other end; the last `silent` units are dead; `echo`: the
    adapter hears itself.
    """

    baud: Annotated[int, msgspec.Meta(ge=300, le=1_000_000)] = 9600
    stop: Literal[1, 2] = 1
    delay_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 20.0
    jitter_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 10.0
    late_percent: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    late_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 0.0
    flips: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0.0
    silent: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 0
    echo: bool = False


class LineDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line, of Modbus or of several dialects on one pair of wires.

    `device` is the port of way serial. STSM meters have unit ids from 1 on, energy meters follow,
    and then those of `models`, a count for each model by its name. DL/T 645 and IEC 62056-21
    meters have addresses of their own and cannot be behind way tcp. `physics` belongs to way
    terminal; without it bytes take no time.
    """

    name: Name
    way: Way = Way.TCP
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    device: str | None = None
    meters: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 1
    energy_meters: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 0
    models: dict[str, Annotated[int, msgspec.Meta(ge=1, le=MAX_UNITS)]] = {}
    dlt645_meters: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 0
    iec62056_21_meters: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNITS)] = 0
    service: Service = Service.ELECTRICITY
    physics: PhysicsDescription | None = None

    @property
    def mixed(self) -> bool:
        """Other dialects than Modbus are spoken on it."""
        return self.dlt645_meters + self.iec62056_21_meters > 0

    @property
    def units(self) -> int:
        """How many meters it has."""
        modbus = self.meters + self.energy_meters + sum(self.models.values())
        return modbus + self.dlt645_meters + self.iec62056_21_meters


class GatewayDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MQTT gateway; `bus` is the head-end's name of the broker."""

    name: Name
    bus: Name = "broker"
    meters: Count = 1
    service: Service = Service.ELECTRICITY


class KeyDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vending key of all meters; `value` in hex."""

    value: str = TEST_KEY.hex()
    dkga: int = Dkga.HMAC_SHA_256.value
    sgc: Annotated[int, msgspec.Meta(ge=0, le=999_999)] = 201457
    krn: int = 1
    base_date: int = BaseDate.Y2014.value
    ken: int = 255

    def __repr__(self) -> str:
        return f"KeyDescription(sgc={self.sgc}, krn={self.krn})"


class MeterDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all payment meters have in common; credit in thousandths, load in W or l/h.

    `currency` makes them count money (ISO 4217), and `price_milli` is what one unit costs then.
    """

    mfr_code: Annotated[str, msgspec.Meta(pattern=r"^([0-9]{2}|[0-9]{4})$")] = "99"
    first_serial: Annotated[int, msgspec.Meta(ge=0, le=99_990_000)] = 1
    tariff_index: Annotated[int, msgspec.Meta(ge=0, le=99)] = 1
    ea: int = EncryptionAlgorithm.MISTY1.value
    credit_milli: Milli = 5_000
    load: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 400
    needs_button: bool = False
    processing_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.2
    drift_ppm: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 20
    currency: Currency | None = None
    price_milli: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 1000


class FleetDescription(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole fleet. `contact_sms` and `contact_email` may hold {serial}."""

    tenant: Name = "default"
    lines: tuple[LineDescription, ...] = ()
    gateways: tuple[GatewayDescription, ...] = ()
    broker: Broker = Broker()
    key: KeyDescription = KeyDescription()
    meters: MeterDescription = MeterDescription()
    reading_interval_s: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 60.0
    contact_sms: str = ""
    contact_email: str = ""
    language: str = "en"

    def vending_key(self) -> VendingKey:
        """The key made ready; raises DescriptionRefused."""
        key = self.key
        try:
            return VendingKey(
                value=bytes.fromhex(key.value),
                dkga=Dkga(key.dkga),
                sgc=key.sgc,
                krn=key.krn,
                base_date=BaseDate(key.base_date),
                ken=key.ken,
                key_type=KeyType.UNIQUE,
            )
        except ValueError as exc:
            raise DescriptionRefused(f"key: {exc}") from None


def read_description(path: Path) -> FleetDescription:
    """Read a .toml or .json file; raises DescriptionRefused."""
    try:
        text = path.read_text()
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as exc:
        raise DescriptionRefused(f"{path.name}: {exc}") from exc
    return parse_description(document)


def parse_description(document: object) -> FleetDescription:
    """A description from parsed TOML or JSON; raises DescriptionRefused."""
    try:
        description = msgspec.convert(document, FleetDescription)
    except msgspec.ValidationError as exc:
        raise DescriptionRefused(str(exc)) from exc
    _check(description)
    return description


def _check(description: FleetDescription) -> None:
    names = [line.name for line in description.lines]
    names += [gateway.name for gateway in description.gateways]
    for name in names:
        if names.count(name) > 1:
            raise DescriptionRefused(f"two lines or gateways are called {name}")
    for line in description.lines:
        if (line.way is Way.SERIAL) is (line.device is None):
            raise DescriptionRefused(f"line {line.name}: a device belongs to way serial")
        if line.physics is not None and line.way is not Way.TERMINAL:
            raise DescriptionRefused(f"line {line.name}: physics belongs to way terminal")
        if line.mixed and line.way is Way.TCP:
            raise DescriptionRefused(
                f"line {line.name}: behind way tcp only Modbus is spoken; take rtu_over_tcp, "
                "terminal or serial for other dialects"
            )
        if line.units > MAX_UNITS:
            raise DescriptionRefused(f"line {line.name}: at most {MAX_UNITS} units")
    description.vending_key()
