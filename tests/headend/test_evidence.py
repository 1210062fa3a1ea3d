"""Evidence after a doubt: what it is worth, and what all of it means, whatever came first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.evidence import (
    Doubt,
    Evidence,
    EvidenceKind,
    Finding,
    Says,
    Weight,
    classify,
    in_words,
    weigh,
)
from headend.meters import TenantId
from headend.readings import CLOCK_DRIFT
from headend.tokens import TokenOrigin, TokenResult

SOLD = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
DOUBTED = SOLD + timedelta(minutes=2)
NOW = SOLD + timedelta(minutes=10)
REMOTE_ONLY = Doubt(SOLD, DOUBTED, in_hands=False)
IN_HANDS = Doubt(SOLD, DOUBTED, in_hands=True)


def a_word(kind: EvidenceKind, says: Says, **fields) -> Evidence:
    word = Evidence(
        tenant=TenantId("t"),
        delivery_id="d",
        token_id="token",
        kind=kind,
        says=says,
        first_at=NOW,
        received_at=NOW,
    )
    return replace(word, **fields)


def asked(says: Says, at: datetime = NOW, **fields) -> Evidence:
    return a_word(EvidenceKind.TOKEN_LOG, says, asked_at=at, received_at=at, **fields)


def told(says: Says, **fields) -> Evidence:
    return a_word(EvidenceKind.EVENT, says, **fields)


@pytest.mark.parametrize(
    ("evidence", "doubt", "finding"),
    [
        ([], IN_HANDS, Finding.UNKNOWN),
        ([asked(Says.TAKEN, origin=TokenOrigin.HEADEND)], IN_HANDS, Finding.TAKEN_REMOTELY),
        ([asked(Says.TAKEN, origin=TokenOrigin.KEYPAD)], IN_HANDS, Finding.TAKEN_BY_HAND),
        ([asked(Says.TAKEN, origin=TokenOrigin.HANDHELD)], IN_HANDS, Finding.TAKEN_BY_HAND),
        ([asked(Says.TAKEN)], IN_HANDS, Finding.TAKEN),
        ([asked(Says.TAKEN)], REMOTE_ONLY, Finding.TAKEN_REMOTELY),
        ([a_word(EvidenceKind.ECHO, Says.TAKEN)], IN_HANDS, Finding.TAKEN_REMOTELY),
        ([a_word(EvidenceKind.CREDIT_REGISTER, Says.TAKEN)], IN_HANDS, Finding.TAKEN),
        ([a_word(EvidenceKind.CREDIT_REGISTER, Says.TAKEN, asked_at=NOW), asked(Says.NOT_SEEN)],
         REMOTE_ONLY, Finding.UNKNOWN),  # perhaps another vendor's credit of this amount
        ([a_word(EvidenceKind.CREDIT_REGISTER, Says.TAKEN, asked_at=NOW),
          asked(Says.NOT_SEEN, NOW - timedelta(minutes=3))], IN_HANDS, Finding.TAKEN),
        ([a_word(EvidenceKind.CREDIT_REGISTER, Says.TAKEN, asked_at=NOW), asked(Says.NOT_SEEN),
          asked(Says.TAKEN)], REMOTE_ONLY, Finding.TAKEN_REMOTELY),
        ([asked(Says.REFUSED, result=TokenResult.CRC_ERROR)], IN_HANDS, Finding.REFUSED),
        ([asked(Says.OTHER_TOKEN)], IN_HANDS, Finding.REFUSED),
        ([told(Says.REFUSED)], IN_HANDS, Finding.UNKNOWN),
        ([asked(Says.NOT_SEEN)], IN_HANDS, Finding.NOT_SEEN),
        ([asked(Says.NOT_SEEN), asked(Says.USED)], IN_HANDS, Finding.UNKNOWN),
        ([a_word(EvidenceKind.SILENCE, Says.NO_ANSWER, asked_at=NOW)], IN_HANDS,
         Finding.UNREACHABLE),
        ([asked(Says.NOT_SEEN, NOW - timedelta(minutes=3)),
          a_word(EvidenceKind.SILENCE, Says.NO_ANSWER, asked_at=NOW)], IN_HANDS,
         Finding.UNREACHABLE),
        ([asked(Says.NOT_SEEN), asked(Says.TAKEN, origin=TokenOrigin.KEYPAD)], IN_HANDS,
         Finding.TAKEN_BY_HAND),
        ([asked(Says.REFUSED), asked(Says.TAKEN)], REMOTE_ONLY, Finding.TAKEN_REMOTELY),
        ([a_word(EvidenceKind.PERSON, Says.TAKEN)], IN_HANDS, Finding.TAKEN),
        ([a_word(EvidenceKind.PERSON, Says.TAKEN), asked(Says.REFUSED)], IN_HANDS,
         Finding.REFUSED),
        ([a_word(EvidenceKind.PERSON, Says.NOT_SEEN)], IN_HANDS, Finding.NOT_SEEN),
    ],
)  # fmt: skip
def test_what_the_evidence_means(evidence, doubt, finding):
    assert classify(evidence, doubt).finding is finding


@pytest.mark.parametrize(
    "old",
    [
        told(Says.TAKEN, stored=True),
        told(Says.TAKEN, received_at=SOLD - timedelta(seconds=1)),
        told(Says.TAKEN, told_at=SOLD - CLOCK_DRIFT - timedelta(seconds=1)),
        asked(Says.TAKEN, SOLD - timedelta(seconds=1)),
        asked(Says.REFUSED, SOLD - timedelta(seconds=1)),
        asked(Says.NOT_SEEN, DOUBTED - timedelta(seconds=1)),
        a_word(EvidenceKind.CREDIT_REGISTER, Says.NOT_SEEN, told_at=NOW),
        a_word(EvidenceKind.CREDIT_REGISTER, Says.TAKEN, stored=True),
    ],
)
def test_what_is_not_newer_than_the_doubt_proves_nothing(old):
    assert weigh(old, IN_HANDS) is Weight.NOTHING
    assert classify([old], IN_HANDS).finding is Finding.UNKNOWN


def test_the_drift_of_a_meter_does_not_hide_its_answer():
    """What answers a question that we asked after the sale is new, whatever its clock says."""
    slow = asked(Says.TAKEN, told_at=SOLD - timedelta(days=400))
    assert weigh(slow, IN_HANDS) is Weight.DECIDES
    fast = asked(Says.NOT_SEEN, DOUBTED - timedelta(seconds=1), told_at=NOW + timedelta(days=400))
    assert weigh(fast, IN_HANDS) is Weight.NOTHING


moments = st.integers(-600, 1200).map(lambda seconds: SOLD + timedelta(seconds=seconds))
words = st.builds(
    lambda received, first, **fields: a_word(
        received_at=received, first_at=min(first, received), **fields
    ),
    received=moments,
    first=moments,
    kind=st.sampled_from(EvidenceKind),
    says=st.sampled_from(Says),
    stored=st.booleans(),
    asked_at=st.none() | moments,
    told_at=st.none() | moments,
    result=st.none() | st.sampled_from(TokenResult),
    origin=st.none() | st.sampled_from(TokenOrigin),
    by=st.sampled_from(["", "K. Otieno"]),
)
doubts = st.builds(
    lambda last_s, in_hands: Doubt(SOLD, SOLD + timedelta(seconds=last_s), in_hands),
    last_s=st.integers(0, 600),
    in_hands=st.booleans(),
)


@given(st.lists(words, max_size=6), doubts, st.randoms(use_true_random=False))
def test_the_order_of_evidence_never_matters(evidence, doubt, chance):
    shuffled = list(evidence)
    chance.shuffle(shuffled)
    assert classify(shuffled, doubt).finding is classify(evidence, doubt).finding


@given(st.lists(words, max_size=6), doubts)
def test_taken_only_by_a_word_that_names_the_token_and_is_newer_than_the_sale(evidence, doubt):
    verdict = classify(evidence, doubt)
    if verdict.finding.taken:
        source = verdict.rests_on
        assert source is not None
        assert source.says is Says.TAKEN
        assert not source.stored
        assert (source.asked_at or source.received_at) >= doubt.since


@given(st.lists(words, max_size=6), st.lists(words, max_size=3), doubts)
def test_evidence_older_than_the_doubt_changes_nothing(evidence, more, doubt):
    old = [one for one in more if weigh(one, doubt) is Weight.NOTHING]
    assert classify([*evidence, *old], doubt) == classify(evidence, doubt)


@given(words, words)
def test_the_same_said_twice_is_one_whichever_came_first(one, other):
    other = replace(
        other, kind=one.kind, says=one.says, by=one.by, stored=one.stored, result=one.result,
        origin=one.origin,
    )  # fmt: skip
    both, reverse = one.again(other), other.again(one)
    assert (both.first_at, both.received_at, both.asked_at, both.told_at, both.times) == (
        reverse.first_at, reverse.received_at, reverse.asked_at, reverse.told_at, 2,
    )  # fmt: skip


@given(st.lists(words, max_size=4), doubts)
def test_every_verdict_can_be_read_out(evidence, doubt):
    text = in_words(classify(evidence, doubt))
    assert text.endswith(".")
    assert len(text) < 200
