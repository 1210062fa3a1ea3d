"""Orders of keys and engineering tokens: what the module is asked for, what is a repeat, and
whose digits may be shown.
"""

from collections.abc import Sequence

from headend.commands import TOKEN_COMMANDS, ChangeKey, Command, Manage
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.meters import Drn, Meter, StsConfiguration
from headend.refusals import NothingToAsk, OrderDiffers
from headend.store import Transaction
from headend.supply_groups import Reveal
from headend.tokens import KeyChangeOrder, ManagementOrder, Token, TokenOrder, TokenState


def asked(meter: Meter, order: ManagementOrder) -> TokenOrder:
    """What the module is asked for, before a TID is drawn."""
    return TokenOrder(
        tenant=meter.tenant,
        drn=meter.drn,
        service=meter.service,
        sts=meter.sts,
        content=order,
        tid=None,
        rnd=None,
    )


def message_id(meter: Meter, ident: str, content: ManagementOrder | KeyChangeOrder) -> str:
    """No recharge of this id has it, and it is another when the meter's key was changed meanwhile,
    for another meter, or for another order.

    The module gives the same digits for the same message id: it must never give those of an order
    whose answer was lost to a different one that came later under the same id.
    """
    held = meter.sts
    key = f"{held.sgc}.{held.krn}.{held.tariff_index}.{held.key_type}.{held.ea}"
    return f"{meter.tenant}/{ident}/{key}/{meter.drn}/{_in_short(content)}"


def _in_short(content: ManagementOrder | KeyChangeOrder) -> str:
    if isinstance(content, ManagementOrder):
        return f"{content.kind.value}.{content.value}.{content.index}"
    to = content.to
    return f"{to.sgc}.{to.krn}.{to.tariff_index}.{to.key_type}.{to.ea}.{content.three_kct}"


def same_order(known: Delivery, drn: Drn, command: Command) -> Delivery:
    """A repeat is an answer, a contradiction names its field."""
    if known.drn != drn:
        raise OrderDiffers(known.id, "meter")
    if known.command != command:
        raise OrderDiffers(known.id, "order")
    return known


def same_management(known: Delivery, drn: Drn, order: ManagementOrder) -> Delivery:
    """The same order again is the same, also when the meter's key was changed meanwhile."""
    sts = known.command.sts if isinstance(known.command, Manage) else None
    return same_order(known, drn, Manage(order, sts))


def same_change(known: Delivery, drn: Drn, to: StsConfiguration) -> Delivery:
    present = known.command.present if isinstance(known.command, ChangeKey) else to
    return same_order(known, drn, ChangeKey(present=present, to=to))


def require_askable(delivery: Delivery, tokens: Sequence[Token]) -> None:
    """A supply order is worthless after its time, and dead digits must never live again.

    Raises NothingToAsk.
    """
    if not isinstance(delivery.command, TOKEN_COMMANDS):
        raise NothingToAsk("only tokens are asked about; order anew", field="id")
    if any(token.state is TokenState.DEAD for token in tokens):
        raise NothingToAsk("its tokens are dead: reversed, replaced or withdrawn", field="id")


_NEVER_SHOWN = frozenset({DeliveryState.FAILED, DeliveryState.CANCELLED})


async def may_show(tx: Transaction, delivery: Delivery) -> bool:
    """By hand only: with remote as well, two halves of one set could meet in the meter."""
    if not isinstance(delivery.command, Manage | ChangeKey) or delivery.state in _NEVER_SHOWN:
        return False
    if delivery.stopped_by is Fact.WITHDRAWN:
        return False
    if DeliveryMethod.REMOTE in delivery.methods and delivery.handed_at is None:
        return False
    meter = await tx.meters.find(delivery.tenant, delivery.drn)
    if meter is None:
        return False
    group = await tx.supply_groups.find(delivery.tenant, meter.sts.sgc)
    return group is None or group.reveal is not Reveal.NEVER
