"""`headend version`: what is installed."""

import platform

from api.commands.telling import AsJson, tell_json
from api.version import installed_version

EPILOG = "Example: headend version --json"


def version_command(as_json: AsJson = False) -> None:
    """Tell the version of the head-end and of Python."""
    if as_json:
        tell_json({"headend": installed_version(), "python": platform.python_version()})
    else:
        print(f"headend {installed_version()} on Python {platform.python_version()}")
