"""The security module in software: for test keys and a utility's private ones, never for live keys.

Vending keys rest sealed in the database (`sealing`) and are unsealed for the moment of a
derivation; what stays in memory is a bounded number of decoder keys, made ready for use. A row that
is retired or changed in the database is honoured at the next token.
"""

from dataclasses import replace

from adapters.vault.contents import contents_of, encoded_amount, meter_test
from adapters.vault.decoder_keys import CACHED_DECODER_KEYS, DecoderKeys
from adapters.vault.expiry import require_alive
from adapters.vault.explanations import Held, explain, is_encrypted
from adapters.vault.key_changes import make_set, naming_side, require_new_alive, require_possible
from adapters.vault.key_types import require_sells
from adapters.vault.master_key import MasterKeys
from adapters.vault.sealing import unseal
from headend.meters import Meter, TenantId
from headend.ports import Clock
from headend.refusals import MalformedOrder, NoVendingKey
from headend.store import Store
from headend.tokens import (
    Issued,
    IssuedToken,
    KeyChangeOrder,
    ManagementOrder,
    TokenContents,
    TokenOrder,
    TokenPurpose,
    parse_digits,
)
from headend.vending_keys import KeyMark, SealedKey, VendingKey
from protocols.sts.sta import StaTables
from protocols.sts.token import encode


class SoftwareVault:
    """Satisfies `ports.SecurityModule`.

    `clock` judges the new key of a key change, which has no TID. `tables` is the table set of EA07;
    without one EA07 orders are refused, and the sample set of the printed standard serves test keys
    only. A token takes well under a millisecond, so the event loop makes it itself.
    """

    def __init__(
        self,
        store: Store,
        masters: MasterKeys,
        *,
        clock: Clock,
        tables: StaTables | None = None,
        cached: int = CACHED_DECODER_KEYS,
    ) -> None:
        self._store = store
        self._masters = masters
        self._clock = clock
        self._keys = DecoderKeys(masters, tables=tables, cached=cached)

    async def key(self, tenant: TenantId, sgc: str, krn: int) -> VendingKey:
        """Attributes of a key that opens; raises NoVendingKey, UnknownMasterKey, SealBroken."""
        row = await self._row(tenant, sgc, krn)
        unseal(row, self._masters)
        return row.key

    async def check(self, order: TokenOrder) -> VendingKey:
        """The key an order would be issued under; raises what `issue` would refuse of it."""
        row = await self._row(order.tenant, order.sts.sgc, order.sts.krn)
        self._keys.cipher(row, order.drn, order.sts)  # proves the row, and that EA and KT fit
        if _purpose(order) is TokenPurpose.CREDIT:
            require_sells(row.key)
        contents_of(replace(order, rnd=order.rnd or 0), order.tid or 0)
        return row.key

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        """One credit, management or test token for a meter.

        The digits follow from the order alone (TID and RND are in it), so a repeat gives the same.
        A test token (class 1) is clear text, the same for every meter: no key is asked for.
        """
        if (test := meter_test(order)) is not None:
            return test
        if order.tid is None:
            raise MalformedOrder("a credit or management token needs a TID", field="tid")
        row = await self._row(order.tenant, order.sts.sgc, order.sts.krn)
        cipher = self._keys.cipher(row, order.drn, order.sts)  # proves the row
        require_alive(row.key, order.tid)
        purpose = _purpose(order)
        if purpose is TokenPurpose.CREDIT:
            require_sells(row.key)
        contents = contents_of(order, order.tid)
        token = IssuedToken(encode(contents, cipher), order.tid, purpose, row.key.mark)
        return Issued((token,), encoded=encoded_amount(contents, order.content))

    async def change_key(self, order: KeyChangeOrder, *, message_id: str) -> Issued:
        """The whole set that brings a meter to another key, in the order of entry.

        The digits follow from the order and the two vending keys alone.
        """
        require_possible(order)
        present, to = order.present, order.to
        with naming_side("present"):
            old_row = await self._row(order.tenant, present.sgc, present.krn)
            old = self._keys.vending_key(old_row, present)
            cipher = self._keys.cipher(old_row, order.drn, present)
        with naming_side("to"):
            new_row = await self._row(order.tenant, to.sgc, to.krn)
            new = self._keys.vending_key(new_row, to)
        require_new_alive(new_row.key, self._clock.now())
        digits = make_set(order, old, new, cipher)
        mark = old_row.key.mark
        return Issued(
            tuple(IssuedToken(one, None, TokenPurpose.KEY_CHANGE, mark) for one in digits)
        )

    async def read(self, tenant: TenantId, meter: Meter, digits: str) -> TokenContents:
        """What 20 digits say to a meter under its present key; raises also MalformedToken."""
        plain = parse_digits(digits, field="token")
        if not is_encrypted(plain):
            return explain(plain, meter, None)
        row = await self._row(tenant, meter.sts.sgc, meter.sts.krn)
        cipher = self._keys.cipher(row, meter.drn, meter.sts)
        return explain(plain, meter, Held(row.key, cipher))

    async def _row(self, tenant: TenantId, sgc: str, krn: int) -> SealedKey:
        async with self._store.look() as tx:
            row = await tx.vending_keys.find(tenant, sgc, krn)
        if row is None:
            raise NoVendingKey(
                f"no vending key in use for supply group {sgc}, key revision {krn}; import or"
                " activate one",
                field="sgc",
            )
        if row.key.mark is KeyMark.LIVE:
            raise NoVendingKey(
                f"the key of supply group {sgc} is live; live keys belong in a security module",
                field="sgc",
            )
        return row


def _purpose(order: TokenOrder) -> TokenPurpose:
    if isinstance(order.content, ManagementOrder):
        return TokenPurpose.MANAGEMENT
    return TokenPurpose.CREDIT
