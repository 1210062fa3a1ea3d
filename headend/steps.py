"""Steps: what to do next with a delivery; decided here, done by whoever hands over or sends."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from headend.deliveries import Delivery, DeliveryMethod, DeliveryState


@dataclass(frozen=True, slots=True)
class Send:
    """Send it by remote, now."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give it to a person, now."""

    method: DeliveryMethod


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Expire:
    """The deadline has passed."""


Step: TypeAlias = Send | HandOver | Wait | Expire


def plan(delivery: Delivery, *, now: datetime) -> Step:
    """Say what to do next; do nothing. The worker acts, `after` records."""
    if now >= delivery.deadline:
        return Expire()
    hand = delivery.next_hand_over()
    if hand is not None and now >= delivery.hand_over_at:
        return HandOver(hand)
    sending = delivery.state is DeliveryState.SENDING
    if delivery.by_remote and not sending and now >= delivery.not_before:
        return Send()
    return Wait(delivery.next_moment)
