"""Exception codes of a meter or gateway as the five errors of the wire (V1.1b3, section 7)."""

from headend.errors import Misconfigured, NoAnswer, NotSent, Unsupported, WireError


class RegistersRefused(Unsupported):
    """A read of these registers, or of so many, is not answered."""


_BY_CODE: dict[int, tuple[type[WireError], str]] = {
    1: (Unsupported, "the meter does not know this function"),
    2: (Unsupported, "the meter has no such registers"),
    # The commit word or a length is not what the meter expects. It stored nothing, and would refuse
    # each repeat: our profile is not the profile of this meter, which a person has to see.
    3: (Misconfigured, "the meter refuses the value or the length; is its profile the right one?"),
    4: (NoAnswer, "the meter failed while it carried this out"),
    5: (NoAnswer, "the meter has taken it and needs long"),
    6: (NotSent, "the meter or its gateway is busy"),
    8: (NoAnswer, "the meter found its memory damaged"),
    10: (NotSent, "the gateway has no path to the meter"),
    11: (NoAnswer, "the meter gave the gateway no answer"),
}
_OF_A_READ: dict[int, tuple[type[WireError], str]] = {
    2: (RegistersRefused, "the meter has no such registers"),
    3: (RegistersRefused, "the meter does not give so many registers at once"),
}
_UNKNOWN = (NoAnswer, "an exception that the standard does not name")


def error_of(code: int, request: object, *, reading: bool = False) -> WireError:
    """The error to raise for an exception code; `request` says what was asked."""
    known = _BY_CODE | _OF_A_READ if reading else _BY_CODE
    kind, meaning = known.get(code, _UNKNOWN)
    return kind(f"{request}: {meaning} (exception {code})")
