"""How the head-end reaches the world: wires, database, keys, people."""
