"""Remote token entry of a simulated meter: one token in process, and the last ten answers.

A request id makes an entry repeatable: the same id with the same token repeats the answer, also
after a power cut; what was still in process is lost with the power.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adapters.simulators.logs import Origin, RequestId, TokenEntry
from headend.tokens import TokenResult

REMEMBERED = 10
# "Come again": nothing was decided, so the same id is a new try.
_UNDECIDED = frozenset({TokenResult.LOCK_OUT, TokenResult.NOT_READY})


class Busy(Exception):
    """Another token is in process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One token on its way through the meter; `ready_at` is when it will be judged."""

    request_id: RequestId
    digits: str = field(repr=False)
    origin: Origin
    ready_at: datetime


class TokenPort:
    """What of remote entry the meter keeps. `shown` is the answer that registers show."""

    def __init__(self, processing_s: float) -> None:
        self.pending: Submission | None = None
        self.shown: TokenEntry | None = None
        self._processing = timedelta(seconds=processing_s)
        self._answers: OrderedDict[RequestId, tuple[str, TokenEntry]] = OrderedDict()

    def known(self, request_id: RequestId) -> TokenEntry | None:
        """The remembered answer to a request id."""
        known = self._answers.get(request_id)
        return known[1] if known else None

    def contradicts(self, request_id: RequestId, digits: str) -> bool:
        """The id is remembered, or in process, for another token."""
        if self.pending and self.pending.request_id == request_id:
            return self.pending.digits != digits
        known = self._answers.get(request_id)
        return known is not None and known[0] != digits

    def begin(self, request_id: RequestId, digits: str, origin: Origin, now: datetime) -> None:
        """Take a token in, or show the answer it had before; raises Busy."""
        if self.pending:
            if self.pending.request_id == request_id:
                return
            raise Busy
        known = self.known(request_id)
        if known is not None and known.result not in _UNDECIDED:
            self.shown = known
            return
        self.pending = Submission(
            request_id=request_id, digits=digits, origin=origin, ready_at=now + self._processing
        )

    def finish(self, submission: Submission, entry: TokenEntry) -> None:
        """Keep the answer to the token in process."""
        self.pending = None
        self.shown = entry
        self._answers[submission.request_id] = (submission.digits, entry)
        self._answers.move_to_end(submission.request_id)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def cut(self) -> None:
        """Power is gone: the half command with it."""
        self.pending = None
