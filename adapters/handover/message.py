"""What a person reads: meter number and digits first, the rest after (templates as data).

The texts are `templates/<language>.toml`. With one token a message fits one SMS; what would not fit
(a long reference) is left out, never the digits. Knows nothing of who carries it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Formatter

import msgspec

from adapters.handover.gsm7 import fold, room_of, septets
from headend.errors import Misconfigured
from headend.ports import Alert, Note

DEFAULT_LANGUAGE = "en"
GROUP = 4
MAX_VALUE = 64  # a reference longer than this says nothing to a person


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one person. `id` names it, so that it can be known when it comes twice.

    The subject never carries digits: it shows on locked screens and in mail logs.
    """

    id: str
    subject: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The texts of one language; which placeholders each may hold is in PLACEHOLDERS."""

    subject: str
    test: str
    meter: str
    one: str
    several: str
    each: str
    amount: str
    reference: str
    taken_subject: str
    taken: str
    dark_subject: str = "Paid but dark: meter {meter}"
    dark: str = "Paid {minutes} min ago and not lit ({state})."
    limit: str = "Dark beyond the legal limit, {minutes} min after payment ({state})."
    recharge: str = "Recharge {recharge}"


PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "subject": frozenset({"meter"}),
    "test": frozenset(),
    "meter": frozenset({"meter"}),
    "one": frozenset({"digits"}),
    "several": frozenset({"count"}),
    "each": frozenset({"number", "count", "digits"}),
    "amount": frozenset({"amount"}),
    "reference": frozenset({"reference"}),
    "taken_subject": frozenset({"meter"}),
    "taken": frozenset(),
    "dark_subject": frozenset({"meter"}),
    "dark": frozenset({"minutes", "state"}),
    "limit": frozenset({"minutes", "state"}),
    "recharge": frozenset({"recharge"}),
}


class Templates:
    """The languages there are."""

    def __init__(self, by_language: Mapping[str, Template]) -> None:
        if DEFAULT_LANGUAGE not in by_language:
            raise Misconfigured(f"there is no template {DEFAULT_LANGUAGE}.toml to fall back to")
        self._by_language = dict(by_language)

    @property
    def languages(self) -> Sequence[str]:
        """The tags of the templates, sorted."""
        return sorted(self._by_language)

    def of(self, language: str) -> Template:
        """The template of a BCP 47 tag: "fr-CD" falls back to "fr", and all else to English."""
        tag = language.replace("_", "-").lower()
        while tag:
            if tag in self._by_language:
                return self._by_language[tag]
            tag = tag.rpartition("-")[0]
        return self._by_language[DEFAULT_LANGUAGE]

    def compose(self, note: Note) -> Message:
        """The message of a note, in its language."""
        template = self.of(note.language)
        if note.taken:
            subject = template.taken_subject.format(meter=note.drn)
            must = [template.meter.format(meter=note.drn), template.taken]
            return Message(f"{note.id}.taken", subject, _fitting(must, _extras(template, note)))
        assert note.digits, "a note without digits tells that all is well"
        subject = template.subject.format(meter=note.drn)
        must = [template.meter.format(meter=note.drn), *_tokens(template, note.digits)]
        if note.test:
            must.insert(0, template.test)
        return Message(note.id, subject, _fitting(must, _extras(template, note)))

    def alert(self, alert: Alert) -> Message:
        """The message of an alert, in its language; the words of its state are English."""
        template = self.of(alert.language)
        says = template.limit if alert.limit else template.dark
        must = [
            template.meter.format(meter=alert.drn),
            says.format(minutes=alert.minutes, state=_plain(alert.state)),
        ]
        extras = [template.recharge.format(recharge=alert.recharge)]
        if reference := _plain(alert.reference):
            extras.append(template.reference.format(reference=reference))
        subject = template.dark_subject.format(meter=alert.drn)
        return Message(alert.id, subject, _fitting(must, extras))


def load_templates(folder: Traversable | None = None) -> Templates:
    """The shipped templates, or those of a folder; raises Misconfigured, naming file and field."""
    source = folder or files("adapters.handover") / "templates"
    try:
        found = [file for file in source.iterdir() if file.name.endswith(".toml")]
    except OSError as exc:
        raise Misconfigured(f"templates: {source}: {exc.strerror}") from exc
    return Templates({file.name.removesuffix(".toml").lower(): _read(file) for file in found})


def grouped(digits: str) -> str:
    """Groups of four, as on a receipt (IEC 62055-51)."""
    return " ".join(digits[start : start + GROUP] for start in range(0, len(digits), GROUP))


def _tokens(template: Template, digits: Sequence[str]) -> Sequence[str]:
    if len(digits) == 1:
        return [template.one.format(digits=grouped(digits[0]))]
    count = len(digits)
    lines = (
        template.each.format(number=number, count=count, digits=grouped(token))
        for number, token in enumerate(digits, start=1)
    )
    return [template.several.format(count=count), *lines]


def _extras(template: Template, note: Note) -> Sequence[str]:
    """What is good to know, the most useful first."""
    lines = []
    if amount := _plain(note.amount):
        lines.append(template.amount.format(amount=amount))
    if reference := _plain(note.reference):
        lines.append(template.reference.format(reference=reference))
    return lines


def _plain(value: str | None) -> str:
    """One line of printable text; empty when there is none, or too much to be worth telling."""
    line = " ".join("".join(c if c.isprintable() else " " for c in value or "").split())
    return line if len(line) <= MAX_VALUE else ""


def _fitting(must: Sequence[str], extras: Sequence[str]) -> str:
    """All lines that are needed, and of the others as many as fit the same SMS."""
    text = "\n".join(must)
    room = room_of(septets(fold(text)))
    for line in extras:
        longer = f"{text}\n{line}"
        if septets(fold(longer)) <= room:
            text = longer
    return text


def _read(file: Traversable) -> Template:
    try:
        template = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Template)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise Misconfigured(f"template {file.name}: {exc}") from exc
    for name, expected in PLACEHOLDERS.items():
        if (found := _placeholders(getattr(template, name))) != expected:
            wanted = " ".join(f"{{{part}}}" for part in sorted(expected)) or "no placeholder"
            raise Misconfigured(f"template {file.name}: {name} takes {wanted}, not {sorted(found)}")
    return template


def _placeholders(text: str) -> set[str]:
    try:
        parts = Formatter().parse(text)
        return {f"{name}{spec}{cast or ''}" for _, name, spec, cast in parts if name is not None}
    except ValueError:
        return {text}
