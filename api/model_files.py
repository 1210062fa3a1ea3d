"""Meter models for the commands: files checked, and what is in them told.

One of the few modules of this floor that know adapters, and only to show.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters.modbus.frames import Table
from adapters.modbus.profile import Profile, RegisterReading
from adapters.modbus.profile_faults import MalformedProfile, PlacedFault
from adapters.modbus.profile_files import load_profile, load_profiles
from adapters.modbus.profile_schema import profile_schema
from api.dialects import Dialect
from api.settings import Settings
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from headend.refusals import UnknownProfile
from protocols.modbus.blocks import USUAL, Span, plan_reads

__all__ = [
    "check_files",
    "model_of",
    "models_of",
    "profile_schema",
    "told_model",
    "told_models",
    "told_readings",
    "told_reads",
]

Row = Mapping[str, object]


def models_of(settings: Settings) -> Mapping[ProfileName, Profile]:
    """The shipped models and those of the set folders; raises MalformedProfile."""
    return load_profiles(*(folder / Dialect.MODBUS for folder in settings.profile_folders))


def model_of(settings: Settings, name: str) -> Profile:
    """One model; raises UnknownProfile, MalformedProfile."""
    known = models_of(settings)
    found = known.get(ProfileName(name))
    if found is None:
        raise UnknownProfile(f"no model is called {name!r}; known are {', '.join(known)}")
    return found


def check_files(files: Sequence[Path]) -> Sequence[Row]:
    """Every fault of every file, each with its place."""
    faults: list[PlacedFault] = []
    for file in files:
        try:
            load_profile(file)
        except MalformedProfile as exc:
            faults += exc.faults
    return [
        {
            "file": str(fault.file),
            "line": fault.place.line,
            "column": fault.place.column,
            "reason": fault.reason,
        }
        for fault in sorted(set(faults))
    ]


def told_models(models: Mapping[ProfileName, Profile]) -> Sequence[Row]:
    """One row a model."""
    return [
        {
            "model": name,
            "title": model.title,
            "readings": len(model.readings),
            "can": " ".join(_can(model)),
            "verified": model.verified.value,
        }
        for name, model in models.items()
    ]


def told_model(model: Profile) -> Row:
    """What one model is and can do."""
    return {
        "model": model.name,
        "title": model.title,
        "source": model.source,
        "verified": model.verified.value,
        "can": _can(model),
        "blocks": model.blocks,
        "variants": [variant.variant for variant in model.variants],
        "rates": model.rates,
        "answer_s": model.answer_s,
    }


def told_readings(model: Profile) -> Sequence[Row]:
    """One row a reading: where it is, and how its registers say it."""
    return [_told_reading(kind, each) for kind, each in model.readings.items()]


def told_reads(model: Profile) -> Sequence[Row]:
    """One row a table: the reads that fetch it all on a slow line."""
    return [_told_read(model, table) for table in Table if _spans(model, table)]


def _can(model: Profile) -> list[str]:
    return [flag.name or "" for flag in Capability if flag and flag in model.can]


def _told_reading(kind: ReadingType, reading: RegisterReading) -> Row:
    low, high = reading.plausible
    return {
        "type": kind.value,
        "obis": kind.obis,
        "table": reading.table.value,
        "address": f"0x{reading.span.start:04X}",
        "decode": reading.format.encoding.value,
        "order": reading.format.order.value,
        "multiplier": str(reading.format.scale * reading.factor),
        "times": " ".join(reading.times),
        "lowest": str(low),
        "highest": str(high),
    }


def _spans(model: Profile, table: Table) -> list[Span]:
    return [each.span for each in model.readings.values() if each.table is table]


def _told_read(model: Profile, table: Table) -> Row:
    reads = plan_reads(_spans(model, table), model.limits[table], USUAL)
    return {
        "table": table.value,
        "reads": " ".join(f"0x{read.start:04X}+{read.count}" for read in reads),
        "seconds_at_9600": round(USUAL.cost_s(reads), 3),
    }
