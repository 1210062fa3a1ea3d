"""The rules of the head-end: meters, recharges, deliveries, readings. No wire, no SQL, no web."""
