"""Customers and other vendors: who types what at which moment; and the provider of messages."""

import asyncio
from dataclasses import dataclass

from adapters.simulators.logs import TokenEntry
from adapters.simulators.meter import MeterDown
from headend.errors import NotSent
from headend.meters import Drn
from headend.ports import Note
from headend.tokens import TokenResult
from protocols.sts.credit import CreditUnits
from protocols.sts.tables import CreditSubclass
from protocols.sts.tid import tid_at
from protocols.sts.token import encode
from tests.city.meters import BASE, CityMeter
from tests.city.site import Kind, Site

BETWEEN_TOKENS_S = 5.0
# Nobody stands at a dark meter for ever.
TRIES = 4
PATIENCE_S = 120.0


@dataclass
class Provider:
    """Carries messages. `hangs`: it answers nobody; `lies`: now and then it says no and does it."""

    down: bool = False
    hangs: bool = False
    lies: float = 0.0


class People:
    """Everybody who holds digits. `held_at`: since when, true time, by digits."""

    def __init__(self, site: Site) -> None:
        self.provider = Provider()
        self.held_at: dict[str, float] = {}
        self._site = site
        self._luck = site.plan.luck("people")
        self._vendor = site.plan.luck("vendor")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Somebody is still on the way to a keypad."""
        return bool(self._tasks)

    async def carry(self, note: Note) -> None:
        """Give a note to the provider; raises NotSent."""
        provider = self.provider
        await asyncio.sleep(0.1 + self._luck.random())
        if provider.down:
            raise NotSent("the provider refuses")
        if provider.hangs:
            await asyncio.sleep(600)
        self._site.loop.later(0.0, self._receive, note)
        if provider.lies and self._luck.random() < provider.lies:
            self._site.trace.fault(Kind.PROVIDER, note.drn, "the provider says no and does it")
            raise NotSent("the provider says no")
        await asyncio.sleep(0.05)

    def hold(self, drn: Drn, digits: tuple[str, ...], within_s: float) -> None:
        """Somebody has digits, and goes to the meter some time, or never."""
        now_s = self._site.loop.time()
        for one in digits:
            self.held_at.setdefault(one, now_s)
        if self._luck.random() < 0.2:
            return
        task = asyncio.get_running_loop().create_task(
            self._go(self._site.meters[drn], digits, self._luck.random() * within_s)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _receive(self, note: Note) -> None:
        ends = " ".join(f"...{one[-4:]}" for one in note.digits)
        self._site.trace.tell(note.drn, f"a message: {'taken' if note.taken else ends}")
        if note.digits:
            self.hold(note.drn, note.digits, within_s=120.0)

    async def _go(self, meter: CityMeter, digits: tuple[str, ...], after_s: float) -> None:
        await asyncio.sleep(after_s)
        for one in digits:
            for _ in range(TRIES):
                wait_s = self._type(meter, one)
                if wait_s is None:
                    break
                await asyncio.sleep(wait_s)
            await asyncio.sleep(BETWEEN_TOKENS_S)

    def _type(self, meter: CityMeter, digits: str) -> float | None:
        """Type once, perhaps wrong; how long to wait before the next try, None: no more."""
        wrong = self._site.has(Kind.TYPING) and self._luck.random() < 0.3
        typed = digits
        if wrong:
            self._site.trace.fault(Kind.TYPING, meter.drn, "digits are typed wrong")
            place = self._luck.randrange(4, 20)
            typed = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
        entry = self._typed(meter, typed)
        if entry is None:
            return 30.0
        if entry.result is TokenResult.LOCK_OUT:
            return entry.lockout_s + 1.0 if entry.lockout_s < PATIENCE_S else None
        return 2.0 if wrong else None

    def _typed(self, meter: CityMeter, digits: str) -> TokenEntry | None:
        try:
            return meter.customer_types(digits, self._site.now())
        except MeterDown:
            return None

    # --- another vendor ------------------------------------------------------------------------

    def strange_sale(self, drn: Drn, tid: int | None) -> None:
        """Another vendor's token, of this minute or of a TID of ours; typed in at once."""
        meter = self._site.meters[drn]
        minute = tid_at(BASE, self._site.now())
        token = CreditUnits(
            subclass=CreditSubclass.ELECTRICITY,
            rnd=self._vendor.getrandbits(4),
            tid=minute if tid is None else tid,
            amount_tenths=self._vendor.choice((77, 131, 339)),
        )
        digits = encode(token, meter.decoder._cipher)
        self._site.foreign[digits] = drn
        self._site.trace.fault(
            Kind.FOREIGN, drn, f"another vendor's token ...{digits[-4:]} tid {token.tid}"
        )
        self._typed(meter, digits)
