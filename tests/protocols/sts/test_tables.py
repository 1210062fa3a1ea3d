"""Numbers of the standard, and the ones it withdrew."""

from datetime import UTC, datetime

import pytest

from protocols.sts.errors import UnsupportedError
from protocols.sts.tables import BaseDate, CreditSubclass, Dkga, EncryptionAlgorithm


@pytest.mark.parametrize("number", [1, 3])
def test_withdrawn_key_generation_is_refused(number: int):
    with pytest.raises(UnsupportedError, match=f"dkga: DKGA0{number} is withdrawn, not supported"):
        Dkga(number)


def test_withdrawn_des_encryption_is_refused():
    with pytest.raises(UnsupportedError, match="ea: EA09 is withdrawn, not supported; use EA07"):
        EncryptionAlgorithm(9)


@pytest.mark.parametrize("table", [Dkga, EncryptionAlgorithm])
@pytest.mark.parametrize("number", [0, 12, "11"])
def test_an_unknown_algorithm_is_refused(
    table: type[Dkga] | type[EncryptionAlgorithm], number: int
):
    with pytest.raises(UnsupportedError, match="no such"):
        table(number)


def test_base_dates_are_midnight_utc_and_have_two_digits():
    assert [base.code for base in BaseDate] == ["93", "14", "35"]
    assert BaseDate.Y2014.epoch == datetime(2014, 1, 1, tzinfo=UTC)


def test_the_upper_four_credit_subclasses_are_currency():
    assert [subclass.is_currency for subclass in CreditSubclass] == [False] * 4 + [True] * 4
