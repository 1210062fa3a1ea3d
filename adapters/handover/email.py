"""Digits by mail, through an SMTP server of the utility (RFC 5321; submission RFC 6409).

One connection a message, closed whatever happens. What the server answers is told by its code only,
for its texts repeat addresses.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from enum import StrEnum, unique
from pathlib import Path
from urllib.parse import quote

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from adapters.handover.addresses import is_mailbox, mailbox_of
from adapters.handover.message import Message
from adapters.handover.providers import ProviderDown
from headend.errors import Misconfigured, NotSent
from headend.ports import Clock
from headend.usage_points import Contact

# One that hangs must leave time for the next: see `supply_groups.HAND_OVER_LEAD_S`.
DEFAULT_TIMEOUT_S = 8.0
QUIT_TIMEOUT_S = 2.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@unique
class SmtpSecurity(StrEnum):
    """How the connection is kept secret."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"

    @property
    def port(self) -> int:
        """The customary port."""
        return {"starttls": 587, "tls": 465, "none": 25}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """One mail server. `ca_file` names certificates to trust instead of the system's.

    `timeout_s` bounds a whole message; `port` None is the customary one.
    """

    host: str
    sender: str
    sender_name: str = ""
    port: int | None = None
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S


class EmailMessenger:
    """Carries messages to mail addresses; raises Misconfigured for settings that cannot work."""

    def __init__(self, settings: SmtpSettings, clock: Clock) -> None:
        _require_usable(settings)
        self._settings = settings
        self._clock = clock
        self._sender = _sender(settings)
        self._tls = _tls(settings)

    async def send(self, message: Message, contact: Contact) -> str | None:
        """Give a message to the mail server; raises NotSent."""
        recipient = mailbox_of(contact)
        letter = self._letter(message, recipient)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._post(letter, recipient)
        except SMTPRecipientsRefused as exc:
            codes = sorted({refused.code for refused in exc.recipients})
            raise NotSent(f"the mail server refused the recipient: {codes}") from None
        except SMTPDataError as exc:
            raise NotSent(f"the mail server answered {exc.code}") from None
        except SMTPResponseException as exc:
            raise ProviderDown(f"the mail server answered {exc.code}") from None
        except (SMTPException, OSError, TimeoutError) as exc:
            raise ProviderDown(f"no use of the mail server: {type(exc).__name__}") from None
        return None

    async def aclose(self) -> None:
        """Nothing is held between messages."""

    async def _post(self, letter: EmailMessage, recipient: str) -> None:
        settings = self._settings
        client = SMTP(
            hostname=settings.host,
            port=settings.port or settings.security.port,
            username=settings.user,
            password=settings.password,
            timeout=None,  # `send` bounds the whole, and so a cancelled wait ends at once
            use_tls=settings.security is SmtpSecurity.TLS,
            start_tls=settings.security is SmtpSecurity.STARTTLS,
            tls_context=self._tls,
        )
        try:
            await client.connect()
            await client.send_message(letter, sender=settings.sender, recipients=[recipient])
            # It is given now: a bad goodbye takes nothing back.
            with suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=QUIT_TIMEOUT_S)
        finally:
            client.close()

    def _letter(self, message: Message, recipient: str) -> EmailMessage:
        letter = EmailMessage(policy=SMTP_POLICY)
        letter["From"] = self._sender
        letter["To"] = Address(addr_spec=recipient)
        letter["Subject"] = message.subject
        letter["Date"] = format_datetime(self._clock.now())
        letter["Message-ID"] = f"<{quote(message.id, safe='')}@{self._sender.domain}>"
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday note answers
        letter.set_content(f"{message.text}\n", cte="quoted-printable")
        return letter


def _require_usable(settings: SmtpSettings) -> None:
    if not _is_host(settings.host):
        raise Misconfigured("smtp: host must be the name or the address of a server")
    if (settings.user is None) != (settings.password is None):
        raise Misconfigured("smtp: user and password come together")
    secret = settings.security is not SmtpSecurity.NONE or settings.host in LOOPBACK
    if settings.user is not None and not secret:
        raise Misconfigured("smtp: a password needs security starttls or tls")
    if settings.timeout_s <= 0:
        raise Misconfigured("smtp: timeout_s must be more than zero")


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _sender(settings: SmtpSettings) -> Address:
    if not is_mailbox(settings.sender):
        raise Misconfigured("smtp: sender must be a mail address")
    if not settings.sender_name.isprintable():
        raise Misconfigured("smtp: sender_name must be one line of text")
    return Address(settings.sender_name, addr_spec=settings.sender)


def _tls(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security is SmtpSecurity.NONE:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as exc:
        raise Misconfigured(f"smtp: ca_file {settings.ca_file}: {exc.strerror or exc}") from exc
