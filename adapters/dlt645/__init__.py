"""Meters that speak DL/T 645-2007, on a serial line or through a transparent server."""
