"""Meters behind gateways that speak MQTT, as docs/mqtt.md has it."""
