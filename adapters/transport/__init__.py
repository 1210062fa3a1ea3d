"""Pipes of bytes: serial ports and TCP connections, opened from a URL."""
