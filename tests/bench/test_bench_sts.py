"""The bench of tokens measures what it names."""

from tests.bench.bench_sts import measure


def test_issue_and_decode_are_measured_with_a_new_key_and_with_a_kept_one():
    rates = {rate.what: rate for rate in measure(0.02)}
    for family in ("EA11, DKGA04", "EA07, DKGA04", "EA07, DKGA02"):
        for work in ("issue", "decode"):
            new, kept = (rates[f"{family}: {work}, {key}"] for key in ("new key each", "key kept"))
            assert new.per_second < kept.per_second
            assert new.shares["deriving the key"] > 0
            assert new.slowest <= new.per_second <= new.fastest
            assert new.limit in str(new)
