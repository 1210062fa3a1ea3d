"""M-Bus (EN 13757-2, -3): heat, water, gas and electricity meters on two wires. Bytes only."""
