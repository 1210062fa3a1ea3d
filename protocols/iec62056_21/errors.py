"""What is wrong with bytes that should be IEC 62056-21."""


class MalformedMessage(ValueError):
    """The bytes are no message of this protocol, or a damaged one; the text says where."""
