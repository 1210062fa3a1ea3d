"""What is wrong with bytes that should be DL/T 645."""


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


class MalformedData(ValueError):
    """The frame is whole, but its data is not what its identifier or function says."""
