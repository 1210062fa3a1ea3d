"""Five errors of the wire, because a caller can do five things next.

A refusal of an *order* (unknown meter, amount too large) is no wire error: see `refusals`.
"""


class HeadendError(Exception):
    """Something the head-end knows how to name."""


class WireError(HeadendError):
    """One of the five ways in which a conversation with a meter fails."""


class NotSent(WireError):
    """No byte left us, or the meter was busy. Repeat freely."""


class Resting(NotSent):
    """The line lets a silent meter rest, so that it costs the others no time."""

    def __init__(self, what: str, *, again_s: float) -> None:
        super().__init__(what)
        self.again_s = again_s


class NoAnswer(WireError):
    """It may have happened. Look before you repeat."""


class Refused(WireError):
    """The meter judged the thing itself and said no. Do not repeat."""


class Unsupported(WireError):
    """This way does not work on this meter. Take the next delivery method."""


class Misconfigured(WireError):
    """Our key, address or profile is wrong. Close this route, call a person."""


class Stale(HeadendError):
    """The row was changed by somebody else since it was read. Read it again."""


class ModuleDown(HeadendError):
    """The security module cannot be asked now. The recharge stays open and is issued later."""


class StoreDown(HeadendError):
    """The database cannot be reached now; whether a commit happened is open. Repeat by id."""
