"""Receipts: where SMS gateways say what became of a message. Not for back-offices.

The answer is the same whether a message of this name is known, so that nobody learns names here.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.head_end import Desks
from api.problems import NotFound, Unauthenticated, UnreadableReceipt
from headend.messages import Receipt
from headend.receiving import take_receipt

router = APIRouter(tags=["receipts"])


@router.api_route("/receipts/{provider}", methods=["GET", "POST"], include_in_schema=False)
async def receive(
    provider: str,
    request: Request,
    desks: Desks,
    key: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """204 for what was written down or concerns nobody; a gateway repeats anything else."""
    book = desks.receipt_books.get(provider)
    if book is None:
        raise NotFound("no provider of this name brings receipts")
    if not book.admits(request.headers.get("authorization"), key):
        raise Unauthenticated("bring the secret of this provider's receipts")
    body = await request.body()
    kind = request.headers.get("content-type", "")
    read = book.read(body, kind, dict(request.query_params))
    if read is None:
        raise UnreadableReceipt("the name of the message or its state is not where it is set")
    reference, receipt = read
    if receipt is not Receipt.NONE:
        taking = take_receipt(
            desks.store, desks.clock, provider=provider, reference=reference, receipt=receipt
        )
        await desks.writes.finish(taking)
    return Response(status_code=204)
