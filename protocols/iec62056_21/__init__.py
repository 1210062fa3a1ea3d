"""IEC 62056-21: direct local data exchange over an optical head or RS485. Bytes only."""
