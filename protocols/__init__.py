"""What bytes mean: one folder a standard. Pure functions and records; no input, output or clock."""
