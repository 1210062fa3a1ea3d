"""Settings: one typed object from one TOML file and HEADEND_... variables, which win.

A variable names a key in capitals with two underscores between levels: HEADEND_LISTEN__PORT. What
is unknown or wrong is refused with its key; values are never repeated, for some are secrets. Every
key stands with its meaning in deploy/headend.example.toml.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    Tag,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from headend.errors import HeadendError

PREFIX = "HEADEND_"
CONFIG_VARIABLE = "HEADEND_CONFIG"
DEFAULT_FILE = Path("headend.toml")
# Variables of ours that are no settings: read by the vault and by the client commands.
_NO_SETTINGS = frozenset(
    {
        CONFIG_VARIABLE,
        "HEADEND_MASTER_KEY",
        "HEADEND_PRISM_PASSWORD",
        "HEADEND_URL",
        "HEADEND_KEY",
    }
)

BusKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=300)]


Source: TypeAlias = PydanticBaseSettingsSource


class SettingsRefused(HeadendError):
    """The settings cannot be used; the text names each key and what to do."""


@unique
class Role(StrEnum):
    """What a process does: everything, only REST, or only wires and hand-overs."""

    ALL = "all"
    API = "api"
    WORK = "work"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(_Part):
    """Where REST answers."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class Dlt645(_Part):
    """How the DL/T 645 meters of a line obey: a plain password, or a signer that holds the keys.

    `zone` is that of their clocks.
    """

    zone: ZoneInfo = ZoneInfo("UTC")
    password_file: Path | None = None
    signer_url: str | None = None
    signer_token: SecretStr | None = None


class ModbusBus(_Part):
    """A field line: `tcp://host:port` or `serial:///dev/ttyUSB0?baud=9600&parity=E`.

    With serial framing, DL/T 645 and IEC 62056-21 meters may share it with those of Modbus.
    """

    url: str
    framing: Literal["rtu", "tcp"] | None = None
    slots: Annotated[int, Field(ge=1, le=64)] = 8
    timeout_s: Seconds = 1.0
    quiet_s: Seconds = 1.0
    dlt645: Dlt645 | None = None
    in_flight: Annotated[int, Field(ge=1, le=32)] = 4

    @property
    def framed(self) -> str:
        """How frames travel: as set, else TCP on a network and RTU on a serial port."""
        return self.framing or ("rtu" if self.url.startswith("serial:") else "tcp")


class MqttBus(_Part):
    """An MQTT broker: `mqtt://user:password@host:1883?version=5`, or mqtts:// with TLS."""

    url: SecretStr
    client_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    slots: Annotated[int, Field(ge=1, le=10_000)] = 64


def _dialect(bus: object) -> str | None:
    """Which dialect a bus speaks, by the scheme of its URL."""
    url = bus.get("url") if isinstance(bus, Mapping) else getattr(bus, "url", None)
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    if not isinstance(text, str):
        return None
    return _DIALECTS.get(text.partition(":")[0].lower())


_DIALECTS = {"tcp": "modbus", "serial": "modbus", "mqtt": "mqtt", "mqtts": "mqtt"}
BusSettings = Annotated[
    Annotated[ModbusBus, Tag("modbus")] | Annotated[MqttBus, Tag("mqtt")],
    Discriminator(
        _dialect,
        custom_error_type="bus_url",
        custom_error_message="url must begin with tcp://, serial://, mqtt:// or mqtts://",
    ),
]


class Smtp(_Part):
    """A mail server that takes messages."""

    host: str
    sender: str
    sender_name: str = ""
    port: Port | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    timeout_s: Seconds = 8.0


class Receipts(_Part):
    """Delivery receipts that a gateway sends to /receipts/NAME, and how they are read."""

    secret: Annotated[SecretStr, Field(min_length=16, max_length=200)]
    id: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    status: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    delivered: Annotated[tuple[str, ...], Field(min_length=1)]
    failed: tuple[str, ...] = ()
    within_s: Annotated[int, Field(ge=5, le=1800)] = 120


class SmsHttp(_Part):
    """A gateway that takes SMS by HTTP; {to}, {msisdn}, {text} and {id} are filled in."""

    url: SecretStr
    method: Literal["GET", "POST", "PUT"] = "POST"
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    json_body: Annotated[Mapping[str, object] | None, Field(alias="json", repr=False)] = None
    form: Annotated[Mapping[str, str] | None, Field(repr=False)] = None
    user: str | None = None
    password: SecretStr | None = None
    answer_contains: str = ""
    answer_id: str = ""
    ca_file: Path | None = None
    plain_http: bool = False
    timeout_s: Seconds = 8.0
    receipts: Receipts | None = None


class Handover(_Part):
    """Who carries digits to people; what has no carrier goes into the folder `outbox`.

    `sms` and `mail` name the providers in the order in which they are asked; where they name none,
    `sms_http` or `smtp` comes first, and then the others in the order of their names.
    """

    outbox: Path = Path("var/outbox")
    templates: Path | None = None
    smtp: Smtp | None = None
    sms_http: SmsHttp | None = None
    mail_servers: Mapping[BusKey, Smtp] = Field(default_factory=dict)
    sms_gateways: Mapping[BusKey, SmsHttp] = Field(default_factory=dict)
    sms: tuple[str, ...] = ()
    mail: tuple[str, ...] = ()

    @property
    def gateways(self) -> Mapping[str, SmsHttp]:
        """Every SMS gateway by its name, in the order in which they are asked unless `sms` says."""
        first = {"sms_http": self.sms_http} if self.sms_http else {}
        return first | {name: self.sms_gateways[name] for name in sorted(self.sms_gateways)}

    @property
    def servers(self) -> Mapping[str, Smtp]:
        """Every mail server by its name, likewise."""
        first = {"smtp": self.smtp} if self.smtp else {}
        return first | {name: self.mail_servers[name] for name in sorted(self.mail_servers)}


