"""Frames of DL/T 645 against published ones, in noise, and broken on purpose."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.dlt645.errors import MalformedFrame
from protocols.dlt645.frame import (
    ANY_ADDRESS,
    BROADCAST_ADDRESS,
    DATA_MAX_BYTES,
    Frame,
    Function,
    answers,
    decode_frame,
    find_frame,
)
from tests.vectors.field_frames import VECTORS, frame, of_protocol

PUBLISHED = of_protocol("dlt645")
FUZZED = 100_000

addresses = st.text("0123456789", min_size=12, max_size=12)
frames = st.builds(
    Frame,
    address=addresses | st.just(ANY_ADDRESS),
    function=st.integers(0, 31),
    data=st.binary(max_size=DATA_MAX_BYTES),
    reply=st.booleans(),
    error=st.booleans(),
    more=st.booleans(),
)


@pytest.mark.parametrize("ident", PUBLISHED)
def test_published_frames_decode_and_encode(ident: str):
    vector = VECTORS[ident]
    decoded = decode_frame(frame(ident))
    assert decoded.address.lower() == vector["address"]
    assert decoded.control == vector["control"]
    assert decoded.data == bytes.fromhex(vector["data_unmasked"])
    assert frame(ident).endswith(decoded.encode())


@given(frames)
def test_what_is_encoded_decodes_to_the_same(one: Frame):
    assert decode_frame(one.encode()) == one
    assert decode_frame(one.on_wire()) == one


@given(frames, st.binary(max_size=40), st.binary(max_size=5))
def test_a_frame_is_found_behind_noise_and_before_what_follows(
    one: Frame, noise: bytes, more: bytes
):
    quiet = noise.replace(b"\x68", b"")
    found = find_frame(quiet + one.encode() + more)
    assert found is not None
    assert found.frame == one
    assert found.taken == len(quiet) + len(one.encode())


@given(frames, st.data())
def test_a_frame_cut_short_is_never_found(one: Frame, data: st.DataObject):
    whole = one.encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    found = find_frame(cut)
    assert found is None or found.taken < len(whole)
    with pytest.raises(MalformedFrame):
        decode_frame(cut)


def test_every_single_bit_flip_is_noticed():
    for ident in PUBLISHED:
        whole = frame(ident).lstrip(b"\xfe")
        for bit in range(8 * len(whole)):
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << bit % 8
            with pytest.raises(MalformedFrame):
                decode_frame(bytes(broken))


def test_fuzzed_bytes_crash_nothing_and_pass_only_whole():
    """A frame that is taken is one: it encodes to the very bytes that were read."""
    chance = random.Random(645)
    seeds = [frame(ident) for ident in PUBLISHED]
    for _ in range(FUZZED):
        fuzzed = _fuzzed(chance, chance.choice(seeds))
        found = find_frame(fuzzed)
        if found is not None:
            whole = found.frame.encode()
            assert fuzzed[found.taken - len(whole) : found.taken] == whole


def _fuzzed(chance: random.Random, seed: bytes) -> bytes:
    fuzzed = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        match chance.randrange(4):
            case 0:
                fuzzed[chance.randrange(len(fuzzed))] = chance.randrange(256)
            case 1:
                fuzzed.insert(chance.randrange(len(fuzzed)), chance.randrange(256))
            case 2 if len(fuzzed) > 1:
                del fuzzed[chance.randrange(len(fuzzed))]
            case _:
                fuzzed[chance.randrange(len(fuzzed)) :] = chance.randbytes(chance.randrange(8))
        if not fuzzed:
            fuzzed.append(0x68)
    return bytes(fuzzed)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("", "ends after 0 bytes"),
        ("68 61 01", "ends after 3 bytes"),
        ("67 61 01 00 00 00 00 68 11 00 43 16", "begins with 67"),
        ("68 61 01 00 00 00 00 69 11 00 44 16", "69 after the address"),
        ("68 61 01 00 00 00 00 68 11 C9 0C 16", "201 data bytes"),
        ("68 61 01 00 00 00 00 68 11 00 44 16", "sum is 44"),
        ("68 61 01 00 00 00 00 68 11 00 43 17", "ends with 17"),
        ("68 61 01 00 00 00 00 68 11 00 43 16 00", "1 bytes after its end"),
        ("68 6B 01 00 00 00 00 68 11 00 4D 16", "not decimal"),
        ("FE FE FE FE FE FE FE FE FE 68 61 01", "9 wake-up bytes"),
    ],
)
def test_broken_frames_say_what_is_wrong(broken: str, why: str):
    with pytest.raises(MalformedFrame, match=why):
        decode_frame(bytes.fromhex(broken))


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(address="1", function=0x11),
        Frame(address="12345678901B", function=0x11),
        Frame(address=BROADCAST_ADDRESS, function=32),
        Frame(address=BROADCAST_ADDRESS, function=1, data=bytes(201)),
    ],
)
def test_what_does_not_fit_a_frame_is_refused(wrong: Frame):
    with pytest.raises(ValueError, match=r"12 decimal|five bits|201 data"):
        wrong.encode()


def test_only_a_reply_to_the_same_function_and_address_answers():
    request = Frame(address="000000000161", function=Function.READ)
    reply = Frame(address="000000000161", function=Function.READ, reply=True)
    assert answers(request, reply)
    assert answers(Frame(address=ANY_ADDRESS, function=Function.READ), reply)
    assert not answers(request, request)
    assert not answers(request, Frame(address="000000000162", function=Function.READ, reply=True))
    assert not answers(request, Frame(address="000000000161", function=Function.WRITE, reply=True))


def test_data_show_in_no_text():
    assert "1234" not in repr(Frame(address="1" * 12, function=1, data=b"1234"))
