"""Runs the steps on the connection that `adapters.store.migrate` brings, in its transaction."""

from alembic import context

from adapters.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by building a new one.
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
