"""The frames of field-frames.json, by their id."""

import json
from pathlib import Path
from typing import TypedDict


class Vector(TypedDict, total=False):
    """One frame; `decode` holds what it means, `expect` what to do with a bad one."""

    id: str
    protocol: str
    role: str
    hex: str
    crc_ok: bool
    checksum_ok: bool
    control: int
    address: str
    data_unmasked: str
    tx: str | None
    rx: str | None
    checksum: str | None
    corrected_hex: str
    sent: str
    received: str
    expect: str
    registers: list[int]
    decode: dict[str, object]


VECTORS: dict[str, Vector] = {
    vector["id"]: vector
    for vector in json.loads(Path(__file__).with_name("field-frames.json").read_text())["vectors"]
}


def frame(ident: str) -> bytes:
    return bytes.fromhex(VECTORS[ident]["hex"])


def published(ident: str, way: str = "rx") -> bytes:
    """What was sent (`tx`) or received (`rx`) in a conversation; empty where nothing was."""
    told = VECTORS[ident]["tx"] if way == "tx" else VECTORS[ident]["rx"]
    return bytes.fromhex(told or "")


def of_protocol(*protocols: str) -> list[str]:
    return [ident for ident, vector in VECTORS.items() if vector["protocol"] in protocols]
