"""Problems: every error is a document with a stable type, and repeats nothing it was sent."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from api.documenting import example
from api.head_end import head_end_of
from api.logs import configure_logs
from api.problems import EVERYWHERE, WITH_BODY
from headend.errors import ModuleDown, Stale, StoreDown
from headend.refusals import OrderRefused
from tests.api.office import (
    DRN,
    OTHER_DRN,
    SGC,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    slug,
)
from tests.api.orders import a_change, a_clearing, add_second_key

DIGITS = "10203040506070809011"
TWENTY = re.compile(r"\d(?:[ -]?\d){19,}")


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"{", 400, "malformed-json"),
        (b"", 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b'"x"', 422, "invalid-request"),
        (b"\xff\xfe", 400, "malformed-json"),
        (b"[" * 100_000, 400, "malformed-json"),
        (b'{"id": ' + b"9" * 5000 + b"}", 400, "malformed-json"),
        (b'{"amount": NaN}', 422, "invalid-request"),
    ],
)
async def test_a_body_that_makes_no_sense(caller: Caller, content, status, kind):
    headers = {"Content-Type": "application/json"}
    answer = await caller.post("/v1/recharges", content=content, headers=headers)
    assert answer.status_code == status
    assert slug(answer) == kind


async def test_a_body_that_is_no_json(caller: Caller):
    answer = await caller.post("/v1/recharges", data={"meter": DRN})
    assert answer.status_code == 415
    assert slug(answer) == "unsupported-media-type"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large(caller: Caller, announced):
    async def parts():
        for _ in range(20):
            yield b" " * 100_000

    content = b" " * 2_000_000 if announced else parts()
    headers = {"Content-Type": "application/json"}
    answer = await caller.post("/v1/recharges", content=content, headers=headers)
    assert answer.status_code == 413
    assert slug(answer) == "body-too-large"


async def test_unknown_paths_and_methods(caller: Caller):
    assert slug(await caller.get("/v1/nothing")) == "not-found"
    answer = await caller.delete(f"/v1/meters/{DRN}")
    assert answer.status_code == 405
    assert slug(answer) == "method-not-allowed"
    assert answer.headers["Allow"] == "GET, PATCH"


async def test_all_faults_of_a_request_are_told_with_pointers(caller: Caller):
    body = a_recharge_body(
        amount={"kind": "units", "value": 1, "unit": "Wh"},
        fallback=[{"kind": "sms", "address": "x"}, {"kind": "sms"}],
    )
    document = (await caller.post("/v1/recharges?x", json=body)).json()
    assert [fault["pointer"] for fault in document["errors"]] == [
        "#/amount/value",
        "#/amount/unit",
        "#/fallback/0/address",
        "#/fallback/1/address",
    ]
    document = (await caller.get("/v1/recharges?limit=x")).json()
    assert document["errors"][0]["in"] == "query"
    assert document["errors"][0]["name"] == "limit"


class Broken:
    """A desk or store whose every door raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (StoreDown(f"no connection to postgresql://u:pw@h {DIGITS}"), 503, "store-down"),
        (ModuleDown(f"sealed {DIGITS}"), 503, "security-module-down"),
        (Stale("meter"), 409, "changed-meanwhile"),
        (RuntimeError(f"secret {DIGITS}"), 500, "internal-error"),
    ],
)
async def test_faults_of_ours_tell_nothing_of_the_inside(office: Office, error, status, kind):
    caller = await office.caller()
    await caller.get("/v1/meters")  # the key is known now
    broken = type("Desks", (), {"store": Broken(error), "meters": Broken(error)})()
    office.app.dependency_overrides[head_end_of] = lambda: broken
    answer = await caller.get(f"/v1/meters/{DRN}")
    assert answer.status_code == status
    assert slug(answer) == kind
    assert DIGITS not in answer.text
    assert "postgresql" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)


async def test_a_store_that_is_away_at_the_gate(office: Office, monkeypatch: pytest.MonkeyPatch):
    key = await office.key()

    def away(store: object) -> None:
        raise StoreDown("")

    monkeypatch.setattr(type(office.head_end.store), "look", away)
    async with office.with_key(key) as caller:
        answer = await caller.get("/v1/meters")
        assert answer.status_code == 503
        assert slug(answer) == "store-down"
        ready = await caller.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["because"] == ["the database cannot be reached"]
        assert (await caller.get("/health/live")).status_code == 200


# --- secrets ------------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, in the form in which it is served."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    configure_logs(level="DEBUG", stream=out)
    yield out
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


async def test_no_digits_reach_a_problem_or_a_log(
    office: Office, caller: Caller, logged: io.StringIO
):
    secret = await office.key()
    wrong_places = [
        a_recharge_body(amount=None, tokens=[DIGITS, DIGITS + "1"]),
        a_recharge_body(amount=None, tokens=[int(DIGITS)]),
        a_recharge_body(amount=None, tokens=[{"digits": DIGITS}]),
        a_recharge_body(tokens=[DIGITS]),
        a_recharge_body(amount=DIGITS),
        a_recharge_body(amount={"kind": DIGITS, "value": DIGITS, "unit": DIGITS}),
        a_recharge_body(amount={"kind": "units", "value": DIGITS, "unit": "kWh"}),
        a_recharge_body(meter=DIGITS),
        a_recharge_body(meter=secret),
        a_recharge_body(fallback=[{"kind": DIGITS, "address": DIGITS}]),
        a_recharge_body() | {DIGITS: 1},
        a_recharge_body() | {"1020 3040 5060 7080 9011": 1},
        a_recharge_body(id=f"{DIGITS}/"),
        {DIGITS: DIGITS},
    ]
    for body in wrong_places:
        answer = await caller.post("/v1/recharges", json=body)
        assert slug(answer)
        assert not TWENTY.search(answer.text), answer.text
    for path in (
        f"/v1/recharges/{DIGITS}",
        f"/v1/recharges/{DIGITS}%20",
        f"/v1/meters/{DIGITS}",
        f"/v1/recharges?meter={DIGITS}",
        f"/v1/recharges?state={DIGITS}",
        f"/v1/recharges?cursor={DIGITS}",
        f"/v1/recharges?limit={DIGITS}",
        f"/v1/{DIGITS}",
        f"/{DIGITS}",
    ):
        answer = await caller.get(path)
        assert not TWENTY.search(answer.text), answer.text
    await caller.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    sold = await caller.post("/v1/recharges", json=a_recharge_body())
    digits = sold.json()["tokens"][0]["digits"]
    assert TWENTY.fullmatch(digits)
    await office.with_key(secret).get("/v1/recharges")
    text = logged.getvalue()
    assert "request answered" in text
    assert not TWENTY.search(text)
    assert secret not in text
    assert secret.split("_", 2)[2] not in text


