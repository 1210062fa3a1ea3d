"""The form of a profile file: its tables and keys, what may stand in each, and what it means.

One source for the check of a file and for the published JSON Schema. What several keys say together
is checked in `profile_layout`.
"""

from decimal import Decimal
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from adapters.modbus.profile import ClockForm, Verified
from headend.currencies import ISO_NUMBERS
from headend.events import EventType
from headend.reading_units import UNITS
from headend.readings import ReadingType
from protocols.modbus.registers import Encoding, Order

FORMAT = 1
# The block protocols that a section may name.
BLOCKS = ("stsm",)
TEXT = "text"
# A credit register counts in the currency of its meter, whatever that is.
UNIT_NAMES = sorted({unit for units in UNITS.values() for unit in units} - ISO_NUMBERS.keys())

Address = Annotated[
    int, Meta(ge=0, le=0xFFFF, description="A register as on the wire: the first is 0.")
]
Word = Annotated[int, Meta(ge=0, le=0xFFFF)]
Count = Annotated[int, Meta(ge=1, le=125)]
Protocol = Annotated[
    str,
    Meta(
        pattern=f"^({'|'.join(BLOCKS)})$",
        description="The block protocol that carries it, instead of plain registers.",
    ),
]
UnitName = Annotated[
    str,
    Meta(
        description="What the meter counts in, after scale; left out, the unit of the reading type",
        extra_json_schema={"enum": UNIT_NAMES},
    ),
]
RangeOf = Annotated[tuple[Decimal, Decimal], Meta(description="Lowest and highest, both believed.")]
FactorName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table; unknown keys are typing mistakes."""


class CellForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a number is and how its registers say it."""

    holding: Annotated[Address, Meta(description="Read by function 3.")] | None = None
    input: Annotated[Address, Meta(description="Read by function 4.")] | None = None
    decode: Encoding
    order: Annotated[Order, Meta(description="Bytes on the wire, A the highest.")] = Order.ABCD
    scale: Annotated[Decimal, Meta(description="What the number is multiplied by.")] = Decimal(1)
    invalid: Annotated[
        list[Annotated[int, Meta(ge=0)]],
        Meta(description="Registers as one unsigned number that say: not available."),
    ] = []
    words: (
        Annotated[Count, Meta(description="Registers, where the decoding does not tell them.")]
        | None
    ) = None


