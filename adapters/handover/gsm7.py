"""The alphabet of a short message (3GPP TS 23.038): 160 septets, or a message costs twice.

One letter outside it turns the whole message into UCS-2 with 70 characters, so letters are folded:
"código" becomes "codigo". Knows nothing of what a message says.
"""

import unicodedata

SEPTETS = 160
SEPTETS_OF_A_PART = 153  # each part of a longer message gives seven to its own header

# GSM 7-bit default alphabet, without ESC, and its extension table, whose characters take two.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")
SPELLED = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "ı": "i"}
SPELLED |= {"\u00a0": " ", "\u202f": " ", "³": "3", "²": "2", "ł": "l", "đ": "d"}


def fold(text: str) -> str:
    """The text in this alphabet: letters lose accents it lacks, what remains foreign is "?"."""
    return "".join(_folded(character) for character in unicodedata.normalize("NFC", text))


def septets(text: str) -> int:
    """How much of SEPTETS a folded text takes."""
    return sum(2 if character in EXTENDED else 1 for character in text)


def room_of(length: int) -> int:
    """Septets in as many messages as a text of this length takes."""
    if length <= SEPTETS:
        return SEPTETS
    return -(-length // SEPTETS_OF_A_PART) * SEPTETS_OF_A_PART


def _folded(character: str) -> str:
    if character in BASIC or character in EXTENDED:
        return character
    if character in SPELLED:
        return SPELLED[character]
    base = unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in base if not unicodedata.combining(part))
    return plain if plain and BASIC.issuperset(plain) else "?"
