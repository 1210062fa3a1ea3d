"""What the embedded broker and its parent have agreed on."""

HOST = "127.0.0.1"
READY = b"ready\n"  # said once on standard output, when connections are accepted
