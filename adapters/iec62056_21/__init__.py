"""Meters that are read out by IEC 62056-21, through an optical head or on RS485."""
