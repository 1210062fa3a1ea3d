"""What a simulated gateway remembers of commands: the last thousand results (docs/mqtt.md, 7).

It models the gateway's disk: hand the same memory to a gateway that starts again.
"""

from collections import OrderedDict
from dataclasses import dataclass

from adapters.simulators.gateway_messages import Fields
from headend.tokens import TokenResult

REMEMBERED = 1000
# Failures that are final without a token result.
_FINAL_REASONS = frozenset({"refused", "unsupported"})


@dataclass(frozen=True, slots=True)
class Remembered:
    """A last result; `request` is the token's own id, for token commands."""

    result: Fields
    request: str | None


class CommandMemory:
    """Final results, each by the number of its meter and its command id."""

    def __init__(self) -> None:
        self._results: OrderedDict[tuple[str, str], Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def find(self, meter: str, command_id: str) -> Fields | None:
        """The result to give again."""
        known = self._results.get((meter, command_id))
        return known.result if known else None

    def keep(self, meter: str, command_id: str, result: Fields, *, request: str | None) -> None:
        """Remember a result, if it is final; the oldest makes room."""
        if not is_final(result):
            return
        self._results[meter, command_id] = Remembered(result, request)
        while len(self._results) > REMEMBERED:
            self._results.popitem(last=False)

    def of_token(self, meter: str, command_id: str, request: str | None) -> Fields | None:
        """What is known of a token, by its command or by its own id: that it was taken, first."""
        found = [
            known.result
            for (number, ident), known in self._results.items()
            if number == meter
            and known.request is not None
            and (ident == command_id or known.request == request)
        ]
        taken = (result for result in found if result.get("state") == "done")
        return next(taken, found[-1] if found else None)


def is_final(result: Fields) -> bool:
    """Whether the same id must not be acted upon again."""
    if result.get("state") == "done":
        return True
    code = result.get("code")
    if code is not None:
        return code != TokenResult.NOT_READY
    return result.get("reason") in _FINAL_REASONS
