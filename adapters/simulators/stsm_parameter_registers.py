"""Registers of the credit parameters of a simulated STSM meter, D220-D23F.

Written from the table of the profile and not from our encoder of it. Low credit 1, maximum credit
and reconnect credit act; the others are kept as they were written.
"""

import struct
from datetime import datetime

from adapters.simulators.meter import SimulatedMeter

WORDS = 32
_BLOCK = ">iiiqiHHHHIHHHHHHqHHH"


class ParameterRegisters:
    """The block of one meter; `step` is how many thousandths one step of an amount is."""

    def __init__(self, meter: SimulatedMeter, step: int) -> None:
        self._meter = meter
        self._step = step
        self._kept = bytes(2 * WORDS - 2)

    def read(self, now: datetime) -> bytes:
        """Registers without the commit word, which reads 0."""
        fields = list(struct.unpack(_BLOCK, self._kept))
        circuit = self._meter.circuit
        fields[0] = circuit.low_credit_milli // self._step
        fields[3] = self._meter.maximum_credit_milli // self._step
        fields[16] = circuit.reconnect_milli // self._step
        return struct.pack(_BLOCK, *fields)

    def write(self, data: bytes, now: datetime) -> None:
        """The whole block, its commit word checked."""
        self._kept = data[:-2]
        fields = struct.unpack(_BLOCK, self._kept)
        self._meter.circuit.low_credit_milli = fields[0] * self._step
        self._meter.maximum_credit_milli = fields[3] * self._step
        self._meter.circuit.reconnect_milli = fields[16] * self._step
        self._meter.circuit.settle(now)
