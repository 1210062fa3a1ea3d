"""What must never be read by chance: token digits, API keys, passwords in URLs; masked in any text.

A safety net under logs and error texts, not a licence to put secrets there.
"""

import re

# A token is 20 digits, often written in groups; longer runs hide their digits too.
_DIGITS = re.compile(r"(?<!\d)\d(?:[ -]?\d){19,}")
_BEARER = re.compile(r"(h[kp])_([0-9A-Za-z]{1,40})_[0-9A-Za-z_-]+")
_PASSWORD = re.compile(r"(://[^:/@\s\"']*):[^@/\s\"']+@")


def masked(text: str) -> str:
    """The same text without digits of tokens, secrets of keys and people, passwords of URLs."""
    without = _BEARER.sub(r"\1_\2_***", text)
    without = _DIGITS.sub("[20 digits]", without)
    return _PASSWORD.sub(r"\1:***@", without)
