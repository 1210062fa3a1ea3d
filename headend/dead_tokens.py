"""What proves that a token died with the key of its meter, and credited nothing before.

The meter has proved its new key and was asked for the token since. If its digits were ever out, its
token log (where it has one) did not hold it, and its credit register (where it has one) shows that
nothing but other sales came in. What was not read proves nothing.
"""

from collections.abc import Mapping

from headend.attempts import Attempt
from headend.commands import ChangeKey, Manage
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.meters import Capability
from headend.pages import Cursor
from headend.quantities import Units
from headend.readings import Reading, ReadingType
from headend.recharges import Recharge
from headend.refusals import NotReplaceable
from headend.registers import TOLERANCE_MILLI, credited_milli
from headend.store import RechargeFilter, Transaction
from headend.tokens import ManagementKind, TokenResult, TokenState

_DONE = frozenset({DeliveryState.DONE})
# The meter's own word, token by token; others may be of another token.
_SURE = frozenset({Confirmation.ECHO, Confirmation.TOKEN_LOG})
# More sales than this between two readings are not added up.
SALES_BETWEEN = 100
_LOG = Capability.TOKEN_OUTCOME
_REGISTER = Capability.CREDIT_REGISTER


async def require_dead(
    tx: Transaction, recharge: Recharge, delivery: Delivery, can: Capability
) -> None:
    """Raises NotReplaceable, which says what is missing; `can` is what the meter offers."""
    change = await _proved_change(tx, recharge)
    asked = await _asked_since(tx, delivery, change)
    if not delivery.out:
        return  # nobody ever had its digits
    by_register = _REGISTER in can and isinstance(recharge.encoded, Units)
    if not by_register and _LOG not in can:
        raise _unproved("this model offers neither a token log nor a register that could tell")
    if _LOG in can and not asked.log_absent:
        raise _unproved(
            "the meter's token log was not read when it was last asked, or knows a token of this"
            " TID; have the meter asked again (inquiry)"
        )
    if by_register:
        await _require_nothing_gained(tx, recharge, change)


def _unproved(text: str) -> NotReplaceable:
    return NotReplaceable(text, field="id")


async def _proved_change(tx: Transaction, recharge: Recharge) -> Delivery:
    """The first key change after the sale, from the key it was made under, that was read back."""
    changes = await tx.deliveries.newest_of(recharge.tenant, recharge.drn, ChangeKey, states=_DONE)
    for change in reversed(changes):
        proved = change.confirmed_by is Confirmation.READ_BACK
        later = change.confirmed_at is not None and change.confirmed_at > recharge.created_at
        match change.command:
            case ChangeKey(present=present) if proved and later and present == recharge.sts:
                return change
    raise _unproved("no key change after this sale was proved by the meter")


async def _asked_since(tx: Transaction, delivery: Delivery, change: Delivery) -> Attempt:
    """The last try by remote, if the meter said in it that the token is of another key."""
    attempts = await tx.attempts.of(delivery.id, delivery.tenant)
    remote = [one for one in attempts if one.method is DeliveryMethod.REMOTE]
    assert change.confirmed_at is not None
    if not remote or remote[-1].started_at < change.confirmed_at:
        raise _unproved(
            "the meter has not been asked for the old token since its key was changed;"
            " have it asked (inquiry)"
        )
    last = remote[-1]
    # Under the new key the old digits can only be CRC errors.
    refused = last.outcome is Fact.REFUSED and last.result is TokenResult.CRC_ERROR
    if not refused and last.outcome is not Fact.KEY_MISMATCH:
        raise _unproved(
            f"asked last, the meter did not say that the token is of another key: {last.outcome}"
        )
    return last


async def _require_nothing_gained(tx: Transaction, recharge: Recharge, change: Delivery) -> None:
    before = await tx.readings.latest(recharge.tenant, recharge.drn, before=recharge.created_at)
    after = await tx.readings.latest(recharge.tenant, recharge.drn)
    kind = ReadingType.CREDIT_LEFT_MILLI
    if kind not in before:
        raise _unproved("there is no reading of the credit register from before the sale")
    assert change.confirmed_at is not None
    if after[kind].taken_at < change.confirmed_at:
        raise _unproved("the credit register was not read since the key was changed; read it")
    credited = credited_milli(before, after)
    if credited is None:
        raise _unproved("without a register of what was consumed the credit register tells nothing")
    await _require_nothing_cleared(tx, recharge, before[kind])
    others = await _taken_otherwise(tx, recharge, before, after)
    if abs(credited - others) > TOLERANCE_MILLI:
        raise _unproved(
            f"between its readings the meter was credited {credited / 1000:g}, of which other"
            f" sales explain {others / 1000:g}: it may have taken this token"
        )


async def _require_nothing_cleared(tx: Transaction, recharge: Recharge, before: Reading) -> None:
    """Credit that was cleared meanwhile would hide credit that came in."""
    orders = await tx.deliveries.newest_of(recharge.tenant, recharge.drn, Manage, states=_DONE)
    for order in orders:
        match order.command:
            case Manage(wanted, _) if wanted.kind is ManagementKind.CLEAR_CREDIT:
                if order.confirmed_at is None or order.confirmed_at >= before.taken_at:
                    raise _unproved(
                        "credit was cleared since the sale, so the register is no proof"
                    )


async def _taken_otherwise(
    tx: Transaction,
    recharge: Recharge,
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
) -> int:
    """What the meter itself confirmed of other sales between the readings, in thousandths."""
    kind = ReadingType.CREDIT_LEFT_MILLI
    where = RechargeFilter(drn=recharge.drn, since=before[kind].taken_at)
    page = await tx.recharges.page(recharge.tenant, Cursor(limit=SALES_BETWEEN), where)
    if page.next is not None:
        raise _unproved("too many sales lie between the readings to be told apart")
    total = 0
    for other in page.items:
        if other.id != recharge.id and await _surely_taken(tx, other, until=after[kind]):
            assert isinstance(other.taken, Units)
            total += int(other.taken.value * 1000)
    return total


async def _surely_taken(tx: Transaction, other: Recharge, *, until: Reading) -> bool:
    delivery = await tx.deliveries.of(other.id, other.tenant)
    if delivery is None or delivery.confirmed_by not in _SURE or not isinstance(other.taken, Units):
        return False
    tokens = await tx.tokens.of(delivery.id, delivery.tenant)
    return all(
        token.state is TokenState.TAKEN
        and token.taken_at is not None
        and token.taken_at <= until.taken_at
        for token in tokens
    )
