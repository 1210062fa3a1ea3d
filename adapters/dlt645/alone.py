"""The one DL/T 645 meter of a line that has no other: who it is (satisfies `discovery.Alone`).

It is asked by the wildcard AA..AA, which every meter that hears it answers: on a shared line all of
them at once. So a person must say that it is alone.
"""

from collections.abc import Sequence

from adapters.dlt645.profile import Profile
from adapters.dlt645.station import Station
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.discovery import Found, LineLost, Presence
from headend.errors import NoAnswer, NotSent, Refused, Resting, Unsupported, WireError
from protocols.dlt645.frame import ADDRESS_DIGITS, ANY_ADDRESS, Frame, Function

# Noise costs an answer now and then.
TRIES = 2


class AloneByDlt645:
    """Reads the address, and then one value after the other until one of each model is told."""

    def __init__(self, line: Line, profiles: Sequence[Profile]) -> None:
        self._line = line
        self._profiles = profiles

    async def who(self) -> Found | None:
        try:
            address = await self._address()
        except Resting:
            return None
        except NotSent as exc:
            raise LineLost(str(exc)) from exc
        except NoAnswer:
            return self._unheard()
        except WireError as exc:
            return Found(address="", presence=Presence.UNKNOWN, told=f"DL/T 645: {exc}")
        models = [one for one in self._profiles if await self._tells_some(address, one)]
        if not models:
            told = "DL/T 645, and tells nothing that a model known here has"
            return Found(address=address, presence=Presence.UNKNOWN, told=told)
        return Found(
            address=address,
            presence=Presence.NAMED,
            models=tuple(model.name for model in models),
            told=" or ".join(model.title for model in models),
        )

    async def _address(self) -> str:
        """As the meter tells it; raises the errors of the wire."""
        station = Station(self._line, ANY_ADDRESS, urgency=Urgency.READING)
        for left in reversed(range(TRIES)):
            try:
                reply = await station.ask(
                    Frame(address=ANY_ADDRESS, function=Function.READ_ADDRESS)
                )
                break
            except NoAnswer:
                if not left:
                    raise
        told = reply.data[::-1].hex()
        if len(told) != ADDRESS_DIGITS or not told.isdecimal():
            raise Refused("it tells no address")
        return told

    async def _tells_some(self, address: str, profile: Profile) -> bool:
        station = Station(self._line, address, urgency=Urgency.READING)
        for identifier in profile.readings.values():
            try:
                await station.read(identifier)
            except (Unsupported, NoAnswer):
                continue
            except WireError:
                return False
            return True
        return False

    def _unheard(self) -> Found | None:
        if not self._line.status().count(lambda slave: slave.misfits):
            return None
        told = "what came was garbled: more than one meter is there, or noise"
        return Found(address="", presence=Presence.DUPLICATE, told=told)
