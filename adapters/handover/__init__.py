"""Digits to people: by SMS gateway, by mail, or into a folder that another program empties."""
