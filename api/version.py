"""The version of this head-end, as it was installed."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The package's version; `0+source` in a source tree that was never installed."""
    try:
        return version("headend")
    except PackageNotFoundError:
        return "0+source"