class ModuleKey(_Part):
    """A vending key in the security module, as its key list shows it; never the key itself.

    It is live unless the settings say that it is a test key (of a module on the bench) or private.
    """

    tenant: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    sgc: Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$")]
    krn: Annotated[int, Field(ge=1, le=9)]
    key_type: Literal[1, 2, 3]
    base_date: Literal[1993, 2014, 2035]
    ken: Annotated[int, Field(ge=0, le=255)]
    dkga: Literal[2, 4]
    check_value: Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{6}$")]
    mark: Literal["test", "private", "live"] = "live"


class SecurityModule(_Part):
    """A PrismToken that holds the vending keys in place of the database."""

    host: str
    port: Port
    username: str
    realm: str = "local"
    ca_file: Path | None = None
    password_file: Path | None = None
    keys: tuple[ModuleKey, ...] = ()


class Outbox(_Part):
    """What the back-office is told, where its receivers may be, and how long things are kept."""

    source: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+.:/_-]{0,99}$")] = (
        "urn:headend"
    )
    readings: bool = False
    private_receivers: tuple[IPvAnyNetwork, ...] = ()
    plain_http: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 10.0
    give_up_after_h: Annotated[float, Field(gt=0, le=14 * 24)] = 72.0
    keep_days: Annotated[float, Field(ge=1, le=3650)] = 30.0
    keep_delivered_days: Annotated[float, Field(gt=0, le=3650)] = 3.0
    keep_dead_days: Annotated[float, Field(ge=1, le=3650)] = 90.0


class Settings(BaseSettings):
    """Everything that can be set; the defaults run on a laptop."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    role: Role = Role.ALL
    database_url: SecretStr = SecretStr("sqlite:///var/headend.db")
    master_key_file: Path = Path("var/master.key")
    ea07_tables_file: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    poll_interval_s: Annotated[int, Field(ge=1, le=7 * 86_400)] = 900
    approvals_expire_h: Annotated[float, Field(gt=0, le=7 * 24)] = 24.0
    embedded_broker: Port | None = None
    profile_folders: tuple[Path, ...] = ()
    listen: Listen = Listen()
    buses: Mapping[BusKey, BusSettings] = Field(default_factory=dict)
    handover: Handover = Handover()
    security_module: SecurityModule | None = None
    outbox: Outbox = Outbox()

    @property
    def embedded_database(self) -> bool:
        """The database is a file of ours, brought up to date at every start."""
        return urlsplit(self.database_url.get_secret_value()).scheme.startswith("sqlite")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library names the parameters
        *_: Source,
        **sources: Source,
    ) -> tuple[Source, ...]:
        """Variables win over the file, which comes in as arguments."""
        return sources["env_settings"], sources["init_settings"]


def load_settings(file: Path | None = None) -> Settings:
    """The settings of this process; raises SettingsRefused.

    `file`, else HEADEND_CONFIG, else ./headend.toml if there is one, else defaults alone.
    """
    named = file or _named_file()
    document = _read(named) if named else {}
    _refuse_unknown_variables()
    try:
        return Settings.model_validate(document)
    except SettingsError:
        raise SettingsRefused(f"a {PREFIX}... variable is no JSON where it must be") from None
    except ValidationError as error:
        place = f"{named} or {PREFIX}... variables" if named else f"{PREFIX}... variables"
        raise SettingsRefused("\n".join([f"settings ({place}):", *_told(error)])) from None


def _named_file() -> Path | None:
    if named := os.environ.get(CONFIG_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsRefused(f"settings file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsRefused(f"settings file {file}: it must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"settings file {file}: no TOML: {error}") from None


def _refuse_unknown_variables() -> None:
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in _NO_SETTINGS:
            continue
        key = name.removeprefix(PREFIX).partition("__")[0].lower()
        if key not in Settings.model_fields:
            raise SettingsRefused(f"variable {name}: unknown key{_meant(key)}")


def _told(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        parts = [str(part) for part in fault["loc"]]
        # A bus is one of two kinds, and the kind stands behind its name.
        if len(parts) > 2 and parts[0] == "buses":
            del parts[2]
        key = ".".join(parts)
        if fault["type"] == "extra_forbidden":
            yield f"  {key}: unknown key{_meant(parts[-1])}"
        else:
            message = fault["msg"].replace("dictionary", "table")
            yield f"  {key}: {message[:1].lower()}{message[1:]}"


_PARTS: tuple[type[BaseModel], ...] = (
    Settings,
    Listen,
    ModbusBus,
    Dlt645,
    MqttBus,
    Handover,
    Smtp,
    SmsHttp,
    Receipts,
    SecurityModule,
    ModuleKey,
    Outbox,
)


def _meant(key: str) -> str:
    """The known key that was probably meant."""
    known = {field.alias or name for part in _PARTS for name, field in part.model_fields.items()}
    near = get_close_matches(key, known, n=1)
    all_keys = "all keys stand in deploy/headend.example.toml"
    return f"; did you mean {near[0]}?" if near else f"; {all_keys}"
