"""When the money may go back: only for digits that are in no meter and can never be."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headend.deliveries import Delivery, DeliveryMethod, DeliveryState
from headend.evidence import Evidence, EvidenceKind, Says
from headend.tokens import Token, TokenResult
from headend.worklist import QUIET, Way, Work, proved_unused
from tests.builders import a_delivery, a_key_change, a_token

DOUBTED = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ASKED = DOUBTED + QUIET + timedelta(seconds=1)
NOW = ASKED + timedelta(minutes=1)


def doubtful(**changes: object) -> Delivery:
    delivery = a_delivery(state=DeliveryState.UNRESOLVED, maybe_taken=True, doubted_at=DOUBTED)
    return replace(delivery, created_at=DOUBTED - timedelta(minutes=1), **changes)  # type: ignore[arg-type] # tests name the fields


def evidence(token: Token, kind: EvidenceKind, says: Says, **fields: object) -> Evidence:
    plain = Evidence(
        tenant=token.tenant,
        delivery_id=token.delivery_id,
        token_id=token.id,
        kind=kind,
        says=says,
        asked_at=ASKED,
        first_at=ASKED,
        received_at=ASKED,
    )
    return replace(plain, **fields)  # type: ignore[arg-type] # tests name the fields


def proved(delivery: Delivery, *known: tuple[EvidenceKind, Says], old: bool = False) -> bool:
    token = a_token(delivery_id=delivery.id)
    about = [evidence(token, kind, says) for kind, says in known]
    if old:
        result = TokenResult.OLD_ERROR
        about.append(evidence(token, EvidenceKind.ECHO, Says.REFUSED, result=result))
        token = replace(token, result=result)
    work = Work(delivery=delivery, recharge=None, tokens=[token], evidence=about)
    return proved_unused(work, now=NOW)


LOG = (EvidenceKind.TOKEN_LOG, Says.NOT_SEEN)
REGISTER = (EvidenceKind.CREDIT_REGISTER, Says.NOT_SEEN)


@pytest.mark.parametrize("in_hands", [{"revealed": True}, {"handed_at": DOUBTED}])
def test_too_old_alone_is_no_proof_for_a_used_token_is_forgotten_too(in_hands):
    for where in (doubtful(), doubtful(**in_hands)):
        assert not proved(where, old=True)
    assert not proved(doubtful(**in_hands), LOG, old=True), "the log is short, too"


@pytest.mark.parametrize("in_hands", [{}, {"revealed": True}, {"handed_at": DOUBTED}])
def test_too_old_and_not_in_the_registers_is_proof(in_hands):
    assert proved(doubtful(**in_hands), REGISTER, old=True)


def test_nobody_has_the_digits_and_the_log_does_not_know_them():
    assert proved(doubtful(), LOG)
    assert proved(doubtful(), LOG, old=True)
    assert not proved(doubtful(revealed=True), LOG)
    assert not proved(doubtful(), REGISTER)


def test_what_was_taken_is_never_unused():
    taken = (EvidenceKind.CREDIT_REGISTER, Says.TAKEN)
    assert not proved(doubtful(), LOG, taken, old=True)


def test_credit_in_the_registers_is_never_unused_whatever_the_log_has_forgotten():
    assert not proved(doubtful(), LOG, (EvidenceKind.CREDIT_REGISTER, Says.TAKEN))


@pytest.mark.parametrize(
    ("method", "ways"),
    [
        (DeliveryMethod.REMOTE, [Way.ASK_AGAIN, Way.CONFIRM_CHANGE, Way.WITHDRAW_CHANGE]),
        (DeliveryMethod.MANUAL, [Way.CONFIRM_CHANGE, Way.WITHDRAW_CHANGE]),
    ],
)
def test_a_key_change_is_asked_about_where_a_bus_can_confirmed_or_withdrawn(method, ways):
    change = doubtful(command=a_key_change(), methods=frozenset({method}))
    work = Work(delivery=change, recharge=None, tokens=[], evidence=[])
    assert list(work.ways(NOW)) == ways
