"""Logs: one JSON object a line, of ours and of the libraries, on standard error, masked."""

import logging
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, ProcessorReturnValue, WrappedLogger

from api.masking import masked

# They tell every statement and every packet at INFO; their warnings are enough.
_CHATTY = ("sqlalchemy", "aiosqlite", "pymodbus", "amqtt", "transitions", "httpx2", "alembic")


def configure_logs(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log of this process through one chain; the last link masks secrets.

    `level` is a name such as "INFO". Called once, by the command line.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _take_over(level, shared, stream or sys.stderr)


def _take_over(level: str, shared: list[structlog.types.Processor], stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _mask_values,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=_told),
                _mask_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True


def _mask_values(_logger: WrappedLogger, _name: str, line: EventDict) -> EventDict:
    return {name: _masked(value) for name, value in line.items()}


def _masked(value: object) -> object:
    match value:
        case str():
            return masked(value)
        case bool():
            return value
        case int() if masked(str(value)) != str(value):
            return masked(str(value))
        case Mapping():
            return {masked(str(name)): _masked(part) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(part) for part in value]
        case _:
            return value


def _told(value: object) -> str:
    return masked(str(value))


def _mask_line(_logger: WrappedLogger, _name: str, line: EventDict | str) -> ProcessorReturnValue:
    """The last link: the finished line, whatever it is made of."""
    return masked(str(line))
