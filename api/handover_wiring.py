"""Hand-over, put together: providers in the order of the settings, and how receipts are read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from pydantic import SecretStr

from adapters.handover.email import EmailMessenger, SmtpSecurity, SmtpSettings
from adapters.handover.file_outbox import FileOutbox
from adapters.handover.message import load_templates
from adapters.handover.providers import Messenger, Provider
from adapters.handover.receipts import ReceiptBook
from adapters.handover.router import Router
from adapters.handover.sms_http import SmsGateway, SmsGatewaySettings
from api.observing_messages import ObservedMessenger
from api.settings import Handover, SettingsRefused, SmsHttp, Smtp
from headend.ports import Clock
from headend.recharges import Json
from headend.usage_points import ContactKind

T = TypeVar("T")
OUTBOX = "outbox"


def open_router(settings: Handover, clock: Clock) -> Router:
    """Who carries what, to be closed at the end. Raises SettingsRefused, Misconfigured.

    Nobody is asked before there is a message: a provider that is down keeps nothing from starting.
    """
    outbox = _provider(OUTBOX, FileOutbox(settings.outbox))
    sms = {name: _gateway(name, gateway) for name, gateway in settings.gateways.items()}
    mail = {
        name: _provider(name, EmailMessenger(_smtp(server), clock))
        for name, server in settings.servers.items()
    }
    providers = {
        ContactKind.SMS: _ordered("sms", settings.sms, sms, outbox),
        ContactKind.EMAIL: _ordered("mail", settings.mail, mail, outbox),
    }
    return Router(providers, load_templates(settings.templates))


def receipt_books(settings: Handover) -> Mapping[str, ReceiptBook]:
    """How the receipts of each gateway that brings them are read."""
    return {
        name: ReceiptBook(
            secret=gateway.receipts.secret.get_secret_value(),
            id=gateway.receipts.id,
            status=gateway.receipts.status,
            delivered=frozenset(word.casefold() for word in gateway.receipts.delivered),
            failed=frozenset(word.casefold() for word in gateway.receipts.failed),
        )
        for name, gateway in settings.gateways.items()
        if gateway.receipts is not None
    }


def _ordered(
    key: str, order: Sequence[str], known: Mapping[str, Provider], outbox: Provider
) -> Sequence[Provider]:
    """As the settings name them, else all; the folder where there is nobody."""
    names = list(order) or list(known) or [OUTBOX]
    all_known = {**known, OUTBOX: outbox}
    if (unknown := _first(name for name in names if name not in all_known)) is not None:
        raise SettingsRefused(
            f"handover.{key}: there is no provider {unknown}; known are {', '.join(all_known)}"
        )
    if (unnamed := _first(name for name in known if name not in names)) is not None:
        raise SettingsRefused(f"handover.{key}: the provider {unnamed} is set but not named here")
    if len(set(names)) < len(names):
        raise SettingsRefused(f"handover.{key}: a provider is named twice")
    return [all_known[name] for name in names]


def _first(names: Iterable[T]) -> T | None:
    return next(iter(names), None)


def _provider(
    name: str, messenger: Messenger, *, receipt_within_s: float | None = None
) -> Provider:
    return Provider(name, ObservedMessenger(name, messenger), receipt_within_s=receipt_within_s)


def _gateway(name: str, settings: SmsHttp) -> Provider:
    within_s = settings.receipts.within_s if settings.receipts else None
    return _provider(name, SmsGateway(_sms(settings)), receipt_within_s=within_s)


def _smtp(settings: Smtp) -> SmtpSettings:
    return SmtpSettings(
        host=settings.host,
        sender=settings.sender,
        sender_name=settings.sender_name,
        port=settings.port,
        security=SmtpSecurity(settings.security),
        user=settings.user,
        password=_plain(settings.password),
        ca_file=settings.ca_file,
        timeout_s=settings.timeout_s,
    )


def _sms(settings: SmsHttp) -> SmsGatewaySettings:
    return SmsGatewaySettings(
        url=settings.url.get_secret_value(),
        method=settings.method,
        headers={name: value.get_secret_value() for name, value in settings.headers.items()},
        json=cast(Json, settings.json_body),
        form=settings.form,
        user=settings.user,
        password=_plain(settings.password),
        answer_contains=settings.answer_contains,
        answer_id=settings.answer_id,
        ca_file=settings.ca_file,
        plain_http=settings.plain_http,
        timeout_s=settings.timeout_s,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
