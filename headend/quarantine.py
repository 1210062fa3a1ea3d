"""Quarantine: silent slaves rest, and asking them again costs all of them together a small share.

After a few failures in a row a slave is asked no more but for single probes, ever further apart.
Whatever their number, probes take PROBE_SHARE of the line's time: twenty dead slaves cost no more
than one. Who was tried longest ago is tried first. Callers bring the time, in seconds.
"""

from collections.abc import Hashable
from dataclasses import dataclass

# Silence says more than a reply that noise has garbled: two of the one, six of the other.
STRIKES = 6
SILENCE_STRIKES = 3
GARBLED_STRIKES = 1
SEVERAL = 2
# First and further probes: after 0.5 s, 1.0 s, 1.5 s, ... as others do it, and never above 10 s.
REST_STEP_S = 0.5
REST_MAX_S = 10.0
PROBE_SHARE = 0.03
# What an idle line has saved for probes; more would let them crowd it at once.
SAVED_MAX_S = 1.0
# A recharge may have a silent slave asked at once, on credit: it may be lit by now.
URGENT_CREDIT_S = 3.0
# Who has not asked for its probe so long does not keep others from theirs.
WAITS_S = 30.0


@dataclass(slots=True)
class _Patient:
    strikes: int = 0
    probes: int = 0
    resting: bool = False
    tried_at: float = 0.0
    asked_at: float = float("-inf")

    @property
    def rest_s(self) -> float:
        return min(REST_STEP_S * (self.probes + 1), REST_MAX_S)


class Quarantine:
    """The silent slaves of one line, by any name."""

    def __init__(self) -> None:
        self._patients: dict[Hashable, _Patient] = {}
        self._saved_s = SAVED_MAX_S
        self._saved_at = 0.0
        self.probing_s = 0.0

    @property
    def resting(self) -> frozenset[Hashable]:
        return frozenset(name for name, one in self._patients.items() if one.resting)

    def again_s(self, name: Hashable, *, now: float, urgent: bool = False) -> float:
        """How long a slave must rest yet; 0: it may be asked now.

        `urgent` (a recharge) does not wait for the next probe, and asks on credit; when that is
        spent it too has to wait until the share of all probes allows it.
        """
        patient = self._patients.get(name)
        if patient is None or not patient.resting:
            return 0.0
        patient.asked_at = now
        self._save(now)
        credit_s = URGENT_CREDIT_S if urgent else 0.0
        rest_s = 0.0 if urgent else patient.tried_at + patient.rest_s - now
        wait_s = max(rest_s, -(self._saved_s + credit_s) / PROBE_SHARE)
        if wait_s > 0:
            return wait_s
        if not urgent and self._first_in_turn(now) is not patient:
            return REST_STEP_S
        return 0.0

    def rests_s(self, name: Hashable, *, now: float) -> float:
        """How long until its next probe is due; asking changes nothing."""
        patient = self._patients[name]
        return max(0.0, patient.tried_at + patient.rest_s - now)

    def answered(self, name: Hashable, *, spent_s: float, now: float) -> None:
        """It lives."""
        patient = self._patients.pop(name, None)
        if patient is not None and patient.resting:
            self._spend(spent_s, now)

    def silent(self, name: Hashable, *, spent_s: float, now: float, stranger: bool = False) -> None:
        """It did not answer, and the line spent so long on it.

        A `stranger` never has. Where several others are silent it rests at once: a line that begins
        with many dead ones spends one time-out on each, not two.
        """
        silent = [one for one in self._patients.values() if one.strikes >= SILENCE_STRIKES]
        at_once = stranger and len(silent) >= SEVERAL and name not in self._patients
        self._failed(name, STRIKES if at_once else SILENCE_STRIKES, spent_s, now)

    def garbled(self, name: Hashable, *, spent_s: float, now: float) -> None:
        """Something came that was no answer."""
        self._failed(name, GARBLED_STRIKES, spent_s, now)

    def _failed(self, name: Hashable, strikes: int, spent_s: float, now: float) -> None:
        patient = self._patients.setdefault(name, _Patient())
        patient.tried_at = now
        if patient.resting:
            patient.probes += 1
            self._spend(spent_s, now)
            return
        patient.strikes += strikes
        patient.resting = patient.strikes >= STRIKES

    def _first_in_turn(self, now: float) -> _Patient | None:
        """Of those whose rest is over and who want to be asked, the one tried longest ago."""
        ready = [
            one
            for one in self._patients.values()
            if one.resting and now - one.asked_at <= WAITS_S and now >= one.tried_at + one.rest_s
        ]
        return min(ready, key=lambda one: one.tried_at, default=None)

    def _save(self, now: float) -> None:
        self._saved_s = min(SAVED_MAX_S, self._saved_s + PROBE_SHARE * (now - self._saved_at))
        self._saved_at = now

    def _spend(self, spent_s: float, now: float) -> None:
        self._save(now)
        self._saved_s -= spent_s
        self.probing_s += spent_s