def test_logs_mask_whatever_comes(logged: io.StringIO):
    log = structlog.get_logger("test")
    key = "hk_01JN0000000000000000000001_" + "a" * 43
    log.warning("secrets", digits=DIGITS, number=int(DIGITS), nested={"k": [DIGITS]}, key=key)
    logging.getLogger("foreign").warning("token %s at mqtt://me:hush@broker", DIGITS)
    try:
        raise ValueError(f"in a traceback {DIGITS} {key}")
    except ValueError:
        log.exception("failed")
    text = logged.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "warning", "error"]
    assert not TWENTY.search(text)
    assert "a" * 43 not in text
    assert "hush" not in text
    assert "Traceback" in lines[2]["exception"]


async def test_the_access_log_leaves_out_the_query(caller: Caller, logged: io.StringIO):
    await caller.get("/v1/recharges?reference=a-private-thing")
    (line,) = [json.loads(line) for line in logged.getvalue().splitlines() if "answered" in line]
    assert line["path"] == "/v1/recharges"
    assert line["status"] == 200
    assert "a-private-thing" not in logged.getvalue()


async def test_no_digits_of_orders_reach_a_list_or_a_log(
    office: Office, caller: Caller, logged: io.StringIO
):
    await add_second_key(office)
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, route=None))
    order = f"/v1/meters/{OTHER_DRN}"
    for path, ident, body in [
        ("engineering", "m1", a_clearing()),
        ("key-changes", "k1", a_change()),
    ]:
        made = await caller.post(f"{order}/{path}", json=body)
        shown = await caller.get(f"/v1/deliveries/{ident}?reveal=true")
        (digits, *_) = (token["digits"] for token in shown.json()["tokens"])
        assert TWENTY.fullmatch(digits)
        asked = {"meter": OTHER_DRN, "token": digits}
        verified = await caller.post("/v1/tokens/verify", json=asked)
        assert verified.json()["ours"]["delivery"] == ident
        for answer in (made, verified, await caller.get(f"/v1/deliveries/{ident}")):
            assert not TWENTY.search(answer.text)
    wrong = [
        (f"{order}/key-changes", a_change("k2") | {DIGITS: DIGITS}),
        (f"{order}/engineering", {"id": "m2", "kind": DIGITS, "value": int(DIGITS)}),
        ("/v1/tokens/verify", {"meter": DIGITS, "token": DIGITS + "1"}),
        ("/v1/deliveries/k1/confirmation", {"seen_by": [DIGITS]}),
    ]
    for path, body in wrong:
        answer = await caller.post(path, json=body)
        assert slug(answer)
        assert not TWENTY.search(answer.text), answer.text
    assert "request answered" in logged.getvalue()
    assert not TWENTY.search(logged.getvalue())


# --- what is documented -------------------------------------------------------------------------


async def test_every_problem_that_was_met_is_documented(office: Office, caller: Caller):
    document = office.app.openapi()

    def documented(path: str, verb: str, status: int) -> set[str]:
        answer = document["paths"][path][verb]["responses"][str(status)]
        return set(answer["content"]["application/problem+json"]["examples"])

    for template, verb, path, body in [
        ("/v1/recharges", "post", "/v1/recharges", a_recharge_body(meter="1")),
        ("/v1/recharges", "post", "/v1/recharges", a_recharge_body(None)),
        ("/v1/recharges", "post", "/v1/recharges", {}),
        ("/v1/recharges/{id}", "get", "/v1/recharges/x", None),
        ("/v1/recharges/{id}/reversal", "post", "/v1/recharges/x/reversal", {"reason": "x"}),
        ("/v1/meters", "post", "/v1/meters", a_meter_body()),
        ("/v1/meters/{drn}", "patch", f"/v1/meters/{DRN}", {}),
        ("/v1/meters/{drn}/clock", "post", "/v1/meters/1/clock", {"id": "x"}),
    ]:
        answer = await caller.request(verb, path, json=body)
        assert slug(answer) in documented(template, verb, answer.status_code)


def test_every_refusal_of_an_order_has_its_own_type():
    kinds = subclasses(OrderRefused)
    slugs = [kind.slug for kind in kinds] + [kind.slug for kind in (*EVERYWHERE, *WITH_BODY)]
    assert len(slugs) == len(set(slugs))
    for kind in kinds:
        assert 400 <= kind.status < 500
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
        assert example(kind)["type"] == f"urn:headend:problem:{kind.slug}"


def subclasses(kind: type[OrderRefused]) -> list[type[OrderRefused]]:
    return [one for child in kind.__subclasses__() for one in (child, *subclasses(child))]
