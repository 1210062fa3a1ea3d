"""Recorded exchanges with meters, as text that a field engineer can write, and their replay."""
