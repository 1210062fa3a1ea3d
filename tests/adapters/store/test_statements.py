"""Statements are made once and compiled once, not for each execution."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from sqlalchemy.sql.expression import ClauseElement, Executable

import adapters.store


def statements() -> Iterator[tuple[str, ClauseElement]]:
    """Every statement that stands ready in a module of the store."""
    for module in pkgutil.iter_modules(adapters.store.__path__, "adapters.store."):
        for name, value in vars(importlib.import_module(module.name)).items():
            found = value.values() if isinstance(value, Mapping) else (value,)
            for one in found:
                if isinstance(one, Executable) and isinstance(one, ClauseElement):
                    yield f"{module.name}.{name}", one


def test_every_statement_is_compiled_once():
    found = list(statements())
    assert len(found) > 50
    assert [name for name, one in found if one._generate_cache_key() is None] == []
