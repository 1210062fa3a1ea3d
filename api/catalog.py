"""What this head-end knows and where it leads: profiles, buses, and which bus speaks which."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headend.bus import Bus
from headend.meters import BusName, Capability, Meter, ProfileName


@dataclass(frozen=True, slots=True)
class KnownModels:
    """Satisfies `meter_desk.Catalog`: every profile, and those that are spoken on each bus."""

    every: Mapping[ProfileName, Capability]
    spoken: Mapping[BusName, frozenset[ProfileName]]

    def profiles(self) -> Mapping[ProfileName, Capability]:
        return self.every

    def buses(self) -> frozenset[BusName]:
        return frozenset(self.spoken)

    def bus_speaks(self, bus: BusName, profile: ProfileName) -> bool:
        return profile in self.spoken.get(bus, frozenset())


@dataclass(frozen=True, slots=True)
class Switchboard:
    """Satisfies `recharge_desk.Routes`. `served` are the buses of this process; others look by
    themselves, soon.
    """

    models: KnownModels
    served: dict[BusName, Bus] = field(default_factory=dict)

    def capabilities(self, meter: Meter) -> Capability:
        """What can be done with a meter over its route."""
        if meter.route is None or not self.models.bus_speaks(meter.route.bus, meter.profile):
            return Capability.NONE
        return self.models.profiles()[meter.profile]

    def wake(self, bus: BusName) -> None:
        """Let a bus look for work now."""
        if served := self.served.get(bus):
            served.wake()

    def wake_all(self) -> None:
        """Let every bus of this process look for work now."""
        for bus in self.served.values():
            bus.wake()
