"""Messages as the published interface has them, and answers that no bytes can make dangerous."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thriftpy2.protocol import TBinaryProtocol
from thriftpy2.thrift import TApplicationException, TMessageType, TType
from thriftpy2.transport import TMemoryBuffer

from adapters.vault.prism_account import Password, PrismAccount
from adapters.vault.prism_frames import Packet, UnreadableAnswer, require_whole
from adapters.vault.prism_messages import (
    AccessToken,
    ApiError,
    MeterConfig,
    change_key,
    decode,
    encode,
    fetch_result,
    issue,
    sign_in,
    status,
    verify,
)
from tests.adapters.vault.prism_token import API

STRING, I16, I32, I64 = TType.STRING, TType.I16, TType.I32, TType.I64
METER = MeterConfig(drn="00000000000", ea=11, tct=2, sgc=201457, krn=1, ti=1, ken=255)
IDENT = "0123456789abcdef0123456789abcdef01234567"

# The call table as published, interface version 1.1: field number, type, name.
PUBLISHED = {
    "ApiException": {1: (STRING, "eCode"), 2: (STRING, "eMsgEn")},
    "SessionOptions": {1: (STRING, "version"), 10: (STRING, "culture")},
    "SignInResult": {1: (STRING, "accessToken")},
    "Alert": {1: (STRING, "eCode"), 2: (STRING, "eMsgEn")},
    "NodeStatus": {1: (TType.MAP, "info"), 2: (TType.LIST, "alerts")},
    "MeterConfigIn": {
        1: (STRING, "drn"), 2: (I16, "ea"), 3: (I16, "tct"), 10: (I32, "sgc"), 11: (I16, "krn"),
        12: (I16, "ti"), 21: (TType.BOOL, "allowKrnUpdate"), 30: (I16, "ken"),
        32: (TType.BOOL, "allow3Kct"), 33: (TType.BOOL, "allowKenUpdate"),
    },
    "MeterConfigAmendment": {1: (I32, "toSgc"), 2: (I16, "toKrn"), 3: (I16, "toTi")},
    "MeterConfigAdvice": {
        1: (I32, "toSgc"), 2: (I16, "toKrn"), 3: (I16, "toTi"), 4: (I16, "toKen"),
        20: (TType.BOOL, "rollover"), 21: (STRING, "toVkKcv"),
    },
    "Token": {
        1: (STRING, "drn"), 2: (STRING, "pan"), 3: (I16, "ea"), 4: (I16, "tct"), 5: (I32, "sgc"),
        6: (I16, "krn"), 7: (I16, "ti"), 10: (I16, "tokenClass"), 11: (I16, "subclass"),
        12: (I32, "tid"), 13: (TType.DOUBLE, "transferAmount"), 14: (TType.BOOL, "isReservedTid"),
        15: (TType.STRUCT, "newConfig"),
        20: (STRING, "description"), 21: (STRING, "stsUnitName"), 22: (STRING, "scaledAmount"),
        23: (STRING, "scaledUnitName"), 30: (STRING, "tokenDec"), 31: (STRING, "tokenHex"),
        40: (STRING, "idSm"), 41: (STRING, "vkKcv"),
    },
    "VerifyResult": {1: (STRING, "validationResult"), 2: (TType.STRUCT, "token")},
    "signInWithPassword_args": {
        1: (STRING, "messageId"), 2: (STRING, "realm"), 3: (STRING, "username"),
        4: (STRING, "password"), 5: (TType.STRUCT, "sessionOpts"),
    },
    "getStatus_args": {1: (STRING, "messageId"), 2: (STRING, "accessToken")},
    "issueCreditToken_args": {
        1: (STRING, "messageId"), 2: (STRING, "accessToken"), 3: (TType.STRUCT, "meterConfig"),
        4: (I16, "subclass"), 5: (TType.DOUBLE, "transferAmount"), 6: (I64, "tokenTime"),
        7: (I64, "flags"),
    },
    "issueMseToken_args": {
        1: (STRING, "messageId"), 2: (STRING, "accessToken"), 3: (TType.STRUCT, "meterConfig"),
        4: (I16, "subclass"), 5: (TType.DOUBLE, "transferAmount"), 6: (I64, "tokenTime"),
        7: (I64, "flags"),
    },
    "issueKeyChangeTokens_args": {
        1: (STRING, "messageId"), 2: (STRING, "accessToken"), 3: (TType.STRUCT, "meterConfig"),
        4: (TType.STRUCT, "newConfig"),
    },
    "verifyToken_args": {
        1: (STRING, "messageId"), 2: (STRING, "accessToken"), 3: (TType.STRUCT, "meterConfig"),
        4: (STRING, "tokenDec"),
    },
    "fetchTokenResult_args": {
        1: (STRING, "messageId"), 2: (STRING, "accessToken"), 3: (STRING, "reqMessageId"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_field_numbers_are_those_of_the_call_table(name):
    struct = getattr(API, name, None) or getattr(API.TokenApi, name)
    told = {number: (spec[0], spec[1]) for number, spec in struct.thrift_spec.items()}
    assert told == PUBLISHED[name]


def test_every_call_may_raise_the_modules_exception_as_field_1():
    for method in API.TokenApi.thrift_services:
        spec = getattr(API.TokenApi, f"{method}_result").thrift_spec
        assert spec[1][1:3] == ("ex1", API.ApiException)


def test_a_sign_in_is_these_bytes():
    account = PrismAccount("local", "till", Password("pw"))
    packet = encode(sign_in(account), sequence=7, access=None)
    assert packet.value == (
        b"\x80\x01\x00\x01\x00\x00\x00\x12signInWithPassword\x00\x00\x00\x07"
        b"\x0b\x00\x01\x00\x00\x00\x07sign-in"
        b"\x0b\x00\x02\x00\x00\x00\x05local"
        b"\x0b\x00\x03\x00\x00\x00\x04till"
        b"\x0b\x00\x04\x00\x00\x00\x02pw"
        b"\x0c\x00\x05"
        b"\x0b\x00\x01\x00\x00\x00\x031.1"
        b"\x0b\x00\x0a\x00\x00\x00\x02en"
        b"\x00\x00"
    )  # fmt: skip


def test_a_credit_order_leaves_key_time_and_tid_alone():
    call = issue("issueCreditToken", IDENT, METER, subclass=1, amount=18201624.0)
    packet = encode(call, sequence=1, access=AccessToken("bearer"))
    assert b"\x02\x00\x15\x00" in packet.value  # 21: allowKrnUpdate, false
    assert b"\x02\x00\x21\x00" in packet.value  # 33: allowKenUpdate, false
    assert packet.value.endswith(
        b"\x06\x00\x04\x00\x01"
        b"\x04\x00\x05\x41\x71\x5b\xc1\x80\x00\x00\x00"  # 18201624 as a double
        b"\x0a\x00\x06" + bytes(8) + b"\x0a\x00\x07" + bytes(8) + b"\x00"
    )


CALLS = [
    sign_in(PrismAccount("local", "till", Password("correct horse"))),
    status(),
    issue("issueCreditToken", IDENT, METER, subclass=0, amount=1.0),
    issue("issueMseToken", IDENT, METER, subclass=5, amount=0.0),
    change_key(IDENT, METER, to_sgc=203557, to_krn=6, to_ti=2),
    fetch_result(IDENT),
    verify(METER, "12345678901234567890"),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.method)
def test_calls_are_whole_messages_that_do_not_print(call):
    packet = encode(call, sequence=1, access=AccessToken("bearer"))
    require_whole(packet)
    told = repr(call) + repr(packet)
    for secret in ("correct horse", "1234567890123456789", "bearer"):
        assert secret not in told


def test_the_id_of_a_fetch_is_an_ident_of_its_own():
    arguments = fetch_result(IDENT).arguments
    assert arguments["reqMessageId"] == IDENT
    assert arguments["messageId"] != IDENT
    assert len(str(arguments["messageId"])) == 40


# --- answers -------------------------------------------------------------------------------------


def a_token(**changed):
    fields = {
        "drn": "00000000000", "pan": "600727000000000009", "ea": 11, "tct": 2, "sgc": 201457,
        "krn": 1, "ti": 1, "tokenClass": 0, "subclass": 0, "tid": 85740, "transferAmount": 1.0,
        "isReservedTid": False, "description": "Credit", "stsUnitName": "0.1 kWh",
        "scaledAmount": "0.1", "scaledUnitName": "kWh", "tokenDec": "58625789986991357486",
        "tokenHex": "1", "idSm": "SM", "vkKcv": "ABCDEF",
    }  # fmt: skip
    return API.Token(**(fields | changed))


def an_answer(method="fetchTokenResult", *, sequence=1, kind=TMessageType.REPLY, **fields):
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.write_message_begin(method, kind, sequence)
    protocol.write_struct(getattr(API.TokenApi, f"{method}_result")(**fields))
    return Packet(buffer.getvalue())


def fetched(packet):
    return decode(fetch_result(IDENT), packet, sequence=1)


def test_an_answer_comes_out_typed():
    [token] = fetched(an_answer(success=[a_token()]))
    assert (token.token_dec, token.tid) == ("58625789986991357486", 85740)
    assert "58625789" not in repr(token)


def test_a_refusal_keeps_its_code_and_parameter_and_not_its_text():
    error = API.ApiException(eCode="EParamRange", eMsgEn="Parameter 'ti' is secret-1234")
    with pytest.raises(ApiError) as caught:
        fetched(an_answer(ex1=error))
    assert (caught.value.code, caught.value.parameter) == ("EParamRange", "ti")
    assert "secret" not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize("code", [None, "", "a b", "x" * 41, b"\xff", "-a", "a\n"])
def test_a_code_that_is_none_is_not_repeated(code):
    with pytest.raises(ApiError) as caught:
        fetched(an_answer(ex1=API.ApiException(eCode=code, eMsgEn=None)))
    assert caught.value.code == "(no code)"


@pytest.mark.parametrize(
    ("packet", "match"),
    [
        (an_answer("verifyToken", success=API.VerifyResult("EVerify.Ok")), "another call"),
        (an_answer(success=[a_token()], sequence=2), "another call"),
        (an_answer(), "is not as agreed"),
        (an_answer(success=[a_token(tid=None)]), "missing required field `tid`"),
        (an_answer(success=[a_token(tokenDec=b"\xff")]), "is not as agreed"),
        (Packet(b""), "cut short"),
        (Packet(an_answer(success=[a_token()]).value + b"\0"), "too long"),
        (Packet(b"\x00\x00\x00\x10" + bytes(40)), "another protocol"),
    ],
)
def test_an_answer_that_makes_no_sense_is_told(packet, match):
    with pytest.raises(UnreadableAnswer, match=match):
        fetched(packet)


def test_a_failure_of_the_server_itself_is_told():
    buffer = TMemoryBuffer()
    protocol = TBinaryProtocol(buffer)
    protocol.write_message_begin("fetchTokenResult", TMessageType.EXCEPTION, 1)
    failure = TApplicationException(TApplicationException.UNKNOWN_METHOD, "secret-1234")
    protocol.write_struct(failure)
    with pytest.raises(UnreadableAnswer, match="failed at fetchTokenResult: Thrift 1") as caught:
        fetched(Packet(buffer.getvalue()))
    assert "secret" not in str(caught.value)


def test_what_a_later_server_adds_is_passed_over():
    later = an_answer(success=[a_token()]).value
    added = later[:-2] + b"\x0f\x00\x63\x0c\x00\x00\x00\x01\x0b\x00\x01\x00\x00\x00\x01x\x00"
    [token] = fetched(Packet(added + later[-2:]))
    assert token.tid == 85740


HEAD = an_answer(success=[a_token()]).value[: 4 + 4 + 16 + 4]
HUGE = b"\x7f\xff\xff\xff"


@pytest.mark.parametrize(
    "body",
    [
        b"\x0f\x00\x00\x63" + HUGE,  # a list of an unknown type
        b"\x0f\x00\x00\x02" + HUGE,  # of more truths than there are bytes
        b"\x0f\x00\x00\x00" + HUGE,  # of nothings
        b"\x0f\x00\x00\x0f" + HUGE + b"\x0f" + HUGE,
        b"\x0d\x00\x00\x02\x02" + HUGE,
        b"\x0b\x00\x00" + HUGE,  # a text beyond the frame
        b"\x0b\x00\x00\xff\xff\xff\xff",  # of negative length
        b"\x0c\x00\x01" * 5000,  # a structure in a structure in a structure
        b"\x0f\x00\x01\x0f\x00\x00\x00\x01" + b"\x0f\x00\x00\x00\x01" * 5000,
        b"\x63\x00\x01",
    ],
)
def test_impossible_sizes_are_found_at_once(body):
    started = datetime.now(UTC)
    with pytest.raises(UnreadableAnswer):
        fetched(Packet(HEAD + body))
    assert (datetime.now(UTC) - started).total_seconds() < 0.5


ANSWER = an_answer(success=[a_token(), a_token()]).value


@given(st.lists(st.tuples(st.integers(0, len(ANSWER) - 1), st.integers(0, 255)), max_size=8))
def test_no_damage_to_an_answer_does_harm(damage):
    frame = bytearray(ANSWER)
    for place, byte in damage:
        frame[place] = byte
    with contextlib.suppress(UnreadableAnswer, ApiError):
        for token in fetched(Packet(bytes(frame))):
            assert isinstance(token.token_dec, str)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(body):
    with contextlib.suppress(UnreadableAnswer, ApiError):
        fetched(Packet(HEAD + body))
