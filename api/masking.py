"""What must never be read by chance: token digits, API keys, passwords in URLs; masked in any text.

A safety net under logs and error texts, not a licence to put secrets there.
"""

import re

# A token is 20 digits, often written in groups; longer runs hide their digits too.
_DIGITS = re.compile(r"(?<!\d)\d(?:[ -]?\d){19,}")
_API_KEY = re.compile(r"hk_([0-9A-Za-z]{1,40})_[0-9A-Za-z_-]+")
_PASSWORD = re.compile(r"(://[^:/@\s\"']*):[^@/\s\"']+@")


def masked(text: str) -> str:
    """The same text without digits of tokens, secrets of API keys and passwords of URLs."""
    without = _API_KEY.sub(r"hk_\1_***", text)
    without = _DIGITS.sub("[20 digits]", without)
    return _PASSWORD.sub(r"\1:***@", without)
