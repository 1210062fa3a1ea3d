"""What registers prove: credit gained plus consumption equals credit bought, or nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from headend.meters import Drn, TenantId
from headend.readings import Reading, ReadingType
from headend.registers import register_shows

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CREDIT, IMPORT = ReadingType.CREDIT_LEFT_MILLI, ReadingType.ENERGY_IMPORT_WH


def read(at: datetime, credit: int, energy: int | None) -> dict[ReadingType, Reading]:
    values = {CREDIT: credit} | ({} if energy is None else {IMPORT: energy})
    return {
        kind: Reading(
            tenant=TenantId("t"),
            drn=Drn("12345678903"),
            type=kind,
            value=value,
            taken_at=at,
            received_at=at,
        )
        for kind, value in values.items()
    }


LATER = T0 + timedelta(minutes=5)


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(1, 10**5))
def test_the_balance_shows_a_credit_through_any_consumption(credit, used, tenths):
    amount = Decimal(tenths) / 10
    before = read(T0, credit, 1000)
    after = read(LATER, credit + tenths * 100 - used, 1000 + used)
    assert register_shows(before, after, amount)


@given(st.integers(0, 10**5), st.integers(1, 10**5))
def test_without_the_credit_nothing_is_shown(used, tenths):
    before = read(T0, 10**6, 1000)
    after = read(LATER, 10**6 - used, 1000 + used)
    assert not register_shows(before, after, Decimal(tenths) / 10)


def test_without_a_consumption_register_nothing_is_proved():
    assert not register_shows(read(T0, 0, None), read(LATER, 10_000, None), Decimal(10))


def test_a_reading_that_is_not_newer_proves_nothing():
    assert not register_shows(read(T0, 0, 0), read(T0, 10_000, 0), Decimal(10))


def test_nothing_before_means_nothing_proved():
    assert not register_shows({}, read(LATER, 10_000, 0), Decimal(10))
