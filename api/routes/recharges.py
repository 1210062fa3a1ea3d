"""Recharges: the sale of credit, and the truth of what became of it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from api.auth import Reader, Seller, require_scopes
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.problems import ModuleUnreachable
from api.routes.deliveries import Reveals
from api.routes.forms import (
    NO_CONTROLS,
    IdentPath,
    Moment,
    PagesAsked,
    PageTold,
)
from api.routes.recharge_answer import RechargeListed, RechargeTold
from api.routes.recharge_body import RechargeAsked, ReplacementAsked, ReversalAsked
from api.showing import note_shown
from api.stories import recharge_story
from headend import refusals
from headend.api_keys import ApiKey, Scope
from headend.meters import parse_drn
from headend.receiving import ask_again
from headend.recharges import RechargeState
from headend.store import RechargeFilter
from headend.supply_groups import Reveal

router = APIRouter(prefix="/v1", tags=["recharges"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=NO_CONTROLS,
        description="Your id of the request, where the body brings none. Kept like the sale.",
    ),
]


@router.post(
    "/recharges",
    summary="Sell credit",
    status_code=201,
    responses=explained(
        refusals.IdRequired,
        refusals.UnknownMeter,
        refusals.MalformedMeterNumber,
        refusals.WrongCheckDigit,
        refusals.AmountOrTokens,
        refusals.MalformedAmount,
        refusals.AmountNotPositive,
        refusals.AmountTooLarge,
        refusals.AmountAboveLimit,
        refusals.WrongUnit,
        refusals.MalformedToken,
        refusals.TooManyTokens,
        refusals.NoDeliveryMethod,
        refusals.MeterNotInService,
        refusals.TokenKnown,
        refusals.NoVendingKey,
        refusals.KeyExpired,
        refusals.KeyChangeUnconfirmed,
        refusals.RechargeDiffers,
        refusals.OrderRefused,
        ModuleUnreachable,
        body=True,
        also={200: {"model": RechargeTold, "description": "Known: the same sale"}},
    ),
)
async def create_recharge(
    body: RechargeAsked,
    caller: Seller,
    desks: Desks,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RechargeTold:
    """The answer is immediate; what becomes of the token is told by the recharge's resource.

    The same id (or Idempotency-Key) with the same content is the same recharge: 200. Digits are in
    the answer when the key has the scope `reveal` and the sales point shows them `at_once`.
    """
    order = body.order(caller.tenant, _unquoted(idempotency_key))
    may = Scope.REVEAL in caller.scopes
    recharge, new = await desks.writes.finish(desks.recharges.recharge(order, may_reveal=may))
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/recharges/{recharge.id}"
    at_once = may and recharge.reveal is Reveal.AT_ONCE
    return await _told(desks, caller, recharge.id, reveal=at_once)


@router.get(
    "/recharges/{id}", summary="One recharge", responses=explained(refusals.UnknownRecharge)
)
async def read_recharge(
    id: IdentPath, caller: Reader, desks: Desks, reveal: Reveals = False
) -> RechargeTold:
    """What became of a sale. A token's `digits` are null unless asked for and shown by policy."""
    if reveal:
        require_scopes(caller, Scope.REVEAL)
    return await _told(desks, caller, id, reveal=reveal)


def recharges_asked(
    meter: Annotated[str | None, Query(max_length=32)] = None,
    state: RechargeState | None = None,
    reference: Annotated[str | None, Query(max_length=200, pattern=NO_CONTROLS)] = None,
    since: Annotated[Moment | None, Query(description="Created at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Created before.")] = None,
) -> RechargeFilter:
    drn = parse_drn(meter) if meter is not None else None
    return RechargeFilter(drn=drn, state=state, reference=reference, since=since, until=until)


@router.get(
    "/recharges",
    summary="Recharges, newest first",
    responses=explained(
        refusals.MalformedMeterNumber, refusals.WrongCheckDigit, refusals.MalformedOrder
    ),
)
async def list_recharges(
    caller: Reader,
    desks: Desks,
    where: Annotated[RechargeFilter, Depends(recharges_asked)],
    paging: PagesAsked,
) -> PageTold[RechargeListed]:
    async with desks.store.look() as tx:
        page = await tx.recharges.page(caller.tenant, paging.cursor, where)
    items = [RechargeListed.of(recharge) for recharge in page.items]
    return paging.told(page, items)


@router.post(
    "/recharges/{id}/reversal",
    summary="Undo a sale whose digits were never out",
    responses=explained(refusals.UnknownRecharge, refusals.CreditNoteRequired, body=True),
)
async def reverse_recharge(
    id: IdentPath, body: ReversalAsked, caller: Seller, desks: Desks
) -> RechargeTold:
    """Refused with `credit-note-required` once the digits may be at work: `reason` tells why."""
    await desks.writes.finish(desks.recharges.reverse(caller.tenant, id, reason=body.reason))
    return await _told(desks, caller, id, reveal=False)


@router.post(
    "/recharges/{id}/handover",
    summary="Give the digits once more",
    responses=explained(refusals.UnknownRecharge, refusals.NothingToGive, refusals.TooOften),
)
async def hand_over_again(id: IdentPath, caller: Seller, desks: Desks) -> RechargeTold:
    """For a customer whom no message reached, whatever its receipt says; remote goes on."""
    await desks.writes.finish(ask_again(desks.store, desks.clock, caller.tenant, id))
    return await _told(desks, caller, id, reveal=False)


@router.post(
    "/recharges/{id}/replacement",
    summary="Sell again what died with the meter's old key",
    status_code=201,
    responses=explained(
        refusals.UnknownRecharge,
        refusals.NotReplaceable,
        refusals.NoDeliveryMethod,
        refusals.RechargeDiffers,
        refusals.UnknownMeter,
        refusals.MeterNotInService,
        refusals.NoVendingKey,
        refusals.KeyExpired,
        refusals.KeyChangeUnconfirmed,
        refusals.WrongUnit,
        refusals.OrderRefused,
        ModuleUnreachable,
        body=True,
        also={200: {"model": RechargeTold, "description": "Known: the same replacement"}},
    ),
)
async def replace_recharge(
    id: IdentPath, body: ReplacementAsked, caller: Seller, desks: Desks, response: Response
) -> RechargeTold:
    """Only where the meter has proved a later key and neither its log nor its register knows the
    old token; refused with `not-replaceable` otherwise. The answer is the new recharge.
    """
    before = await recharge_story(desks.store, caller.tenant, id)
    replacing = desks.recharges.replace(caller.tenant, id, new_id=body.id)
    replacement = await desks.writes.finish(replacing)
    response.status_code = 200 if before.recharge.replaced_by == replacement.id else 201
    response.headers["Location"] = f"/v1/recharges/{replacement.id}"
    return await _told(desks, caller, replacement.id, reveal=False)


async def _told(desks: HeadEnd, caller: ApiKey, id: str, *, reveal: bool) -> RechargeTold:
    tenant = caller.tenant
    shown = bool(reveal and await desks.writes.finish(desks.recharges.reveal(tenant, id)))
    if shown:
        await desks.writes.finish(note_shown(desks.store, caller, id, now=desks.clock.now()))
    story = await recharge_story(desks.store, tenant, id)
    return RechargeTold.of_story(story, now=desks.clock.now(), shown=shown)


def _unquoted(key: str | None) -> str | None:
    """The header is a quoted string by its draft, and sent bare by most."""
    if key is not None and len(key) > 2 and key[0] == key[-1] == '"':
        return key[1:-1]
    return key
