"""The one meter of a line, read out by IEC 62056-21: who it is (satisfies `discovery.Alone`).

It is asked by a sign-on without an address, which everybody on a shared line would answer. So a
person must say that it is alone.
"""

from collections.abc import Sequence

from adapters.iec62056_21.profile import Profile
from adapters.iec62056_21.readout import read_out, reduced
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.discovery import Found, LineLost, Presence
from headend.errors import NoAnswer, NotSent, Resting, WireError
from protocols.iec62056_21.characters import BlockCheck
from protocols.iec62056_21.messages import DataSet
from protocols.iec62056_21.sign_on import Identification, request

# The device address and the first identification, as read-outs tell them.
_ADDRESSES = ("0.0.0", "C.1.0", "C.1", "0.0")


class AloneByReadOut:
    """Reads the meter out, and once more by the address that it tells."""

    def __init__(self, line: Line, profiles: Sequence[Profile]) -> None:
        self._line = line
        self._profiles = profiles

    async def who(self) -> Found | None:
        checks = dict.fromkeys((BlockCheck.XOR, *(one.check for one in self._profiles)))
        for check in checks:
            try:
                who, data = await self._read_out("", check)
            except Resting:
                break
            except NotSent as exc:
                raise LineLost(str(exc)) from exc
            except NoAnswer:
                continue
            except WireError as exc:
                return Found(address="", presence=Presence.UNKNOWN, told=str(exc))
            return await self._found(who, data, check)
        if not self._line.status().count(lambda slave: slave.misfits):
            return None
        told = "IEC 62056-21: what came was garbled: more than one meter is there, or noise"
        return Found(address="", presence=Presence.DUPLICATE, told=told)

    async def _found(
        self, who: Identification, data: Sequence[DataSet], check: BlockCheck
    ) -> Found:
        told = f"IEC 62056-21, signs on as {who.maker} {who.ident}"
        address = await self._address(who, data, check)
        kinds = {reduced(one.address) for one in data}
        models = tuple(
            profile.name
            for profile in self._profiles
            if profile.check is check
            and (profile.maker is None or profile.maker.upper() == who.maker.upper())
            and not kinds.isdisjoint(profile.readings)
        )
        presence = Presence.NAMED if models else Presence.UNKNOWN
        return Found(address=address, presence=presence, models=models, told=told)

    async def _address(
        self, who: Identification, data: Sequence[DataSet], check: BlockCheck
    ) -> str:
        """What it tells, if it answers to that; else nothing."""
        values = {reduced(one.address): one.value for one in data}
        told = next((values[name] for name in _ADDRESSES if values.get(name)), "")
        try:
            request(told)
            again = await self._read_out(told, check) if told else None
        except (ValueError, WireError):
            return ""
        return told if again is not None and again[0] == who else ""

    async def _read_out(
        self, address: str, check: BlockCheck
    ) -> tuple[Identification, tuple[DataSet, ...]]:
        return await read_out(self._line, address, check, urgency=Urgency.READING)
