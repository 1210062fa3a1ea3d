"""Where a PrismToken is, whom it must prove to be, and how long it is waited for."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from headend.errors import HeadendError

PORT_MAX = 65535
HOST_FORM = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?", re.ASCII)


class ServerUnusable(HeadendError):
    """The settings name no server that could be trusted. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds. The module is a neighbour on the utility's own network: silence means trouble.

    A customer stands at the till, so a sale that must wait is told so within half a minute, and
    made later. `rest_s` keeps callers from queueing before a dead module, `sign_in_rest_s` keeps
    a wrong password from locking the account. `settle_s` is how long a call whose answer was lost
    may still be at work in the module (its own ping may take 60).
    """

    connect_s: float = 5
    answer_s: float = 10
    turn_s: float = 10
    rest_s: float = 2
    sign_in_rest_s: float = 60
    settle_s: float = 60
    idle_s: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismServer:
    """One PrismToken. `host` is the name (or address) that its certificate must carry.

    `ca_file` holds the certificates (PEM) of those who may vouch for it; without one the
    system's are taken. Raises ServerUnusable.
    """

    host: str
    port: int
    ca_file: Path | None = None
    patience: Patience = field(default=Patience(), repr=False)

    def __post_init__(self) -> None:
        if HOST_FORM.fullmatch(self.host) is None:
            raise ServerUnusable("the security module's host must be a name or an address")
        if not 0 < self.port <= PORT_MAX:
            raise ServerUnusable("the security module's port must lie between 1 and 65535")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Checks host name and issuer, always; raises ServerUnusable."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "is no PEM"
            raise ServerUnusable(f"{self.ca_file}: {reason}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
