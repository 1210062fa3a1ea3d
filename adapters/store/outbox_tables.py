"""Tables of the outbox: announcements, their counters, webhooks, and what is posted to them.

Announcements and postings come in numbers, so they have no foreign keys; pruning bounds them.
`drn` is empty for what concerns no single meter, so that it can stand in keys.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from adapters.store.columns import COUNTER, MOMENT, literals
from adapters.store.tables import metadata
from headend.webhooks import PostingState

announcements = Table(
    "announcements",
    metadata,
    Column("number", COUNTER, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("drn", String, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("occurrence", String, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("data", JSON, nullable=False),
    Column("cursor", BigInteger),
    Index("uq_announcements_sequence", "tenant", "drn", "sequence", unique=True),
    Index("ix_announcements_stream", "tenant", "cursor"),
    Index("ix_announcements_at", "at"),
)
Index("uq_announcements_cursor", announcements.c.cursor, unique=True)
UNORDERED = announcements.c.cursor.is_(None)
Index(
    "ix_announcements_unordered",
    announcements.c.number,
    sqlite_where=UNORDERED,
    postgresql_where=UNORDERED,
)

# The last sequence given, one row a meter.
announcement_counters = Table(
    "announcement_counters",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

# One row: who holds its lock gives cursors.
announcement_tail = Table(
    "announcement_tail",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("newest", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("url", String, nullable=False),
    Column("description", String, nullable=False),
    Column("types", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("paused_by", String),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("master_id", String, nullable=False),
    Column("old_nonce", LargeBinary),
    Column("old_ciphertext", LargeBinary),
    Column("old_master_id", String),
    Column("old_until", MOMENT),
    Column("failures", Integer, nullable=False),
    Column("failing_since", MOMENT),
    Column("rest_until", MOMENT),
    Column("status", Integer),
    Column("detail", String, nullable=False),
    Column("told_at", MOMENT),
    Column("version", Integer, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
    Index("ix_webhooks_tenant", "tenant", "created_at", "id"),
)

postings = Table(
    "postings",
    metadata,
    Column("webhook_id", String, primary_key=True),
    Column("cursor", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", String, nullable=False),
    Column("drn", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", MOMENT, nullable=False),
    Column("give_up_at", MOMENT, nullable=False),
    Column("status", Integer),
    Column("detail", String, nullable=False),
    Column("lease_id", String),
    Column("lease_until", MOMENT),
    Column("ended_at", MOMENT),
    Index("ix_postings_ended", "state", "ended_at"),
)
PENDING = postings.c.state.in_(literals([PostingState.PENDING]))
DEAD = postings.c.state.in_(literals([PostingState.DEAD]))
KEPT = postings.c.state.in_(literals([PostingState.DEAD, PostingState.PENDING]))
Index(
    "ix_postings_due",
    postings.c.webhook_id,
    postings.c.not_before,
    postings.c.cursor,
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)
Index(
    "ix_postings_meter",
    postings.c.webhook_id,
    postings.c.drn,
    postings.c.cursor,
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)
Index(
    "ix_postings_dead",
    postings.c.webhook_id,
    postings.c.cursor,
    sqlite_where=DEAD,
    postgresql_where=DEAD,
)
Index("ix_postings_kept", postings.c.cursor, sqlite_where=KEPT, postgresql_where=KEPT)
