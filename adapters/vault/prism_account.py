"""The account under which the head-end signs in to a PrismToken; its password never prints."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from adapters.vault.private_file import PrivateText, read_private
from headend.errors import HeadendError

VARIABLE = "HEADEND_PRISM_PASSWORD"
IDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,-]{0,39}", re.ASCII)
PASSWORD_FORM = re.compile(r"[\x20-\x7e]{1,55}", re.ASCII)


class AccountUnusable(HeadendError):
    """There is no account, or it cannot be one. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Password:
    """1 to 55 printable ASCII characters that never print."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PrismAccount:
    """Realm (`local` for the module's own users) and user name; 1 to 40 characters each."""

    realm: str
    username: str
    password: Password

    def __post_init__(self) -> None:
        for name in (self.realm, self.username):
            if IDENT.fullmatch(name) is None:
                raise AccountUnusable(
                    "realm and user name of the security module are 1 to 40 letters, digits"
                    " and _ . , - each"
                )


def load_account(realm: str, username: str, file: Path | None) -> PrismAccount:
    """The account with its password from HEADEND_PRISM_PASSWORD, else from a private file.

    Raises AccountUnusable, FileUnusable. The variable is read here so that no settings object
    ever holds the password.
    """
    if text := os.environ.get(VARIABLE):
        return PrismAccount(realm, username, _password(PrivateText(VARIABLE, text)))
    if file is None:
        raise AccountUnusable(f"set {VARIABLE} or name a password file in the settings")
    return PrismAccount(realm, username, _password(read_private(file)))


def _password(text: PrivateText) -> Password:
    password = Password(text.text.rstrip("\r\n"))
    if PASSWORD_FORM.fullmatch(password.value) is None:
        raise AccountUnusable(f"{text.place}: a password is 1 to 55 printable ASCII characters")
    return password
