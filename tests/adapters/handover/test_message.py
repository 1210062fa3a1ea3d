"""What people read: in their language, digits first, one SMS."""

import pytest

from adapters.handover.gsm7 import BASIC, EXTENDED, SEPTETS, fold, septets
from adapters.handover.message import PLACEHOLDERS, load_templates
from headend.errors import Misconfigured
from headend.meters import Drn, TenantId
from headend.tokens import Token, TokenPurpose
from tests.adapters.handover.conftest import DIGITS, GROUPS, a_note

TEMPLATES = load_templates()
LANGUAGES = TEMPLATES.languages
GOOD = "\n".join(
    f'{name} = "{" ".join(f"{{{part}}}" for part in sorted(parts))}"'
    for name, parts in PLACEHOLDERS.items()
)


def test_the_languages_are_those_we_say():
    assert LANGUAGES == ["af", "de", "en", "es", "fr", "id", "pt", "sw"]


def test_one_token_in_english():
    message = TEMPLATES.compose(a_note())
    assert message.text == (
        "Meter 0000000000000\nToken 5862 5789 9869 9135 7486\nAmount 25.6 kWh\nRef R-4711"
    )
    assert message.subject == "Token for meter 0000000000000"
    assert message.id == a_note().id


def test_several_tokens_are_numbered_in_the_order_of_entry():
    note = a_note(digits=("0" * 20, "1" * 20, "2" * 20), amount=None, reference=None)
    assert TEMPLATES.compose(note).text == (
        "Meter 0000000000000\n"
        "3 tokens, enter in this order:\n"
        "1 of 3: 0000 0000 0000 0000 0000\n"
        "2 of 3: 1111 1111 1111 1111 1111\n"
        "3 of 3: 2222 2222 2222 2222 2222"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_token_of_a_test_key_says_so_first_in_one_sms(language):
    text = TEMPLATES.compose(a_note(language=language, test=True)).text
    assert text.startswith(f"{TEMPLATES.of(language).test}\n")
    assert GROUPS in text
    assert septets(fold(text)) <= SEPTETS
    assert TEMPLATES.of(language).test not in TEMPLATES.compose(a_note(language=language)).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_token_fits_one_sms_with_amount_and_reference(language):
    note = a_note(language=language, amount="1820162.4 kWh", reference="INV-2026-000123456789")
    text = TEMPLATES.compose(note).text
    assert septets(fold(text)) <= SEPTETS
    assert "1820162.4 kWh" in text
    assert "INV-2026-000123456789" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reference", ["x" * 64, "€" * 64, "x" * 10_000, "日" * 60])
def test_what_does_not_fit_is_left_out_and_never_the_digits(language, reference):
    text = TEMPLATES.compose(a_note(language=language, reference=reference)).text
    assert septets(fold(text)) <= SEPTETS
    assert GROUPS in text
    assert "25.6 kWh" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_number_and_digits_come_first_and_survive_folding(language):
    lines = fold(TEMPLATES.compose(a_note(language=language)).text).split("\n")
    assert lines[0].endswith(" 0000000000000")
    assert lines[1].endswith(f" {GROUPS}")
    assert "?" not in "".join(lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_good_news_needs_no_digits_and_fits(language):
    note = a_note(language=language, taken=True, digits=())
    message = TEMPLATES.compose(note)
    assert septets(fold(message.text)) <= SEPTETS
    assert set(fold(message.text)) <= BASIC | EXTENDED
    assert "0000000000000" in message.text
    assert "25.6 kWh" in message.text


def test_good_news_has_a_name_of_its_own_and_never_shows_digits():
    first, news = TEMPLATES.compose(a_note()), TEMPLATES.compose(a_note(taken=True))
    assert first.id != news.id
    assert GROUPS not in news.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_subject_has_no_digits_of_a_token(language):
    message = TEMPLATES.compose(a_note(language=language))
    assert "0000000000000" in message.subject
    assert not any(group in message.subject for group in GROUPS.split())


@pytest.mark.parametrize(
    ("tag", "like"),
    [("fr-CD", "fr"), ("FR_cd", "fr"), ("pt-Latn-MZ", "pt"), ("xx", "en"), ("", "en"), ("-", "en")],
)
def test_an_unknown_language_falls_back(tag, like):
    assert TEMPLATES.of(tag) is TEMPLATES.of(like)
    assert (TEMPLATES.of("fr") is TEMPLATES.of("en")) is False


def test_a_reference_cannot_write_lines_of_its_own():
    note = a_note(reference="R-1\nToken 0000 0000\r\u2028x {digits}")
    lines = TEMPLATES.compose(note).text.split("\n")
    assert lines[-1] == "Ref R-1 Token 0000 0000 x {digits}"
    assert len(lines) == 4


def test_a_message_does_not_print_its_digits():
    message = TEMPLATES.compose(a_note())
    assert GROUPS not in repr(message)
    assert DIGITS not in repr(message)


def test_digits_are_grouped_as_tokens_group_them():
    token = Token(
        id="t", tenant=TenantId("city"), drn=Drn("1"), delivery_id="d", sequence=1,
        purpose=TokenPurpose.CREDIT, digits=DIGITS,
    )  # fmt: skip
    assert token.grouped in TEMPLATES.compose(a_note()).text


def test_own_templates_may_take_the_place_of_ours(tmp_path):
    (tmp_path / "en.toml").write_text(GOOD)
    (tmp_path / "PT-mz.toml").write_text(GOOD)
    assert load_templates(tmp_path).languages == ["en", "pt-mz"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("{meter}", "{meter.__class__}"), "subject takes {meter}"),
        (GOOD.replace("{meter}", "{meter!r}"), "subject takes {meter}"),
        (GOOD.replace("{meter}", "{meter:>99}"), "subject takes {meter}"),
        (GOOD.replace("{reference}", "nothing"), "reference takes {reference}"),
        (GOOD.replace("{amount}", "{amount"), "amount takes {amount}"),
        (GOOD.replace('taken = ""', 'taken = "{digits}"'), "taken takes no placeholder"),
        (GOOD.replace("taken_subject", "taken_subjects"), "taken_subject"),
        (GOOD + "\n=", "en.toml"),
    ],
)
def test_a_wrong_template_is_named_with_its_field(tmp_path, text, told):
    (tmp_path / "en.toml").write_text(text)
    with pytest.raises(Misconfigured, match=told):
        load_templates(tmp_path)


def test_templates_without_english_are_refused(tmp_path):
    (tmp_path / "fr.toml").write_text(GOOD)
    with pytest.raises(Misconfigured, match=r"en\.toml"):
        load_templates(tmp_path)


def test_a_missing_folder_of_templates_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="nowhere"):
        load_templates(tmp_path / "nowhere")
