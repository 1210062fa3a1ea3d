"""The database: SQLite (embedded) and PostgreSQL under one schema, behind the store port."""
