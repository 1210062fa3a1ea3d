"""Milur meters on RS485, with commands of their own. Bytes only."""
