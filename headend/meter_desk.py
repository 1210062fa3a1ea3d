"""The desk that keeps the meters: checked when they come in and whenever they change."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from headend.deliveries import OPEN_STATES
from headend.errors import Stale
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Meter,
    MeterState,
    ProfileName,
    TenantId,
    parse_drn,
)
from headend.polling import Poll
from headend.ports import Clock
from headend.refusals import (
    CommandUnsupported,
    MalformedOrder,
    MeterExists,
    MeterNotInService,
    UnknownBus,
    UnknownMeter,
    UnknownProfile,
    VersionDiffers,
)
from headend.store import Store, Transaction

POLL_INTERVAL_S = 900
EAS = (7, 11)


class Catalog(Protocol):
    """What this head-end knows: its profiles and its buses."""

    def profiles(self) -> Mapping[ProfileName, Capability]: ...

    def buses(self) -> frozenset[BusName]: ...

    def bus_speaks(self, bus: BusName, profile: ProfileName) -> bool:
        """The dialect of the bus is that of the profile."""


class MeterDesk:
    """Adds and changes meters; every reader is polled from then on."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        clock: Clock,
        poll_interval_s: int = POLL_INTERVAL_S,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._poll_interval_s = poll_interval_s

    def check(self, meter: Meter) -> None:
        """Everything that can be said of a meter without the store; raises OrderRefused."""
        parse_drn(meter.drn, field="drn")
        _check_sts(meter)
        if meter.profile not in self._catalog.profiles():
            known = ", ".join(sorted(self._catalog.profiles()))
            raise UnknownProfile(f"no profile {meter.profile}; there are: {known}", field="profile")
        if meter.route is not None:
            self._check_route(meter)

    async def find(self, tenant: TenantId, drn: Drn) -> Meter:
        """Raises UnknownMeter."""
        async with self._store.look() as tx:
            meter = await tx.meters.find(tenant, drn)
        if meter is None:
            raise UnknownMeter(f"no meter {drn}", field="drn")
        return meter

    async def add(self, meter: Meter) -> Meter:
        """Raises OrderRefused, MeterExists among them."""
        await self.add_all((meter,))
        return meter

    async def add_all(self, meters: Sequence[Meter]) -> None:
        """All of them or none, in one transaction."""
        for meter in meters:
            self.check(meter)
        async with self._store.begin() as tx:
            known = (
                await tx.meters.known(meters[0].tenant, [meter.drn for meter in meters])
                if meters
                else frozenset()
            )
            for meter in meters:
                if meter.drn in known:
                    raise MeterExists(f"meter {meter.drn} is known", field="drn")
                await tx.meters.add(meter)
                await self._plan_polls(tx, meter)

    async def change(self, meter: Meter, *, was: int) -> Meter:
        """Replace a meter read at version `was`; raises VersionDiffers, OrderRefused."""
        self.check(meter)
        changed = replace(meter, version=was + 1, changed_at=self._clock.now())
        try:
            async with self._store.begin() as tx:
                await tx.meters.save(changed, was=was)
                await self._plan_polls(tx, changed)
                await _reroute(tx, changed)
        except Stale as error:
            raise VersionDiffers(
                f"meter {meter.drn} has changed since version {was}: read it again"
            ) from error
        return changed

    async def read_soon(self, tenant: TenantId, drn: Drn) -> datetime:
        """Let a meter be read as soon as its bus can; what is received from then on is new.

        Raises UnknownMeter, MeterNotInService, CommandUnsupported.
        """
        meter = await self.find(tenant, drn)
        if meter.state is not MeterState.IN_SERVICE:
            raise MeterNotInService(f"meter {drn} is {meter.state}: nobody reads it")
        readable = Capability.READ in self._catalog.profiles().get(meter.profile, Capability.NONE)
        if meter.route is None or not readable:
            raise CommandUnsupported(f"meter {drn} has no route, or a profile that is not read")
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.polls.hasten(tenant, drn, due_at=now)
        return now

    def _check_route(self, meter: Meter) -> None:
        assert meter.route is not None
        if meter.route.bus not in self._catalog.buses():
            known = ", ".join(sorted(self._catalog.buses())) or "none"
            raise UnknownBus(
                f"no bus {meter.route.bus} in the settings; there are: {known}", field="bus"
            )
        if not self._catalog.bus_speaks(meter.route.bus, meter.profile):
            raise UnknownProfile(
                f"bus {meter.route.bus} does not speak the dialect of profile {meter.profile}",
                field="profile",
            )
        if not meter.route.address or len(meter.route.address) > 64:
            raise MalformedOrder("an address has 1 to 64 characters", field="address")

    async def _plan_polls(self, tx: Transaction, meter: Meter) -> None:
        """Meters that can be read are polled; the first time soon, spread over the interval."""
        readable = Capability.READ in self._catalog.profiles()[meter.profile]
        if meter.route is None or not readable or meter.state is not MeterState.IN_SERVICE:
            await tx.polls.remove(meter.tenant, meter.drn)
            return
        spread_s = int(meter.drn) % max(1, self._poll_interval_s)
        due_at = self._clock.now() + timedelta(seconds=spread_s)
        await tx.polls.put(
            Poll(
                tenant=meter.tenant,
                drn=meter.drn,
                bus=meter.route.bus,
                due_at=due_at,
                interval_s=self._poll_interval_s,
            )
        )


def _check_sts(meter: Meter) -> None:
    sts = meter.sts
    if len(sts.sgc) != 6 or not (sts.sgc.isascii() and sts.sgc.isdigit()):
        raise MalformedOrder("a supply group code is 6 digits, as text", field="sgc")
    if not 1 <= sts.krn <= 9:
        raise MalformedOrder("a key revision number is 1 to 9", field="krn")
    if not 0 <= sts.tariff_index <= 99:
        raise MalformedOrder("a tariff index is 0 to 99", field="ti")
    if sts.ea not in EAS:
        raise MalformedOrder("the encryption algorithm is 7 (STA) or 11 (MISTY1)", field="ea")


async def _reroute(tx: Transaction, meter: Meter) -> None:
    """What is on its way follows the meter to its new bus."""
    bus = meter.route.bus if meter.route else None
    for delivery in await tx.deliveries.of_meter(meter.tenant, meter.drn, states=OPEN_STATES):
        if delivery.bus != bus:
            await tx.deliveries.save(replace(delivery, bus=bus), was=delivery.state)