class FactorForm(CellForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A register that multiplies readings; read when the meter is met, and once an hour."""

    power_of_ten: Annotated[
        bool, Meta(description="It is the exponent of ten, not the factor itself.")
    ] = False
    absent: (
        Annotated[
            int,
            Meta(ge=1, description="The factor of a meter that refuses this read, or tells 0."),
        ]
        | None
    ) = None


class ReadingForm(CellForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reading."""

    unit: UnitName | None = None
    times: Annotated[list[FactorName], Meta(description="Factors that it is multiplied by.")] = []
    plausible: (
        Annotated[RangeOf, Meta(description="In `unit`; what lies outside is doubted.")] | None
    ) = None


class ProbeForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What tells this model from others. It is read alone, before anything else."""

    holding: Address | None = None
    input: Address | None = None
    decode: Annotated[
        str, Meta(extra_json_schema={"enum": [*Encoding, TEXT]}, description="Or text.")
    ]
    order: Order = Order.ABCD
    scale: Decimal = Decimal(1)
    words: Annotated[int, Meta(ge=1, le=32, description="Registers of a text.")] | None = None
    equals: (
        Annotated[
            str | int | list[str | int],
            Meta(description="What it must be, or one of several; a text needs only begin so."),
        ]
        | None
    ) = None
    between: RangeOf | None = None
    may_be_absent: Annotated[
        bool, Meta(description="A meter that refuses this read may be the model all the same.")
    ] = False
    otherwise: (
        Annotated["ProbeForm", Meta(description="Where this does not fit, this may.")] | None
    ) = msgspec.field(default=None, name="or")


class LimitsForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How this model lets itself be read."""

    holding: Annotated[Count, Meta(description="Registers in one read of function 3.")] = 60
    input: Annotated[Count, Meta(description="Registers in one read of function 4.")] = 60
    max_hole: (
        Annotated[
            int, Meta(ge=0, le=124, description="Registers nobody wants that one read may go over.")
        ]
        | None
    ) = None
    barriers: Annotated[
        list[Address], Meta(description="A new read begins there; none goes across.")
    ] = []
    answer_ms: (
        Annotated[int, Meta(ge=1, le=30_000, description="Within which it begins to answer.")]
        | None
    ) = None


class PrepaymentForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Token entry, its result and log, the key held, credit parameters."""

    protocol: Protocol


class ContactsForm(CellForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the contacts are told as measured."""

    open: Annotated[list[int], Meta(min_length=1)]
    closed: Annotated[list[int], Meta(min_length=1)]


class SupplyOrderForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One holding register that takes orders; what is not named here is never written."""

    holding: Address
    open: Word | None = None
    permit_close: (
        Annotated[
            Word, Meta(description="Lets the customer close; never a word that closes at once.")
        ]
        | None
    ) = None


class SupplyForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether there is supply, and orders to open or to permit closing."""

    protocol: Protocol | None = None
    contacts: ContactsForm | None = None
    order: SupplyOrderForm | None = None


class ClockForms(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The meter's clock."""

    protocol: Protocol | None = None
    holding: Address | None = None
    decode: ClockForm | None = None
    zone: Annotated[str, Meta(description="IANA name of the time it keeps.")] = "UTC"


class TariffForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rates that the meter counts apart."""

    rates: Annotated[int, Meta(ge=1, le=63)]


class EventsForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The event log, and codes of the maker in our words."""

    protocol: Protocol
    codes: Annotated[
        dict[Annotated[str, Meta(pattern="^[0-9A-Fa-f]{4}$")], str],
        Meta(
            description="The meter's code, four hexadecimal digits, and our name for it.",
            extra_json_schema={
                "additionalProperties": {"type": "string", "enum": list(EventType.__members__)}
            },
        ),
    ] = {}


class HistoryForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Registers kept at the end of past days and months."""

    protocol: Protocol


class ParametersForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Credit parameters that can be set: warnings, emergency credit, limits of credit."""

    protocol: Protocol


class PowerLimitForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit of power that can be set."""

    protocol: Protocol


Probes: TypeAlias = (
    ProbeForm | Annotated[list[ProbeForm], Meta(min_length=1, description="All must fit.")]
)


_READING_NAMES = {"propertyNames": {"enum": list(ReadingType.__members__)}}
# Some keys of a table; they are checked where they have been joined with the rest.
Patch: TypeAlias = dict[
    str, Annotated[object, Meta(extra_json_schema={"description": "As there."})]
]


class LayerForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the registers are read, and what they hold."""

    limits: LimitsForm = LimitsForm()
    factors: dict[FactorName, FactorForm] = {}
    readings: Annotated[dict[str, ReadingForm], Meta(extra_json_schema=_READING_NAMES)] = {}


class VariantForm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of several meters sold under one model name; the first whose probe fits is spoken to.

    It says only what it has otherwise than the model: any key of a limit, factor or reading.
    """

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
    probe: Probes
    limits: Patch = {}
    factors: dict[FactorName, Patch] = {}
    readings: Annotated[
        dict[str, Patch],
        Meta(
            extra_json_schema={
                **_READING_NAMES,
                "additionalProperties": {"$ref": "#/$defs/ReadingForm"},
            }
        ),
    ] = {}


class ProfileForm(LayerForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A meter model that the head-end can read, and perhaps command, over Modbus."""

    format: Annotated[
        int, Meta(ge=1, description=f"The version of this form; {FORMAT} is the one known here.")
    ]
    inherits: (
        Annotated[str, Meta(description="Another profile, whose keys count where none stand here.")]
        | None
    ) = None
    title: str
    source: Annotated[
        str, Meta(description="The document, its revision and table that the registers are from.")
    ]
    verified: Verified
    probe: Probes
    variants: list[VariantForm] = []
    prepayment: PrepaymentForm | None = None
    supply: SupplyForm | None = None
    clock: ClockForms | None = None
    tariff: TariffForm | None = None
    events: EventsForm | None = None
    history: HistoryForm | None = None
    parameters: ParametersForm | None = None
    power_limit: PowerLimitForm | None = None
