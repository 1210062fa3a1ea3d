"""Meters over Modbus: lines, models as data, and the prepayment blocks of STSM."""
