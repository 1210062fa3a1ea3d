"""Evidence in every store: the same said again is counted, and it is bounded for each delivery."""

from dataclasses import replace
from datetime import timedelta

from headend.evidence import KEPT, Evidence, EvidenceKind, Says
from headend.tokens import TokenOrigin, TokenResult
from tests.builders import NOW, OTHER_TENANT, TENANT, a_delivery


def a_word(delivery_id: str, **fields) -> Evidence:
    word = Evidence(
        tenant=TENANT,
        delivery_id=delivery_id,
        token_id="token-1",
        kind=EvidenceKind.TOKEN_LOG,
        says=Says.NOT_SEEN,
        asked_at=NOW,
        first_at=NOW,
        received_at=NOW,
    )
    return replace(word, **fields)


async def a_known_delivery(store):
    delivery = a_delivery()
    async with store.begin() as tx:
        await tx.deliveries.add(delivery)
    return delivery


async def test_evidence_is_kept_as_it_was_said(store):
    delivery = await a_known_delivery(store)
    word = a_word(
        delivery.id,
        says=Says.TAKEN,
        result=TokenResult.ACCEPT,
        origin=TokenOrigin.KEYPAD,
        told_at=NOW - timedelta(days=1),
        received_at=NOW + timedelta(seconds=1),
        detail="slot 3",
    )
    person = a_word(
        delivery.id, kind=EvidenceKind.PERSON, by="K. Otieno (key 1)", asked_at=None,
        token_id=None, first_at=NOW + timedelta(seconds=2),
    )  # fmt: skip
    async with store.begin() as tx:
        assert await tx.evidence.note(person)
        assert await tx.evidence.note(word)
    async with store.look() as tx:
        assert await tx.evidence.of(delivery.id, TENANT) == [word, person]
        assert await tx.evidence.of(delivery.id, OTHER_TENANT) == []


async def test_the_same_said_again_is_counted_and_not_repeated(store):
    delivery = await a_known_delivery(store)
    later = NOW + timedelta(minutes=1)
    async with store.begin() as tx:
        await tx.evidence.note(a_word(delivery.id))
    async with store.begin() as tx:
        await tx.evidence.note(
            a_word(delivery.id, asked_at=later, first_at=later, received_at=later)
        )
        await tx.evidence.note(a_word(delivery.id, stored=True))
    async with store.look() as tx:
        again, stored = await tx.evidence.of(delivery.id, TENANT)
    assert (again.times, again.first_at, again.asked_at) == (2, NOW, later)
    assert (stored.times, stored.stored) == (1, True)


async def test_evidence_of_one_delivery_is_bounded(store):
    delivery = await a_known_delivery(store)
    async with store.begin() as tx:
        for number in range(KEPT):
            assert await tx.evidence.note(a_word(delivery.id, by=f"person {number}"))
        assert not await tx.evidence.note(a_word(delivery.id, by="one too many"))
        assert await tx.evidence.note(a_word(delivery.id, by="person 0"))
    async with store.look() as tx:
        assert len(await tx.evidence.of(delivery.id, TENANT)) == KEPT
