"""What must hold, whatever happened: judged at each commit, and once more when all is quiet.

What the head-end says is held against the ledgers of the meters, which it cannot see.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from headend.commands import ChangeKey, EnterToken
from headend.deliveries import OPEN_STATES, Confirmation, Delivery, DeliveryMethod, DeliveryState
from headend.meters import Drn
from headend.recharges import Recharge, RechargeState
from headend.tokens import Token, TokenPurpose
from tests.city.database import Change, Database
from tests.city.lives import Life
from tests.city.meters import CityMeter
from tests.city.office import Sale
from tests.city.people import People
from tests.city.site import HostClock, Kind, Site, seconds

UNDONE = frozenset({DeliveryState.FAILED, DeliveryState.CANCELLED})
GIVEN_BACK = frozenset({RechargeState.REVERSED, RechargeState.FAILED})
# A supply is dated when it was asked for, or when it came; a conversation lies between.
SEEN_S = 62.0
# From the fall-back on: a look every second, a message of a second or two, several at once.
PROMPTLY_S = 20.0
# After an outage, or where a commit may be lost: a claim of 90 s that lapses, and a pause of 300 s
# between two tries.
AFTER_OUTAGE_S = 420.0
COMMITS = frozenset({Kind.COMMIT_LOST, Kind.COMMIT_FAILED})
# Somebody looks every second.
LAPSED = timedelta(seconds=30)
# What was planned by a clock that is so far ahead is not expected soon.
WRONG_CLOCK_S = 120.0


class Judge:
    """Judges one run. `open` are the deliveries and recharges that are not at their end.

    `doubtful` counts what is said to be in a meter, and is not, on the word "used" alone: the
    head-end names that confirmation as what it is, where neither log nor registers could tell.
    """

    def __init__(
        self, site: Site, people: People, clock: HostClock, sales: Mapping[str, Sale]
    ) -> None:
        self.open: set[tuple[str, Any]] = set()
        self.last_tid: dict[Drn, int] = {}
        self.database: Database | None = None
        self.doubtful = 0
        self._site = site
        self._people = people
        self._clock = clock
        self._sales = sales
        self._tids: dict[tuple[Drn, int], str] = {}
        self._stopped_s: dict[str, float] = {}
        self._health: list[tuple[float, bool]] = [(0.0, False)]

    # --- at each commit ------------------------------------------------------------------------

    def committed(self, life: Life, changes: Sequence[Change]) -> None:
        """Something was written."""
        for table, _, before, after in changes:
            match before, after:
                case _, Token():
                    self._token(before, after)
                case _, Delivery():
                    self._delivery(life, before, after)
                case _, Recharge():
                    self._recharge(life, before, after)
                case _:
                    assert table == "outbox" or after is None, table

    def _token(self, before: Token | None, after: Token) -> None:
        if before is not None or after.tid is None:
            return
        self._draw(after.drn, after.tid, after.delivery_id)

    def _draw(self, drn: Drn, tid: int, owner: str) -> None:
        known = self._tids.setdefault((drn, tid), owner)
        if known != owner:
            self._site.violated(
                "a TID is given once", drn, f"tid {tid}: {known} and {owner}", since_s=self._now_s
            )
        self.last_tid[drn] = tid

    def _delivery(self, life: Life, before: Delivery | None, after: Delivery) -> None:
        state = None if before is None else before.state
        unfinished = after.state in OPEN_STATES and isinstance(after.command, EnterToken)
        self._note("delivery", (after.tenant, after.id), open=unfinished)
        if state is after.state:
            return
        name = after.recharge_id or after.id
        by = f" by {after.confirmed_by}" if after.confirmed_by else ""
        why = f" after {after.stopped_by}" if after.stopped_by else ""
        self._site.trace.tell(after.drn, f"{name}: {state} -> {after.state}{by}{why} ({life.name})")
        if after.state not in OPEN_STATES:
            self._stopped_s.setdefault(name, self._now_s)
        match after.command:
            case EnterToken() if after.state is DeliveryState.DONE:
                self._require_taken(after, name)
            case EnterToken() if after.state in UNDONE:
                self._require_not_taken(after, name)
            case ChangeKey(to=to) if after.state is DeliveryState.DONE:
                held = self._site.meters[after.drn].decoder.krn
                if held != to.krn:
                    self._lie(after.drn, f"{name}: key change done, the meter holds KRN {held}")

    def _require_taken(self, delivery: Delivery, name: str) -> None:
        taken = self._site.meters[delivery.drn].taken
        for token in self._tokens(delivery):
            if token.digits not in taken:
                by = delivery.confirmed_by
                if by is Confirmation.USED:
                    self.doubtful += 1
                    continue
                self._lie(delivery.drn, f"{name} is done by {by}, ...{token.digits[-4:]} is not in")

    def _require_not_taken(self, delivery: Delivery, name: str) -> None:
        taken = self._site.meters[delivery.drn].taken
        for token in self._tokens(delivery):
            if token.digits in taken:
                self._lie(delivery.drn, f"{name} is {delivery.state}, its token is in the meter")

    def _recharge(self, life: Life, before: Recharge | None, after: Recharge) -> None:
        state = None if before is None else before.state
        if after.tid is not None and (before is None or before.tid != after.tid):
            self._redraw(after)
        unsettled = after.state in (RechargeState.OPEN, RechargeState.ISSUED)
        self._note("recharge", (after.tenant, after.id), open=unsettled)
        if state is after.state:
            return
        self._site.trace.tell(
            after.drn,
            f"{after.id}: recharge {state} -> {after.state} tid {after.tid} ({life.name})",
        )
        if after.state is RechargeState.LIT:
            self._require_lit(after)

    def _redraw(self, recharge: Recharge) -> None:
        """A TID drawn for a sale; its token will have the delivery's name."""
        assert recharge.tid is not None
        if recharge.tid <= self.last_tid.get(recharge.drn, 0):
            self._site.violated(
                "a TID is given once",
                recharge.drn,
                f"{recharge.id} draws tid {recharge.tid} after {self.last_tid[recharge.drn]}",
                since_s=self._now_s,
            )
        self.last_tid[recharge.drn] = recharge.tid

    def _require_lit(self, recharge: Recharge) -> None:
        meter, seen_at = self._site.meters[recharge.drn], recharge.supply_at
        span = timedelta(seconds=SEEN_S)
        moments = [] if seen_at is None else list(self._clock.meant(seen_at))
        if not any(meter.was_closed(at - span, at + span) for at in moments):
            self._lie(recharge.drn, f"{recharge.id} is lit, its relay was open at {seen_at}")

    def _note(self, kind: str, key: Any, *, open: bool) -> None:
        (self.open.add if open else self.open.discard)((kind, key))

    def _lie(self, drn: str, detail: str) -> None:
        self._site.violated("no state lies", drn, detail, since_s=max(0.0, self._now_s - 120))

    def _tokens(self, delivery: Delivery) -> Iterator[Token]:
        assert self.database is not None
        tokens = self.database.tables["tokens"]
        for _, ident in tokens.group("delivery", (delivery.tenant, delivery.id)):
            yield tokens.rows[ident]

    @property
    def _now_s(self) -> float:
        return self._site.loop.time()

    # --- when all is quiet ---------------------------------------------------------------------

    def health(self, well: bool) -> None:
        """Whether process, database and provider are there from now on; a jump of the clock counts
        as a moment of illness.
        """
        self._health += [(self._now_s, False), (self._now_s, well)]

    def judge(self) -> None:
        """Once more, with everything that was ever said."""
        assert self.database is not None
        for sale in self._sales.values():
            self._judge_sale(sale, self.database)
        for meter in self._site.meters.values():
            self._judge_meter(meter, self.database)
        for delivery in self.database.tables["deliveries"].rows.values():
            self._judge_end(delivery)

    def _judge_sale(self, sale: Sale, database: Database) -> None:
        recharge = database.tables["recharges"].rows.get(("town", sale.ident))
        if recharge is None:
            if sale.answered_s is not None:
                self._about(sale, "no payment without its token", "it is not known any more")
            return
        delivery = self._delivery_of(recharge, database)
        if delivery is None:
            waits = self._key_changes(sale.drn, database) or self._misled
            if recharge.state is not RechargeState.REVERSED and not waits:
                self._about(sale, "no payment without its token", f"it is still {recharge.state}")
            return
        taken = self._site.meters[sale.drn].taken
        inside = [one for one in self._tokens(delivery) if one.digits in taken]
        if inside and (sale.returned or recharge.state in GIVEN_BACK):
            self._about(sale, "no state lies", f"it is {recharge.state}, and in the meter")
        proved = delivery.confirmed_by is not Confirmation.USED
        if delivery.state is DeliveryState.DONE and not inside and proved:
            self._about(sale, "no state lies", "it is done, and not in the meter")
        if sale.answered_s is not None:
            self._judge_bound(sale, delivery, inside)

    def _judge_bound(self, sale: Sale, delivery: Delivery, inside: Sequence[Token]) -> None:
        """Digits in hand, or credit in the meter, soon after the fall-back time."""
        if DeliveryMethod.MANUAL not in delivery.methods or delivery.fallback_at is None:
            return
        if self._misled:
            return
        taken = self._site.meters[sale.drn].taken
        held = [self._people.held_at.get(one.digits) for one in self._tokens(delivery)]
        done_s = [seconds(taken[one.digits].when) for one in inside]
        stopped_s = [self._stopped_s[sale.ident]] if sale.ident in self._stopped_s else []
        ends = [one for one in (*held, *done_s, *stopped_s) if one is not None]
        end_s = min(ends, default=float("inf"))
        issued_s = sale.answered_s or 0.0
        for start_s, until_s in self._well():
            due_s = self._due(delivery, max(start_s, issued_s), until_s)
            smoothly = start_s < issued_s and not self._site.kinds & COMMITS
            slack_s = PROMPTLY_S if smoothly else AFTER_OUTAGE_S
            if due_s is not None and due_s + slack_s < min(end_s, until_s):
                detail = f"due at {due_s:.0f} s, in hand or meter at {end_s:.0f} s"
                self._about(sale, "digits or light within the bound", detail)
                return

    def _due(self, delivery: Delivery, since_s: float, until_s: float) -> float | None:
        """When in this time our clock shows that the fall-back is due."""
        assert delivery.fallback_at is not None
        missing_s = (delivery.fallback_at - self._clock.shows(since_s)).total_seconds()
        due_s = since_s + max(0.0, missing_s)
        return due_s if due_s < until_s else None

    def _well(self) -> Iterator[tuple[float, float]]:
        """The times in which everything that gives digits out was there."""
        ends = [at for at, _ in self._health[1:]] + [self._now_s]
        for (start_s, well), end_s in zip(self._health, ends, strict=True):
            if well and end_s > start_s:
                yield start_s, end_s

    def _judge_meter(self, meter: CityMeter, database: Database) -> None:
        tokens = database.tables["tokens"]
        seen_digits: set[str] = set()
        for one in meter.ledger:
            if not one.result.taken or not one.amount_milli:
                continue
            if one.digits in seen_digits:
                self._credit(meter, "no token is credited twice", one.digits)
            seen_digits.add(one.digits)
            if self._site.foreign.get(one.digits) == meter.drn:
                continue
            group = tokens.group("digits", ("town", meter.drn, one.digits))
            token = tokens.rows[group[0][1]] if group else None
            if token is None or token.purpose is not TokenPurpose.CREDIT:
                self._credit(meter, "nothing is credited that was not bought", one.digits)
                continue
            sale = self._sale_of(token, database)
            if sale is not None and sale.milli != one.amount_milli:
                self._credit(meter, "as much is credited as was bought", one.digits)
        self._judge_registers(meter)

    def _judge_registers(self, meter: CityMeter) -> None:
        meter.advance(self._site.now())
        credited = sum(one.amount_milli for one in meter.ledger if one.result.taken)
        held = meter.credit_milli + meter.import_milli - meter.first_credit_milli
        if abs(held - credited) > 1:
            self._credit(meter, "the register is what was credited", f"{held} and {credited}")

    def _judge_end(self, delivery: Delivery) -> None:
        name, now = delivery.recharge_id or delivery.id, self._clock.now()
        lapsed = delivery.lease_until is not None and delivery.lease_until + LAPSED < now
        if delivery.state is DeliveryState.SENDING and lapsed:
            self._site.violated("every lease ends", delivery.drn, name)
        elif delivery.state in OPEN_STATES and now > delivery.deadline + LAPSED:
            self._site.violated("nothing stays open past its deadline", delivery.drn, name)
        elif self._lasts(delivery) and not self._misled:
            self._site.violated(
                "everything ends in time", delivery.drn, f"{name}: {delivery.state}"
            )

    @property
    def _misled(self) -> bool:
        """Our clock was so wrong that what was planned by it comes much later, or came sooner."""
        return self._clock.worst_s > WRONG_CLOCK_S

    def _lasts(self, delivery: Delivery) -> bool:
        """A credit is still on its way."""
        return delivery.state in OPEN_STATES and isinstance(delivery.command, EnterToken)

    def _key_changes(self, drn: Drn, database: Database) -> bool:
        """A change of the meter's key is on its way: credit waits for it."""
        group = database.tables["deliveries"].group("open", ("town", drn))
        rows = (database.tables["deliveries"].rows[key] for _, key in group)
        return any(isinstance(one.command, ChangeKey) for one in rows)

    def _delivery_of(self, recharge: Recharge, database: Database) -> Delivery | None:
        deliveries = database.tables["deliveries"]
        group = deliveries.group("recharge", (recharge.tenant, recharge.id))
        found: Delivery | None = deliveries.rows[group[0][1]] if group else None
        return found

    def _sale_of(self, token: Token, database: Database) -> Sale | None:
        delivery = database.tables["deliveries"].rows.get((token.tenant, token.delivery_id))
        return None if delivery is None else self._sales.get(delivery.recharge_id or "")

    def _about(self, sale: Sale, invariant: str, detail: str) -> None:
        self._site.violated(
            invariant, sale.drn, f"{sale.ident}: {detail}", since_s=sale.answered_s or 0.0
        )

    def _credit(self, meter: CityMeter, invariant: str, detail: str) -> None:
        self._site.violated(invariant, meter.drn, f"...{detail[-24:]}")
