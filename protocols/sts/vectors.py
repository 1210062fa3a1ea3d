"""Check of the codec against published STS test vectors, one record at a time.

Everything is really computed, intermediate values included, and tokens are decoded back. A record
of a kind or form that is not known raises VectorError: nothing is skipped. EA07 records that were
not made with the sample tables need the licensed set; without it all else of them is compared and
the outcome says so.
"""

from collections.abc import Callable, Mapping

from protocols.sts.amount import encode_currency, encode_units
from protocols.sts.crc import crc
from protocols.sts.drn import Drn, MeterPan, luhn_digit
from protocols.sts.errors import CheckDigitError, StsError
from protocols.sts.keys import control_block, pan_block
from protocols.sts.misty1 import Misty1
from protocols.sts.sta import StaTables
from protocols.sts.tables import BaseDate, KeyType, TokenClass
from protocols.sts.tid import next_tid
from protocols.sts.token import clear_block
from protocols.sts.validity import is_expired
from protocols.sts.vector_contents import credit_of, management_of
from protocols.sts.vector_records import Outcome, Record, VectorError, Verdict
from protocols.sts.vector_tokens import (
    check_credit,
    check_key_change,
    check_management,
    check_meter_test,
    key_of,
)

__all__ = ["Outcome", "VectorError", "Verdict", "check", "records"]

BLOCK_BYTES = 8
ACCEPTED = {"accept", "accepted", "ok", "valid"}


def check(record: Mapping[str, object], tables: StaTables | None = None) -> Outcome:
    """Check one record; ``tables`` is a licensed EA07 set, where there is one.

    A record that our code computes otherwise, or refuses, is FAILED. VectorError, naming record and
    field, where a field is missing, malformed or unknown, or the kind is unknown.
    """
    opened = Record(record, tables)
    checker = _CHECKS.get(opened.kind)
    if checker is None:
        raise VectorError(f"{opened.id}.kind", "is unknown")
    try:
        checker(opened)
    except VectorError:
        raise
    except StsError as error:
        return opened.failure(error)
    return opened.outcome()


def records(document: object) -> list[Mapping[str, object]]:
    """The records of a parsed vector file, ``{"vectors": [...]}``; VectorError for another form."""
    listed = document.get("vectors") if isinstance(document, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(record, Mapping) for record in listed):
        raise VectorError("vectors", "must be a list of objects")
    return listed


def _check_amount(record: Record) -> None:
    if "amount_1e5" in record.inputs:
        code = encode_currency(record.inputs.integer("amount_1e5"))
        record.compare_if_there(record.expected, "s_and_e", code >> 16)
        record.compare_expected("field", f"{code & 0xFFFF:04x}")
        return
    record.compare_expected("field", f"{encode_units(record.inputs.integer('amount_tenths')):04x}")


def _check_misty1(record: Record) -> None:
    inputs = record.inputs
    cipher = Misty1(inputs.octets("key"))
    plaintext = inputs.octets("plaintext")
    if len(plaintext) != BLOCK_BYTES:
        raise inputs.wrong("plaintext", f"must be {BLOCK_BYTES} bytes")
    ciphertext = cipher.encrypt(int.from_bytes(plaintext))
    record.compare_expected("ciphertext", f"{ciphertext:016x}")
    record.compare("decrypted", f"{cipher.decrypt(ciphertext):016x}", plaintext.hex())


def _check_clear_block(record: Record) -> None:
    management = record.inputs.member("token_class", TokenClass) is TokenClass.MANAGEMENT
    contents = management_of(record) if management else credit_of(record)
    block = clear_block(contents)
    for part in (record.expected, record.computed):
        record.compare_if_there(part, "tid_binary", f"{contents.tid:024b}")
        record.compare_if_there(part, "amount_binary", f"{block >> 16 & 0xFFFF:016b}")
        record.compare_if_there(part, "crc", f"{block & 0xFFFF:04x}")
        record.compare_if_there(part, "clear_block", f"{block:016x}")


def _check_control_block(record: Record) -> None:
    inputs = record.inputs
    block = control_block(
        key_type=inputs.member("kt", KeyType),
        sgc=inputs.integer("sgc"),
        tariff_index=inputs.integer("ti"),
        krn=inputs.integer("krn"),
    )
    record.compare_expected("control_block", block.hex())


def _check_crc(record: Record) -> None:
    record.compare_expected("crc", f"{crc(record.inputs.octets('bytes')):04x}")


def _check_decoder_key(record: Record) -> None:
    value = key_of(record).value
    record.compare_expected("decoder_key", value.hex())
    record.compare_if_there(record.expected, "decoder_key_byte_reversed", value[::-1].hex())


def _check_luhn(record: Record) -> None:
    if "meter_pan" not in record.inputs:
        record.compare_expected("check_digit", luhn_digit(record.inputs.text("payload")))
        return
    pan = MeterPan(record.inputs.text("meter_pan"))
    record.compare_expected("drn_check", str(luhn_digit(pan.drn.digits[:-1])))
    record.compare_expected("pan_check", str(luhn_digit(pan.digits[:-1])))


def _check_key_expiry(record: Record) -> None:
    inputs = record.inputs
    tid = inputs.integer("tid")
    record.compare_if_there(inputs, "tid_top8", tid >> 16)
    expired = is_expired(tid, inputs.integer("ken"))
    _compare_refusal(record, "KeyExpired", refused=expired)


def _check_luhn_refusal(record: Record) -> None:
    inputs = record.inputs
    try:
        if "meter_pan" in inputs:
            MeterPan(inputs.text("meter_pan"))
        else:
            Drn(inputs.text("drn"))
    except CheckDigitError:
        _compare_refusal(record, "Luhn error", refused=True)
    else:
        _compare_refusal(record, "Luhn error", refused=False)


def _compare_refusal(record: Record, name: str, *, refused: bool) -> None:
    """Compare with ``expected.result``: the refusal's name and more words, or an acceptance."""
    result = record.expected.text("result")
    refusing = result.lower().startswith(name.lower())
    if not refusing and result.lower() not in ACCEPTED:
        raise record.expected.wrong("result", f"must begin with {name}, or be one of {ACCEPTED}")
    record.compare("refused", refused, refusing)


def _check_pan_block(record: Record) -> None:
    inputs = record.inputs
    block = pan_block(inputs.text("iin"), inputs.text("drn"), inputs.member("kt", KeyType))
    record.compare_expected("pan_block", block.hex())


def _check_tid(record: Record) -> None:
    inputs = record.inputs
    last = inputs.integer("last") if "last" in inputs else None
    tid = next_tid(inputs.member("base_date", BaseDate), inputs.moment("time"), last)
    record.compare_expected("tid", tid)


_CHECKS: Mapping[str, Callable[[Record], None]] = {
    "amount": _check_amount,
    "cipher.misty1": _check_misty1,
    "clear_block": _check_clear_block,
    "control_block": _check_control_block,
    "crc": _check_crc,
    "decoder_key": _check_decoder_key,
    "luhn": _check_luhn,
    "negative.key_expiry": _check_key_expiry,
    "negative.luhn": _check_luhn_refusal,
    "pan_block": _check_pan_block,
    "tid": _check_tid,
    "token.credit.currency": check_credit,
    "token.credit.units": check_credit,
    "token.extended": check_management,
    "token.management": check_management,
    "token.test_display": check_meter_test,
    "token_set.key_change": check_key_change,
}
