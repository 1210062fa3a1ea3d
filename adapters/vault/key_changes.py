"""Which key changes may be made, and what the set of tokens then carries (IEC 62055-41, 6.2.8).

Only the new key is judged by the clock: an expired old key may still encrypt the way out. Refusals
name the side, `present.` or `to.`, before the field.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from adapters.vault.contents import pan_of
from adapters.vault.expiry import require_alive_at
from headend.refusals import MalformedOrder, OrderRefused
from headend.tokens import KeyChangeOrder
from headend.vending_keys import VendingKey
from protocols.sts.cipher import BlockCipher
from protocols.sts.errors import StsError
from protocols.sts.keychange import KeyChange
from protocols.sts.keys import VendingKey as StsVendingKey
from protocols.sts.tables import EncryptionAlgorithm
from protocols.sts.token import encode_key_change


@contextmanager
def naming_side(side: str) -> Iterator[None]:
    """Refusals from within are about this side of a key change."""
    try:
        yield
    except OrderRefused as refused:
        if refused.field is not None:
            refused.field = f"{side}.{refused.field}"
        raise


def require_possible(order: KeyChangeOrder) -> None:
    """Refuse what no keys could make into a set; raises OrderRefused."""
    pan_of(order.drn)
    if order.present.ea != order.to.ea:
        raise MalformedOrder(
            f"tokens cannot change a meter from EA{order.present.ea:02d} to EA{order.to.ea:02d};"
            " the algorithm is the meter's own",
            field="to.ea",
        )
    if order.three_kct and order.to.ea != EncryptionAlgorithm.STA:
        raise MalformedOrder(
            "only a set for EA07 may have three tokens; one for EA11 always has four",
            field="three_kct",
        )


def require_new_alive(key: VendingKey, now: datetime) -> None:
    """Raise NoVendingKey or KeyExpired unless meters may be changed to a key now."""
    with naming_side("to"):
        require_alive_at(key, now)


def make_set(
    order: KeyChangeOrder, old: StsVendingKey, new: StsVendingKey, cipher: BlockCipher
) -> tuple[str, ...]:
    """The digits of the whole set in the order of entry, under the key that the meter holds.

    EA11 gives four tokens; EA07 two, or three with `three_kct`. Raises OrderRefused where the key
    types forbid the change or the new key does not fit the meter.
    """
    try:
        change = KeyChange.between(
            old,
            new,
            pan_of(order.drn),
            tariff_index=order.to.tariff_index,
            algorithm=EncryptionAlgorithm(order.to.ea),
        )
        return encode_key_change(change, cipher, three_kct=order.three_kct)
    except StsError as exc:
        raise OrderRefused(exc.problem, field=f"to.{exc.field}") from None
