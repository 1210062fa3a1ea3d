"""What a token, a key or an order for a token can be wrong about (IEC 62055-41, clause 7.3).

Every error names the field at fault and never repeats a key or the digits of a token.
"""


class StsError(ValueError):
    """Something of STS is wrong: ``field`` says where, ``problem`` says what."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class RangeError(StsError):
    """A value lies outside what its field allows, whether to be encoded or decoded."""


class CheckDigitError(StsError):
    """A Luhn digit does not fit: a meter number or PAN was mistyped."""


class FormatError(StsError):
    """Not a token at all: not twenty digits, or above 66 bits."""


class CrcError(StsError):
    """The block does not authenticate: wrong key, wrong meter or a mistyped digit."""


class FunctionError(StsError):
    """A genuine token of a class or sub-class that the standard reserves."""


class MfrCodeError(StsError):
    """A class 1 token made for the meters of another manufacturer."""


class KeyTypeError(StsError):
    """A meter may not go from its present key type to the new one."""


class KeyExpiredError(StsError):
    """The key may no longer issue tokens: the TID is past its key expiry number."""


class BeforeBaseDateError(StsError):
    """The moment lies before the base date of the key."""


class TidExhaustedError(StsError):
    """The 24 bits of the TID are used up; only a key of a later base date helps."""


class UnsupportedError(StsError):
    """An algorithm that is withdrawn, or not settled by any public text."""


class TablesError(StsError):
    """The substitution and permutation tables of EA07 are missing or no permutations."""


class MissingKeyError(StsError):
    """An encrypted token was asked for without a cipher."""


class IncompleteError(StsError):
    """Sections of a key change are still missing."""
