"""Delivery receipts of SMS gateways: who may bring them, and what they say.

A gateway calls us with JSON, with a form, or with parameters of the address; which of them name the
message and its state is a setting. Knows nothing of what becomes of a receipt.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from adapters.handover.named import value_at
from headend.messages import Receipt

MAX_FIELDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptBook:
    """How one gateway's receipts are read.

    `id` and `status` are names of members (`results.0.id`) or parameters; `delivered` and `failed`
    are the words of the gateway, compared without regard to case. Other words mean: not yet.
    """

    secret: str = field(repr=False)
    id: str
    status: str
    delivered: frozenset[str]
    failed: frozenset[str]

    def admits(self, authorization: str | None, parameter: str | None) -> bool:
        """The caller knows the secret: as bearer, as password, or as the parameter `key`."""
        told = _secret_of(authorization) or parameter or ""
        return hmac.compare_digest(told.encode(), self.secret.encode())

    def read(
        self, body: bytes, content_type: str, parameters: Mapping[str, str]
    ) -> tuple[str, Receipt] | None:
        """The name of the message and what is said of it; None when it cannot be read."""
        found = _document(body, content_type)
        if found is None:
            return None
        reference = value_at(found, self.id) or parameters.get(self.id)
        status = value_at(found, self.status) or parameters.get(self.status)
        if not reference or not status:
            return None
        # No message of ours has such a name; databases would not even look for it.
        ours = reference.isprintable()
        return reference, self._meaning(status) if ours else Receipt.NONE

    def _meaning(self, status: str) -> Receipt:
        word = status.casefold()
        if word in self.delivered:
            return Receipt.DELIVERED
        return Receipt.FAILED if word in self.failed else Receipt.NONE


def _document(body: bytes, content_type: str) -> object | None:
    if not body.strip():
        return {}
    try:
        if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode(), max_num_fields=MAX_FIELDS))
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _secret_of(authorization: str | None) -> str | None:
    scheme, _, rest = (authorization or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            return _password(rest.strip())
        case _:
            return None


def _password(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None
