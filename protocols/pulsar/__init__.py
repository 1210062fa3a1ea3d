"""Pulsar meters and pulse counters on RS485, with commands of their own. Bytes only."""
