"""A head-end as routes and commands see it: ports and desks, no concrete class."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from api.jobs_file import files_at_once
from api.shares import Shares
from api.streams import Streams
from api.vending import Vending
from api.writes import Writes
from headend.approval_desk import ApprovalDesk
from headend.cap_desk import CapDesk
from headend.command_desk import CommandDesk
from headend.intake import Intake
from headend.job_desk import JobDesk
from headend.key_desk import KeyDesk
from headend.lines import WatchedLine
from headend.messages import Receipt
from headend.meter_desk import Catalog, MeterDesk
from headend.meters import BusName
from headend.ports import Chance, Clock
from headend.recharge_desk import RechargeDesk
from headend.store import Store
from headend.webhook_desk import WebhookDesk
from headend.worklist_desk import WorkListDesk


@dataclass(frozen=True, slots=True)
class Work:
    """Something that runs until cancelled: a bus, a listener, the sweeper."""

    name: str
    run: Callable[[], Awaitable[None]]


class ReceiptBook(Protocol):
    """How the receipts of one message provider are known and read."""

    def admits(self, authorization: str | None, parameter: str | None) -> bool: ...

    def read(
        self, body: bytes, content_type: str, parameters: Mapping[str, str]
    ) -> tuple[str, Receipt] | None:
        """The provider's name of the message and what is said of it; None when unreadable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEnd:
    """One process of the head-end.

    `works` is empty in a process that only answers REST; `linked` tells of each bus served here
    whether its link is up, as far as its driver knows; `lines` are those served here.
    """

    store: Store
    vending: Vending
    clock: Clock
    chance: Chance
    catalog: Catalog
    recharges: RechargeDesk
    meters: MeterDesk
    commands: CommandDesk
    keys: KeyDesk
    approvals: ApprovalDesk
    caps: CapDesk
    worklist: WorkListDesk
    jobs: JobDesk
    intake: Intake
    webhooks: WebhookDesk
    streams: Streams
    event_source: str
    works: Sequence[Work] = ()
    linked: Mapping[BusName, Callable[[], bool]] = field(default_factory=dict)
    receipt_books: Mapping[str, ReceiptBook] = field(default_factory=dict)
    lines: Mapping[BusName, WatchedLine] = field(default_factory=dict)
    writes: Writes = field(default_factory=Writes)
    job_files: Shares = field(default_factory=files_at_once)


def head_end_of(request: Request) -> HeadEnd:
    """The head-end behind the routes."""
    head_end: HeadEnd = request.app.state.head_end
    return head_end


Desks = Annotated[HeadEnd, Depends(head_end_of)]
