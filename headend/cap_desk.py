"""The desk of the bounds: caps and opening hours are changed, and holds lifted, by named humans.

An API key changes none of them, or it could order what they forbid. Loosening a cap waits for a
second person, like the orders it would let through.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from headend.approvals import EXPIRES_AFTER, Approval, ApprovalSubject
from headend.audit import AuditAction, Entry
from headend.dangers import CapRule, Caps, Danger, caps_in_force
from headend.harm_news import approval_news, hold_news
from headend.holds import Hold
from headend.meters import TenantId
from headend.opening_hours import OpeningHours
from headend.outbox import announce
from headend.people import Person
from headend.ports import Chance, Clock
from headend.races import lost_races_again
from headend.refusals import ApprovalRequired, UnknownHold
from headend.store import Store, Transaction


class CapDesk:
    """Takes changes of the bounds from people."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        chance: Chance,
        approval_lasts: timedelta = EXPIRES_AFTER,
    ) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._approval_lasts = approval_lasts

    @lost_races_again
    async def change_caps(
        self, tenant: TenantId, sgc: str | None, danger: Danger, caps: Caps, *, person: Person
    ) -> CapRule:
        """Tighten the caps of a kind; raises ApprovalRequired where any of them is loosened."""
        now = self._clock.now()
        by = f"person:{person.id}"
        async with self._store.begin() as tx:
            before = await caps_in_force(tx.caps, tenant, sgc, danger)
            if not caps.looser_than(before):
                return await apply_caps(tx, tenant, sgc, danger, caps, by=by, now=now)
            ident = self._chance.ident(now)
            waiting = Approval(
                id=ident,
                tenant=tenant,
                subject=ApprovalSubject.CAPS,
                order_id=ident,
                danger=danger,
                sgc=sgc,
                caps=caps,
                requesters=frozenset({person.id}),
                reason=f"caps of {danger} are loosened",
                created_at=now,
                expires_at=now + self._approval_lasts,
            )
            await tx.approvals.add(waiting)
            await announce(tx, approval_news(waiting, now=now))
            about = {"danger": danger.value, "sgc": sgc or "", **_told(caps)}
            await tx.audit.append(
                Entry(
                    tenant=tenant,
                    at=now,
                    by=by,
                    action=AuditAction.APPROVAL_ASKED,
                    subject=ident,
                    result=waiting.reason,
                    about=about,
                )
            )
        raise ApprovalRequired(f"{waiting.reason}; another person must approve it", approval=ident)

    @lost_races_again
    async def change_hours(
        self, hours: OpeningHours, *, was: int | None, person: Person
    ) -> OpeningHours:
        """Write the opening hours of a group over the version `was`; raises Stale."""
        async with self._store.begin() as tx:
            await apply_hours(tx, hours, was=was, by=f"person:{person.id}")
        return hours

    @lost_races_again
    async def lift(self, tenant: TenantId, ident: str, *, person: Person, reason: str) -> Hold:
        """Lift a hold; failures before now count no more. Raises UnknownHold."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            hold = await tx.holds.find(tenant, ident)
            if hold is None:
                raise UnknownHold(f"no hold {ident}", field="id")
            if hold.lifted_at is not None:
                return hold
            lifted = replace(hold, lifted_at=now, lifted_by=person.id, lift_reason=reason)
            await tx.holds.lift(lifted)
            await announce(tx, hold_news(lifted, now=now))
            await tx.audit.append(
                Entry(
                    tenant=tenant,
                    at=now,
                    by=f"person:{person.id}",
                    action=AuditAction.LIFTED,
                    subject=ident,
                    result=reason,
                    about={"danger": hold.danger.value, "sgc": hold.sgc, "name": person.name},
                )
            )
        return lifted


async def apply_caps(
    tx: Transaction,
    tenant: TenantId,
    sgc: str | None,
    danger: Danger,
    caps: Caps,
    *,
    by: str,
    now: datetime,
) -> CapRule:
    """Put the caps of a kind in force; may raise Stale."""
    known = await tx.caps.find(tenant, sgc, danger)
    was = known.version if known is not None else None
    rule = CapRule(
        tenant=tenant,
        sgc=sgc,
        danger=danger,
        caps=caps,
        version=(was or 0) + 1,
        changed_by=by,
        changed_at=now,
    )
    await tx.caps.put(rule, was=was)
    await tx.audit.append(
        Entry(
            tenant=tenant,
            at=now,
            by=by,
            action=AuditAction.CAPS_CHANGED,
            subject=danger.value,
            about={"sgc": sgc or "", **_told(caps)},
        )
    )
    return rule


async def apply_hours(tx: Transaction, hours: OpeningHours, *, was: int | None, by: str) -> None:
    """Put opening hours in force; may raise Stale."""
    await tx.opening_hours.put(hours, was=was)
    told = {
        str(day): f"{begins:%H:%M}-{ends:%H:%M}"
        for day, (begins, ends) in sorted(hours.hours.items())
    }
    told["closed_on"] = " ".join(sorted(day.isoformat() for day in hours.closed_on))
    await tx.audit.append(
        Entry(
            tenant=hours.tenant,
            at=hours.changed_at,
            by=by,
            action=AuditAction.HOURS_CHANGED,
            subject=hours.sgc,
            about=told,
        )
    )


def _told(caps: Caps) -> dict[str, str]:
    return {
        "key": f"{caps.per_key_hour}/h {caps.per_key_day}/d",
        "group": f"{caps.per_group_hour}/h {caps.per_group_day}/d",
        "approve_always": str(caps.approve_always).lower(),
        "hold": f"{caps.hold_percent} % of {caps.hold_samples}",
    }
