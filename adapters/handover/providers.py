"""Providers: who carries messages of one kind, in order, and who is not worth asking just now.

One that fails again and again is asked last for a while, so that its time-outs delay nobody; when
nobody else is left it is asked all the same, for to try costs nothing then.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from adapters.handover.message import Message
from headend.errors import NotSent
from headend.usage_points import Contact

# A single failure may be the message's own; so many in a row are the provider's.
FAILURES = 3
HOLD_FIRST_S = 30.0
HOLD_MAX_S = 300.0


class ProviderDown(NotSent):
    """Nobody could be told through this provider now, whatever the message."""


class Messenger(Protocol):
    """Carries one message to one person."""

    async def send(self, message: Message, contact: Contact) -> str | None:
        """The provider's own name of the message, if it told one.

        Raises NotSent, whose text shows neither digits nor addresses nor passwords; ProviderDown
        when no message would have gone.
        """

    async def aclose(self) -> None:
        """Let go of what is held."""


@dataclass(slots=True)
class HoldOff:
    """How long a provider is asked last. Times are those of the event loop."""

    failures: int = 0
    until_s: float = 0.0
    probed: bool = False

    def ready(self, now_s: float) -> bool:
        """It works as far as we know; after a hold-off one message at a time finds out."""
        if self.failures < FAILURES:
            return True
        return now_s >= self.until_s and not self.probed

    def began(self) -> None:
        """A message goes to it."""
        self.probed = self.failures >= FAILURES

    def worked(self) -> None:
        self.failures, self.probed = 0, False

    def failed(self, now_s: float) -> None:
        """One failure more; each beyond FAILURES doubles the hold-off."""
        self.failures += 1
        self.probed = False
        beyond = min(max(0, self.failures - FAILURES), 16)
        self.until_s = now_s + min(HOLD_FIRST_S * 2.0**beyond, HOLD_MAX_S)

    def undecided(self) -> None:
        """The message's own fault, or we stopped waiting: nothing is known of the provider."""
        self.probed = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider by its name in the settings.

    `receipt_within_s`: it sends delivery receipts, and one that is missing after so long means
    that another provider is asked; None: it sends none.
    """

    name: str
    messenger: Messenger
    receipt_within_s: float | None = None
    hold: HoldOff = field(default_factory=HoldOff, compare=False)

    async def send(self, message: Message, contact: Contact) -> str | None:
        """Give it one message; raises NotSent. What comes of it counts for the next ones."""
        clock = asyncio.get_running_loop().time
        self.hold.began()
        try:
            reference = await self.messenger.send(message, contact)
        except ProviderDown:
            self.hold.failed(clock())
            raise
        except BaseException:
            self.hold.undecided()
            raise
        self.hold.worked()
        return reference


def in_turn(providers: Sequence[Provider], now_s: float) -> Sequence[Provider]:
    """Those that are ready in their order, then those on hold in theirs."""
    return sorted(providers, key=lambda provider: not provider.hold.ready(now_s))
