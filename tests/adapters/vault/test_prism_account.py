"""The module's password comes from the environment or a private file, and is never shown."""

import pytest

from adapters.vault.prism_account import VARIABLE, AccountUnusable, Password, load_account
from adapters.vault.private_file import FileUnusable

SECRET = "correct horse; battery"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "prism.password"
    place.write_text(f"{SECRET}\n")
    place.chmod(0o600)
    return place


def test_a_private_file_holds_it(file):
    account = load_account("local", "headend", file)
    assert account.password == Password(SECRET)
    assert SECRET not in repr(account)


def test_the_environment_comes_first(file, monkeypatch):
    monkeypatch.setenv(VARIABLE, "another one")
    assert load_account("local", "headend", file).password == Password("another one")


def test_a_file_open_to_others_is_refused(file):
    file.chmod(0o640)
    with pytest.raises(FileUnusable, match="chmod 600"):
        load_account("local", "headend", file)


def test_without_either_it_is_told_what_to_set():
    with pytest.raises(AccountUnusable, match=f"set {VARIABLE} or name a password file"):
        load_account("local", "headend", None)


@pytest.mark.parametrize("text", ["", "\n", "x" * 56, "tab\there", "umlaut ä", "two\nlines"])
def test_what_the_module_would_not_take_is_refused_and_not_repeated(file, text):
    file.write_text(text)
    with pytest.raises(AccountUnusable, match="1 to 55 printable ASCII") as caught:
        load_account("local", "headend", file)
    assert not text.strip() or text not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "x" * 41, ".a", "ä", "a\n"])
def test_realm_and_user_name_are_idents(file, name):
    for realm, username in [(name, "headend"), ("local", name)]:
        with pytest.raises(AccountUnusable, match="realm and user name"):
            load_account(realm, username, file)
