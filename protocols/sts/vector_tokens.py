"""Checks of the vectors that are whole tokens: computed from the vending key, and decoded back."""

from dataclasses import replace

from protocols.sts.block import CRC_BITS, SUBCLASS_SHIFT, has_crc_c
from protocols.sts.cipher import BlockCipher, cipher_for
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.drn import MeterPan
from protocols.sts.errors import StsError
from protocols.sts.keychange import HeldSections, KeyChange, KeySection
from protocols.sts.keys import DecoderKey, VendingKey, derive
from protocols.sts.limits import KEN_MAX
from protocols.sts.management import PhaseUnbalanceLimit, PowerLimit
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType
from protocols.sts.token import TokenContents, clear_block, decode, encode, encode_key_change
from protocols.sts.vector_contents import credit_of, management_of, meter_test_of
from protocols.sts.vector_records import Fields, Record


def check_credit(record: Record) -> None:
    """Credit in units and in currency."""
    credit = credit_of(record)
    code = credit.content()
    record.compare_if_there(record.inputs, "amount_field", code & 0xFFFF)
    record.compare_if_there(record.inputs, "s_and_e", code >> 40 & 0xF)
    _check_encrypted(record, credit)


def check_management(record: Record) -> None:
    """Management and extended tokens, except key changes."""
    management = management_of(record)
    record.compare_if_there(record.inputs, "value_field", management.data)
    _check_encrypted(record, management)


def check_meter_test(record: Record) -> None:
    """Class 1; nothing is encrypted."""
    token = meter_test_of(record)
    _check_clear_block(record, token)
    _check_token(record, token, None)


def check_key_change(record: Record) -> None:
    """A set of two, three or four tokens, also put together again as a meter does."""
    inputs = record.inputs
    algorithm = inputs.member("ea", EncryptionAlgorithm)
    three_kct = bool(inputs.integer("three_kct"))
    old, new = inputs.fields("old"), inputs.fields("new")
    old_key = _key_of(old, inputs)
    change = KeyChange.between(
        _vending_key(old, inputs),
        _vending_key(new, inputs),
        MeterPan(inputs.text("meter_pan")),
        tariff_index=new.integer("ti"),
        algorithm=algorithm,
    )
    sections = change.sections(three_kct=three_kct)
    record.compare("rollover", int(change.rollover), inputs.integer("rollover"))
    computed = record.computed
    record.compare_if_there(computed, "old_decoder_key", old_key.value.hex())
    record.compare_if_there(computed, "new_decoder_key", change.key.value.hex())
    if "clear_blocks" in computed:
        blocks = [f"{clear_block(section):016x}" for section in sections]
        record.compare_list(computed, "clear_blocks", blocks)
    cipher = _cipher_of(record, old_key)
    if cipher is None:
        record.expected.texts("tokens")
        return
    tokens = list(encode_key_change(change, cipher, three_kct=three_kct))
    record.compare_list(record.expected, "tokens", tokens)
    if "tokens" in computed:
        record.compare_list(computed, "tokens", tokens)
    _check_assembly(record, change, tokens, cipher)


def key_of(record: Record) -> DecoderKey:
    """Decoder key of a record: derived, or given outright; compared with the computed one."""
    key = _key_of(record.inputs, record.inputs)
    record.compare_if_there(record.computed, "decoder_key", key.value.hex())
    return key


def _check_encrypted(record: Record, contents: TokenContents) -> None:
    _check_clear_block(record, contents)
    cipher = _cipher_of(record, key_of(record))
    if cipher is None:
        record.expected.text("token")
        return
    if "cipher_block" in record.computed:
        block = cipher.encrypt(clear_block(contents))
        record.compare_if_there(record.computed, "cipher_block", f"{block:016x}")
    _check_token(record, contents, cipher)


def _check_clear_block(record: Record, contents: TokenContents) -> None:
    block = clear_block(contents)
    record.compare("token_class", int(contents.token_class), record.inputs.integer("token_class"))
    record.compare_if_there(record.computed, "clear_block", f"{block:016x}")
    is_crc_c = has_crc_c(contents.token_class, block >> CRC_BITS >> SUBCLASS_SHIFT)
    record.compare_if_there(record.computed, "crc_kind", "CRC_C" if is_crc_c else "CRC")


def _check_token(record: Record, contents: TokenContents, cipher: BlockCipher | None) -> None:
    record.compare_expected("token", encode(contents, cipher))
    expected = record.expected.text("token")
    record.compare("decoded", _decoded(expected, cipher), repr(_as_encoded(contents)))


def _decoded(digits: str, cipher: BlockCipher | None) -> str:
    try:
        return repr(decode(digits, cipher))
    except StsError as error:
        return type(error).__name__


def _as_encoded(contents: TokenContents) -> TokenContents:
    match contents:
        case CreditUnits():
            return replace(contents, amount_tenths=contents.encoded_tenths)
        case CreditCurrency():
            return replace(contents, amount_1e5=contents.encoded_1e5)
        case PowerLimit() | PhaseUnbalanceLimit():
            return replace(contents, watts=contents.encoded_watts)
        case _:
            return contents


def _check_assembly(
    record: Record, change: KeyChange, tokens: list[str], cipher: BlockCipher
) -> None:
    held = HeldSections(cipher.algorithm)
    for digits in reversed(tokens):
        section = decode(digits, cipher)
        assert isinstance(section, KeySection)
        held = held.take(section)
    carried = change if len(tokens) > _TOKENS_WITHOUT_SGC else replace(change, sgc=None)
    record.compare("assembled", held.assemble() == carried, True)


_TOKENS_WITHOUT_SGC = 2


def _cipher_of(record: Record, key: DecoderKey) -> BlockCipher | None:
    """Cipher for a record, or None (and noted) where it needs licensed tables that are not here."""
    mark = record.inputs.text("ea07_tables") if "ea07_tables" in record.inputs else "licensed"
    if mark not in {"sample", "licensed"}:
        raise record.inputs.wrong("ea07_tables", "must be sample or licensed")
    chosen = SAMPLE if mark == "sample" else _licensed(record.tables)
    if key.algorithm is EncryptionAlgorithm.STA and chosen is None:
        record.lacks_tables = True
        return None
    return cipher_for(key, chosen)


def _licensed(tables: StaTables | None) -> StaTables | None:
    return None if tables is None or tables.fingerprint == SAMPLE.fingerprint else tables


def _key_of(side: Fields, inputs: Fields) -> DecoderKey:
    algorithm = inputs.member("ea", EncryptionAlgorithm)
    if "decoder_key" in side:
        return DecoderKey(side.octets("decoder_key"), algorithm)
    return derive(
        _vending_key(side, inputs),
        MeterPan(inputs.text("meter_pan")),
        tariff_index=side.integer("ti"),
        algorithm=algorithm,
    )


def _vending_key(side: Fields, inputs: Fields) -> VendingKey:
    """The vending key of one side; what it does not say itself, the record says for both."""
    return VendingKey(
        value=side.octets("vending_key"),
        dkga=(side if "dkga" in side else inputs).member("dkga", Dkga),
        sgc=side.integer("sgc"),
        krn=side.integer("krn"),
        base_date=side.member("base_date", BaseDate),
        ken=side.integer("ken") if "ken" in side else KEN_MAX,
        key_type=(side if "kt" in side else inputs).member("kt", KeyType),
    )
