"""The history of the database schema; `adapters.store.migrate` walks it."""
