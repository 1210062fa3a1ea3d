"""CJ/T 188: water, gas and heat meters on M-Bus or RS485. Bytes only."""
