"""Vectors from the field: frames and payloads with the values that they must decode to."""
