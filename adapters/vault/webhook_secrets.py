"""Secrets of webhooks at rest: under the master key, each bound to its webhook."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from adapters.vault.master_key import MasterKeys, SealBroken, Sealed, UnknownMasterKey
from headend.store import Store
from headend.webhooks import SealedSecret, Webhook

PURPOSE = "headend webhook secret 1"


class SecretSeals:
    """Satisfies the seals of the core. The master keys are loaded when first needed."""

    def __init__(self, load: Callable[[], MasterKeys]) -> None:
        self._load = load
        self._masters: MasterKeys | None = None

    def seal(self, secret: bytes, *, bound_to: str) -> SealedSecret:
        """Raises MasterKeyUnusable."""
        sealed = self._keys().seal(secret, bound_to=_binding(bound_to))
        return SealedSecret(sealed.nonce, sealed.ciphertext, sealed.master_id)

    def unseal(self, sealed: SealedSecret, *, bound_to: str) -> bytes:
        """Raises MasterKeyUnusable, UnknownMasterKey, SealBroken."""
        plain = Sealed(sealed.nonce, sealed.ciphertext, sealed.master_id)
        return self._keys().unseal(plain, bound_to=_binding(bound_to))

    def renewed(self, sealed: SealedSecret, *, bound_to: str) -> SealedSecret:
        """The same secret under the newest master key."""
        if sealed.master_id == self._keys().newest_id:
            return sealed
        return self.seal(self.unseal(sealed, bound_to=bound_to), bound_to=bound_to)

    def _keys(self) -> MasterKeys:
        if self._masters is None:
            self._masters = self._load()
        return self._masters


def _binding(webhook_id: str) -> bytes:
    return f"{PURPOSE}\n{webhook_id}".encode()


async def renew_secrets(store: Store, seals: SecretSeals) -> Sequence[Webhook]:
    """Seal every secret under the newest master key; the webhooks whose secret does not open.

    Raises Stale when one was changed meanwhile: run it again.
    """
    async with store.look() as tx:
        webhooks = await tx.webhooks.all(None)
    unopened = []
    for webhook in webhooks:
        try:
            renewed = _renewed(webhook, seals)
        except (UnknownMasterKey, SealBroken):
            unopened.append(webhook)
            continue
        if renewed != webhook:
            async with store.begin() as tx:
                await tx.webhooks.save(renewed, was=webhook.version)
    return unopened


def _renewed(webhook: Webhook, seals: SecretSeals) -> Webhook:
    old = webhook.old_secret
    renewed = replace(
        webhook,
        secret=seals.renewed(webhook.secret, bound_to=webhook.id),
        old_secret=seals.renewed(old, bound_to=webhook.id) if old else None,
    )
    return renewed if renewed == webhook else replace(renewed, version=webhook.version + 1)
