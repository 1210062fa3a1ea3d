"""Column types that keep what the records hold exactly, on SQLite as on PostgreSQL.

SQLite has neither times nor decimals: a time becomes whole microseconds since 1970 (sorts and
compares as a number), a decimal its text. PostgreSQL has both: timestamptz and numeric.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, String, literal_column
from sqlalchemy.sql.expression import ColumnClause
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds_of(moment: datetime) -> int:
    """Whole microseconds since 1970; a time without zone is a TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The time again, aware UTC; raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=microseconds)


class _Microseconds(TypeDecorator[datetime]):
    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else microseconds_of(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else moment_of(value)


class _DecimalText(TypeDecorator[Decimal]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


MOMENT = DateTime(timezone=True).with_variant(_Microseconds(), "sqlite")
EXACT = Numeric().with_variant(_DecimalText(), "sqlite")
# Only INTEGER PRIMARY KEY counts up by itself on SQLite.
COUNTER = BigInteger().with_variant(Integer(), "sqlite")


def literals(states: Iterable[StrEnum]) -> list[ColumnClause[str]]:
    """States written into the SQL: a planner uses a partial index only for what it can see."""
    return [literal_column(f"'{state.value}'", String) for state in sorted(states)]
