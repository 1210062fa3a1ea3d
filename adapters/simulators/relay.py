"""The relay of a simulated meter: what holds supply off, the control state, and the contacts.

Control states are those of COSEM Disconnect control (class 70). The contacts follow the control
state unless the relay is broken. Knows nothing of credit: the meter says what holds and what not.
"""

from enum import IntEnum, StrEnum, unique

from headend.supply import ControlState


@unique
class Hold(StrEnum):
    """Something that keeps supply off; supply may come back when nothing holds."""

    CREDIT = "credit"
    OVERLOAD = "overload"
    TAMPER = "tamper"
    REMOTE = "remote"
    DEBT = "debt"


@unique
class Reason(IntEnum):
    """Why the relay last changed (our number list, register D043)."""

    NONE = 0
    PREPAY = 1
    POWER_LIMIT = 2
    MANUAL = 3
    SCHEDULE = 4
    TAMPER = 5
    REMOTE = 6


_REASON_OF = {
    Hold.CREDIT: Reason.PREPAY,
    Hold.OVERLOAD: Reason.POWER_LIMIT,
    Hold.TAMPER: Reason.TAMPER,
    Hold.REMOTE: Reason.REMOTE,
    Hold.DEBT: Reason.REMOTE,
}


class Relay:
    """Control state and contacts. Each method says whether the control state changed."""

    def __init__(self) -> None:
        self.control = ControlState.CONNECTED
        self.closed = True
        self.reason = Reason.NONE
        self.holds: set[Hold] = set()
        self._broken = False

    def hold(self, cause: Hold) -> bool:
        """Keep supply off for one more cause."""
        self.holds.add(cause)
        return self._go(ControlState.DISCONNECTED, _REASON_OF[cause])

    def release(self, cause: Hold, *, button: bool) -> bool:
        """Take one cause away; when it was the last, supply comes back or waits for the button."""
        if cause not in self.holds:
            return False
        self.holds.remove(cause)
        if self.holds:
            return False
        return self._go(ControlState.READY if button else ControlState.CONNECTED, _REASON_OF[cause])

    def press(self) -> bool:
        """The customer presses the button; it works only when the relay is ready for it."""
        if self.control is not ControlState.READY:
            return False
        return self._go(ControlState.CONNECTED, Reason.MANUAL)

    def close(self) -> bool:
        """Close without the button, if nothing holds."""
        if self.holds:
            return False
        return self._go(ControlState.CONNECTED, Reason.REMOTE)

    @property
    def obeys(self) -> bool:
        """The contacts stand as commanded."""
        return self.closed is (self.control is ControlState.CONNECTED)

    def set_broken(self, broken: bool) -> None:
        """Let the contacts stay where they are whatever is commanded, or follow again."""
        self._broken = broken
        self._follow()

    def _go(self, control: ControlState, reason: Reason) -> bool:
        if self.control is control:
            return False
        self.control = control
        self.reason = reason
        self._follow()
        return True

    def _follow(self) -> None:
        if not self._broken:
            self.closed = self.control is ControlState.CONNECTED
