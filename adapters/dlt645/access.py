"""How a DL/T 645 meter lets us order: a plain password, or data that a security module makes.

Keys of utilities live in their own hardware: data of class 98 come from an external signer, which
is asked over HTTP, and are carried as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

import httpx2

from headend.errors import Misconfigured, NotSent
from protocols.dlt645.frame import WRITE_MAX_BYTES, Frame, Function
from protocols.dlt645.orders import (
    Access,
    Control,
    control_request,
    signed_request,
    write_request,
)

SIGNER_TIMEOUT_S = 10.0
_ANSWER_MAX_BYTES = 4096


class Authority(Protocol):
    """Makes the frames that a meter obeys. Raises NotSent, Misconfigured."""

    async def control(self, address: str, order: Control, *, until: datetime) -> Frame: ...

    async def write(self, address: str, identifier: str, value: bytes) -> Frame: ...


@dataclass(frozen=True, slots=True)
class PlainPassword:
    """Satisfies Authority with a password of class 2, 3 or 4, the same for all meters of a line."""

    access: Access = field(repr=False)

    async def control(self, address: str, order: Control, *, until: datetime) -> Frame:
        return control_request(address, self.access, order, until=until)

    async def write(self, address: str, identifier: str, value: bytes) -> Frame:
        return write_request(address, self.access, identifier, value)


def load_password(path: Path) -> PlainPassword:
    """Read `class password operator` from a file, as in `02 123456 00000000`; Misconfigured."""
    try:
        level, password, operator = path.read_text(encoding="ascii").split()
        return PlainPassword(Access(int(level, 16), password, int(operator)))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not class, password and operator"
        raise Misconfigured(f"{path}: {reason}; write it as in 02 123456 00000000") from None


class ExternalSigner:
    """Satisfies Authority by asking a service that holds the keys.

    POST of `{"meter", "function", "order" | "identifier", "value", "until"}` in JSON; the answer is
    `{"data": "hex"}`, the data of the frame from the password class on (docs/security-modules.md).
    """

    def __init__(self, url: str, *, bearer: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        self._url = url
        self._client = httpx2.AsyncClient(timeout=SIGNER_TIMEOUT_S, headers=headers)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def control(self, address: str, order: Control, *, until: datetime) -> Frame:
        asked = {"order": f"{order:02x}", "until": until.isoformat()}
        return await self._signed(address, Function.CONTROL, asked)

    async def write(self, address: str, identifier: str, value: bytes) -> Frame:
        asked = {"identifier": identifier, "value": value.hex()}
        return await self._signed(address, Function.WRITE, asked)

    async def _signed(self, address: str, function: Function, asked: Mapping[str, str]) -> Frame:
        question = {"meter": address, "function": f"{function:02x}", **asked}
        try:
            answer = await self._client.post(self._url, json=question)
        except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
            raise NotSent(f"the signer cannot be asked: {type(exc).__name__}") from exc
        if answer.status_code >= 500:
            raise NotSent(f"the signer answers {answer.status_code}")
        if not answer.is_success:
            raise Misconfigured(f"the signer refuses with {answer.status_code}")
        return signed_request(address, function, _data(answer))


def _data(answer: httpx2.Response) -> bytes:
    try:
        told = answer.json()["data"] if len(answer.content) <= _ANSWER_MAX_BYTES else ""
        data = bytes.fromhex(told)
    except (ValueError, KeyError, TypeError):
        raise Misconfigured("the signer's answer has no data in hexadecimal") from None
    if not 0 < len(data) <= WRITE_MAX_BYTES:
        raise Misconfigured(f"the signer's data are {len(data)} bytes, 1 to {WRITE_MAX_BYTES}")
    return data
