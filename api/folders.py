"""Folders of the settings: made when first needed, for nobody else to read."""

from pathlib import Path

from api.settings import SettingsRefused


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raises SettingsRefused."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsRefused(f"folder {folder} cannot be made: {error.strerror}") from None
