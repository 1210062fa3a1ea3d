"""The master key: where it comes from, what it opens, and that it never shows."""

import os
import stat

import pytest

from adapters.vault.master_key import (
    VARIABLE,
    MasterKey,
    MasterKeys,
    MasterKeyUnusable,
    SealBroken,
    Sealed,
    UnknownMasterKey,
    load_master_keys,
)
from adapters.vault.private_file import FileUnusable
from headend.errors import ModuleDown
from tests.adapters.vault.conftest import (
    MASTER,
    OTHER_MASTER,
    assert_hidden,
    everything_told,
)

OLD, NEW = MASTER.value.hex(), OTHER_MASTER.value.hex()


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def write(file, text, mode=0o600):
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_variable_comes_before_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, NEW)
    file = write(tmp_path / "master", OLD)
    assert load_master_keys(file).newest_id == OTHER_MASTER.id


def test_a_key_is_named_by_its_hash():
    assert MASTER.id == "630dcd29"  # sha256 of the bytes 0 to 31


@pytest.mark.parametrize("between", ["\n", ",", " , "])
def test_the_first_of_several_seals_and_all_unseal(tmp_path, between):
    sealed = MasterKeys(MASTER).seal(b"secret", bound_to=b"row")
    keys = load_master_keys(write(tmp_path / "master", f"{NEW}{between}{OLD}\n"))
    assert keys.newest_id == OTHER_MASTER.id
    assert keys.unseal(sealed, bound_to=b"row") == b"secret"


def test_a_missing_file_is_made_private_when_told_to(tmp_path):
    file = tmp_path / "master"
    made = load_master_keys(file, create=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["master"]
    assert load_master_keys(file, create=True).newest_id == made.newest_id


def test_a_missing_file_is_not_made_unasked(tmp_path):
    with pytest.raises(FileUnusable, match="No such file"):
        load_master_keys(tmp_path / "master")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileUnusable, match="cannot make"):
        load_master_keys(tmp_path / "nowhere" / "master", create=True)


def test_neither_variable_nor_file_says_what_to_do():
    with pytest.raises(MasterKeyUnusable, match=f"set {VARIABLE} or name"):
        load_master_keys(None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path, mode):
    with pytest.raises(FileUnusable, match="chmod 600"):
        load_master_keys(write(tmp_path / "master", OLD, mode))


@pytest.mark.timeout(10)
def test_a_pipe_in_the_place_of_the_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "master", 0o600)
    with pytest.raises(FileUnusable, match="no regular file"):
        load_master_keys(tmp_path / "master")


@pytest.mark.parametrize(
    "text",
    [OLD[:-1], OLD + "0", OLD[:-1] + "g", f"{NEW} {OLD[:-2]}", "\u0660" * 64, "\n", f"# {OLD}"],
)
def test_what_is_no_key_is_refused_without_showing_it(tmp_path, text):
    with pytest.raises(MasterKeyUnusable, match="64 hex digits") as caught:
        load_master_keys(write(tmp_path / "master", text))
    told = everything_told(caught.value)
    assert OLD[8:24] not in told
    assert NEW[8:24] not in told


def test_a_wrong_variable_does_not_show_itself(monkeypatch):
    monkeypatch.setenv(VARIABLE, OLD[:-1])
    with pytest.raises(MasterKeyUnusable, match=VARIABLE) as caught:
        load_master_keys(None)
    assert OLD[8:24] not in everything_told(caught.value)


def test_another_master_key_opens_nothing_and_both_are_named():
    sealed = MasterKeys(MASTER).seal(b"secret", bound_to=b"row")
    with pytest.raises(UnknownMasterKey, match=f"{MASTER.id}.*{OTHER_MASTER.id}"):
        MasterKeys(OTHER_MASTER).unseal(sealed, bound_to=b"row")


def test_a_key_that_only_bears_the_name_opens_nothing():
    sealed = MasterKeys(MASTER).seal(b"secret", bound_to=b"row")
    with pytest.raises(SealBroken):
        MasterKeys(OTHER_MASTER).unseal(
            Sealed(sealed.nonce, sealed.ciphertext, OTHER_MASTER.id), bound_to=b"row"
        )


@pytest.mark.parametrize("nonce", [b"", bytes(12), bytes(200)])
def test_a_damaged_seal_is_an_error_of_ours(nonce):
    keys = MasterKeys(MASTER)
    sealed = keys.seal(b"secret", bound_to=b"row")
    for ciphertext in (b"", b"short", sealed.ciphertext):
        with pytest.raises(ModuleDown):
            keys.unseal(Sealed(nonce, ciphertext, MASTER.id), bound_to=b"row")


def test_a_secret_sealed_twice_looks_different():
    keys = MasterKeys(MASTER)
    first, second = (keys.seal(b"secret", bound_to=b"row") for _ in range(2))
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext


def test_neither_key_nor_seal_prints_itself():
    key = MasterKey(os.urandom(32))
    sealed = MasterKeys(key).seal(b"secret", bound_to=b"row")
    told = f"{key!r} {MasterKeys(key)!r} {MasterKeys(key)} {sealed!r} {vars(type(key))!r}"
    assert_hidden(told, key.value, sealed.ciphertext, sealed.nonce)
