"""What must hold of what the back-office is told: every end at least once, no number missing."""

from collections import defaultdict

from headend.outbox import Announced
from headend.recharges import Recharge, RechargeState
from headend.webhooks import PostingState
from tests.city.books import Books
from tests.city.database import Database
from tests.city.site import Site

# Not an end, or said as "created".
_ON_ITS_WAY = frozenset({RechargeState.OPEN})


def judge_books(site: Site, database: Database, books: Books) -> None:
    """When all is quiet."""
    rows = [row for _, row in database.tables["announcements"].rows.values()]
    _judge_sequences(site, rows)
    _judge_ends(site, rows, database)
    _judge_postings(site, rows, database, books)


def _judge_sequences(site: Site, rows: list[Announced]) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        numbers[row.announcement.drn or ""].append(row.sequence)
    for drn, given in numbers.items():
        if sorted(given) != list(range(1, len(given) + 1)):
            site.violated("sequences have no gap", drn, f"{len(given)} up to {max(given)}")


def _judge_ends(site: Site, rows: list[Announced], database: Database) -> None:
    said: dict[object, set[object]] = defaultdict(set)
    for row in rows:
        data = row.announcement.data
        if "recharge" in data and "state" in data:
            said[data["recharge"]].add(data["state"])
    recharges: list[Recharge] = list(database.tables["recharges"].rows.values())
    for recharge in recharges:
        if recharge.state not in _ON_ITS_WAY and recharge.state.value not in said[recharge.id]:
            site.violated(
                "every end is announced", recharge.drn, f"{recharge.id}: {recharge.state}"
            )


def _judge_postings(site: Site, rows: list[Announced], database: Database, books: Books) -> None:
    """Delivered is what the receiver has; what is not delivered is still pending."""
    ids = {row.cursor: row for row in rows}
    for posting in database.tables["postings"].rows.values():
        row = ids[posting.cursor]
        if posting.state is PostingState.DELIVERED and row.id not in books.told:
            site.violated("delivered is what the back-office has", posting.drn or "", row.id)
        if posting.state is PostingState.DEAD:
            site.violated("no event is given up soon", posting.drn or "", row.id)
