"""Choosing when the digits go out, by what is known of the meter. Remote goes on in every case."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headend.announcing import recharge_news
from headend.answering import AnswerHistory
from headend.deliveries import Delivery
from headend.meters import Capability
from headend.outbox import announce
from headend.places import Place
from headend.recharges import Recharge
from headend.restoration import Choice, new_clock, sight_of
from headend.store import Transaction

# Silent windows in a row, the last of them not long ago: it is down now, whatever the hour.
SILENT_WINDOWS = 3
SILENT_LATELY = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Chosen:
    """When the digits go out, and why; `chance_percent` where enough is known of the meter."""

    choice: Choice
    chance_percent: int | None = None

    @property
    def at_once(self) -> bool:
        return self.choice in (Choice.RARELY_ANSWERS, Choice.SILENT)


def choose(
    delivery: Delivery, history: AnswerHistory | None, *, below_percent: int, now: datetime
) -> Chosen:
    """`below_percent`: a meter less likely to answer gets its digits at once; 0 never."""
    if not delivery.by_remote:
        return Chosen(Choice.ONLY_BY_HAND)
    known = history is not None and history.enough(now)
    percent = round(history.chance(now) * 100) if history is not None and known else None
    if delivery.next_hand_over() is None:
        return Chosen(Choice.NOBODY_TO_TELL, percent)
    if below_percent == 0 or history is None:
        return Chosen(Choice.USUAL, percent)
    if percent is not None and percent < below_percent:
        return Chosen(Choice.RARELY_ANSWERS, percent)
    lately = history.silent_at is not None and now - history.silent_at < SILENT_LATELY
    if lately and history.silent_run >= SILENT_WINDOWS:
        return Chosen(Choice.SILENT, percent)
    return Chosen(Choice.USUAL, percent)


async def open_recharge(
    tx: Transaction, recharge: Recharge, place: Place, *, now: datetime
) -> None:
    """Add a sale that was just opened, with its clock; one that replaces another was paid then."""
    await tx.recharges.add(recharge)
    await announce(tx, *recharge_news(None, recharge, now=now))
    paid_at = recharge.created_at
    if recharge.replaces is not None:
        first = await tx.restoration_clocks.find(recharge.tenant, recharge.replaces)
        paid_at = first.paid_at if first else paid_at
    await tx.restoration_clocks.add(new_clock(recharge, place.group, paid_at=paid_at))


async def choose_method(
    tx: Transaction, delivery: Delivery, place: Place, can: Capability, *, now: datetime
) -> Delivery:
    """The delivery with the time of its hand-over as chosen, and its clock told why."""
    history = await tx.answer_histories.find(delivery.tenant, delivery.drn)
    below = place.group.restoration.at_once_below_percent
    chosen = choose(delivery, history, below_percent=below, now=now)
    clock = await tx.restoration_clocks.find(delivery.tenant, delivery.recharge_id or "")
    if clock is not None:
        await tx.restoration_clocks.issued(
            replace(
                clock,
                sight=sight_of(can),
                choice=chosen.choice,
                chance_percent=chosen.chance_percent,
            )
        )
    return replace(delivery, fallback_at=now) if chosen.at_once else delivery
