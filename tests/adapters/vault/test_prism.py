"""A PrismToken over real TLS: one payment, one token, whatever breaks; and no secret slips out."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from adapters.vault.prism import PrismVault
from adapters.vault.prism_account import Password, PrismAccount
from adapters.vault.prism_server import PrismServer
from headend.errors import ModuleDown
from headend.meters import Drn, KeyType, Service, TenantId
from headend.ports import SecurityModule
from headend.quantities import Units
from headend.refusals import (
    AmountNotPositive,
    AmountTooLarge,
    KeyExpired,
    MalformedMeterNumber,
    MalformedOrder,
    NoVendingKey,
    WrongCheckDigit,
)
from headend.tokens import TokenPurpose
from protocols.sts import drn as sts_drn
from protocols.sts.tables import BaseDate
from tests.adapters.vault.conftest import TENANT, everything_told
from tests.adapters.vault.prism_sales import (
    KEY,
    MODULE_KEY,
    QUICK,
    an_order,
    configured,
    contents,
    kwh,
    opened,
)
from tests.adapters.vault.prism_token import (
    PASSWORD,
    REALM,
    USERNAME,
    Authority,
    Fault,
    PrismTokenServer,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.found(tmp_path_factory.mktemp("pki"), "ours")


@pytest.fixture
async def prism(authority):
    server = PrismTokenServer(keys={(201457, 1): MODULE_KEY})
    async with server.run(authority.serve_as("localhost")):
        yield server


@pytest.fixture
async def vault(prism, authority):
    async with opened(prism, authority) as vault:
        yield vault


def test_it_is_a_security_module(authority):
    server = PrismServer(host="localhost", port=1, ca_file=authority.file)
    account = PrismAccount(REALM, USERNAME, Password(PASSWORD))
    module: SecurityModule = PrismVault(server, account, keys=[KEY])
    assert isinstance(module, PrismVault)


# --- a sale --------------------------------------------------------------------------------------


async def test_the_digits_are_a_token_of_the_meter(prism, vault):
    issued = await vault.issue(an_order(), message_id="city/r1")
    [token] = issued.tokens
    credit = contents(token.digits, an_order())
    assert credit.amount_tenths == issued.encoded.tenths == 20004  # 16 bits cannot hold 20000
    assert (token.tid, token.purpose) == (credit.tid, TokenPurpose.CREDIT)
    assert len(prism.made) == 1


async def test_the_modules_own_tid_is_told(prism, vault):
    issued = await vault.issue(an_order(tid=4), message_id="city/r1")
    minutes = (prism.now - datetime(2014, 1, 1, tzinfo=UTC)).total_seconds() // 60
    assert issued.tokens[0].tid == minutes


@pytest.mark.parametrize("service", Service)
async def test_each_service_has_its_subclass(vault, service):
    order = an_order(service=service, content=Units.of_tenths(1, service.unit))
    issued = await vault.issue(order, message_id="city/r1")
    assert contents(issued.tokens[0].digits, an_order()).subclass == list(Service).index(service)


@pytest.mark.parametrize("tenths", [1, 16383, 16384, 18201624])
async def test_whole_amounts_survive_the_interface_exactly(vault, tenths):
    issued = await vault.issue(an_order(content=kwh(tenths)), message_id="city/r1")
    assert contents(issued.tokens[0].digits, an_order()).amount_tenths == issued.encoded.tenths
    assert issued.encoded.tenths >= tenths


@pytest.mark.parametrize("message_id", ["city/r1", "ä" * 200, "", "a" * 40, "x y\n"])
async def test_any_message_id_becomes_one_of_the_modules(vault, message_id):
    issued = await vault.issue(an_order(), message_id=message_id)
    assert await vault.issue(an_order(), message_id=message_id) == issued


async def test_a_repeat_gives_the_same_digits_also_after_a_restart(prism, authority, vault):
    first = await vault.issue(an_order(), message_id="city/r1")
    assert await vault.issue(an_order(), message_id="city/r1") == first
    async with opened(prism, authority) as restarted:
        assert await restarted.issue(an_order(), message_id="city/r1") == first
    assert len(prism.made) == 1


async def test_attributes_come_from_the_settings_also_while_the_module_is_down(authority, prism):
    prism.port = 1
    async with opened(prism, authority) as vault:
        assert await vault.key(TENANT, "201457", 1) == replace(KEY, module_draws=True)
        for tenant, sgc, krn in [
            ("town", "201457", 1),
            ("city", "201458", 1),
            ("city", "201457", 2),
        ]:
            with pytest.raises(NoVendingKey, match="name it in the settings"):
                await vault.key(TenantId(tenant), sgc, krn)


# --- an answer is lost ---------------------------------------------------------------------------


async def test_an_answer_lost_after_the_token_was_made_is_fetched(prism, vault):
    prism.faults["issueCreditToken"] = Fault.CUT_AFTER
    issued = await vault.issue(an_order(), message_id="city/r1")
    [(_, made)] = prism.made
    assert issued.tokens[0].digits == made.tokenDec
    assert prism.calls["issueCreditToken"] == 1


async def test_a_request_lost_on_its_way_is_made_later_and_once(prism, vault):
    prism.faults["issueCreditToken"] = Fault.CUT_BEFORE
    with pytest.raises(ModuleDown, match="broke off"):
        await vault.issue(an_order(), message_id="city/r1")
    with pytest.raises(ModuleDown, match="may still be at work"):
        await vault.issue(an_order(), message_id="city/r1")
    assert prism.made == []
    await asyncio.sleep(QUICK.settle_s)
    issued = await vault.issue(an_order(), message_id="city/r1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


async def test_a_module_that_hangs_delays_the_sale_and_makes_one_token(prism, vault):
    prism.faults["issueCreditToken"] = Fault.HANG
    with pytest.raises(ModuleDown, match="keeps silent"):
        await vault.issue(an_order(), message_id="city/r1")
    await asyncio.sleep(QUICK.rest_s)
    issued = await vault.issue(an_order(), message_id="city/r1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


async def test_while_the_module_may_be_at_work_it_is_not_asked_to_make_another(prism, vault):
    prism.faults["issueCreditToken"] = Fault.LATE
    prism.slow_s = QUICK.answer_s + 0.2
    with pytest.raises(ModuleDown, match="keeps silent"):
        await vault.issue(an_order(), message_id="city/r1")
    await asyncio.sleep(QUICK.rest_s)
    with pytest.raises(ModuleDown, match="may still be at work"):
        await vault.issue(an_order(), message_id="city/r1")
    await asyncio.sleep(QUICK.settle_s)
    issued = await vault.issue(an_order(), message_id="city/r1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


async def test_a_caller_who_gives_up_leaves_a_token_that_is_found(prism, vault):
    prism.faults["issueCreditToken"] = Fault.HANG
    caller = asyncio.create_task(vault.issue(an_order(), message_id="city/r1"))
    while not prism.made:
        await asyncio.sleep(0.01)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        await caller
    issued = await vault.issue(an_order(), message_id="city/r1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


async def test_a_doubt_holds_up_no_other_sale(prism, vault):
    prism.faults["issueCreditToken"] = Fault.CUT_BEFORE
    with pytest.raises(ModuleDown):
        await vault.issue(an_order(), message_id="city/r1")
    await vault.issue(an_order(), message_id="city/r2")
    with pytest.raises(ModuleDown, match="may still be at work"):
        await vault.issue(an_order(), message_id="city/r1")


async def test_connections_that_died_unseen_cost_nothing(prism, vault):
    await vault.issue(an_order(), message_id="city/r1")
    prism.drop_connections()
    await vault.issue(an_order(), message_id="city/r1")
    await vault.issue(an_order(), message_id="city/r2")
    assert len(prism.made) == 2
    assert prism.calls["signInWithPassword"] == 1  # the access token outlives a connection


async def test_a_connection_long_unused_is_replaced(prism, authority):
    patience = replace(QUICK, idle_s=0)
    async with opened(prism, authority, patience=patience, sessions=1) as vault:
        with capture_logs() as logs:
            await vault.issue(an_order(), message_id="city/r1")
            await vault.issue(an_order(), message_id="city/r1")
    assert [line["event"] for line in logs].count("security module connected") >= 2


async def test_a_module_that_comes_back_is_found(prism, authority, vault):
    await vault.issue(an_order(), message_id="city/r1")
    again = PrismTokenServer(keys=prism.keys, port=0)
    async with again.run(authority.serve_as("localhost")):
        async with opened(again, authority) as other:
            await other.issue(an_order(), message_id="city/r1")
        port = again.port
    again.port = port
    async with opened(again, authority) as other:
        with pytest.raises(ModuleDown, match="cannot be reached"):
            await other.issue(an_order(), message_id="city/r2")
        async with again.run(authority.serve_as("localhost")):
            await asyncio.sleep(QUICK.rest_s)
            await other.issue(an_order(), message_id="city/r2")
    assert len(again.made) == 2


# --- signing in ----------------------------------------------------------------------------------


async def test_an_expired_sign_in_is_renewed_once(prism, authority):
    async with opened(prism, authority, sessions=1) as vault:
        await vault.issue(an_order(), message_id="city/r1")
        prism.access.clear()
        await vault.issue(an_order(), message_id="city/r2")
    assert prism.calls["signInWithPassword"] == 2
    assert len(prism.made) == 2


async def test_a_module_that_takes_no_access_token_is_not_asked_for_ever(prism, vault):
    prism.refusals["fetchTokenResult"] = "EAuthentication.Token|bad"
    await _down(vault, match=r"EAuthentication\.Token")
    assert prism.calls["signInWithPassword"] == 2
    await _down(vault, match=r"EAuthentication\.Token")
    assert prism.calls["signInWithPassword"] == 3


async def test_a_wrong_password_is_not_tried_again_and_again(prism, authority):
    async with opened(prism, authority, password="wr0ng pass!") as vault:
        for _ in range(2):
            ends = await asyncio.gather(
                *(vault.issue(an_order(), message_id=f"city/r{n}") for n in range(20)),
                return_exceptions=True,
            )
            assert all(isinstance(end, ModuleDown) for end in ends)
            assert all("check realm, user name, password" in str(end) for end in ends)
    assert prism.calls["signInWithPassword"] == 1


async def test_one_sign_in_serves_all_sessions(prism, authority, vault):
    for _ in range(2):
        await asyncio.gather(*(vault.issue(an_order(), message_id=f"city/r{n}") for n in range(20)))
    assert prism.calls["signInWithPassword"] == 1
    assert len(prism.connections) > 1


OUT_OF_RANGE = "Parameter 'transferAmount' out of range: got '1'"


# --- the module says no --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "error", "field"),
    [
        ("ESts.VkExpired", KeyExpired, "krn"),
        ("ESts.VkBeforeBdt", KeyExpired, "krn"),
        ("EKeystore.NotFound", NoVendingKey, "sgc"),
        ("ESts.DrnOrPan", MalformedMeterNumber, "drn"),
        ("ESts.DrnOrPan.Iin", MalformedMeterNumber, "drn"),
        ("ESts.DrnOrPan.CheckDigit", WrongCheckDigit, "drn"),
        (
            "EParamRange|Parameter 'transferAmount' out of range: got '1'",
            AmountTooLarge,
            "amount.value",
        ),
        ("EParamRange|Parameter 'ti' out of range: got '1'", MalformedOrder, "sts"),
        ("EParamRange|nonsense", MalformedOrder, "sts"),
    ],
)
async def test_a_refusal_is_the_orders(prism, vault, code, error, field):
    prism.refusals["issueCreditToken"] = code
    with pytest.raises(error) as caught:
        await vault.issue(an_order(), message_id="city/r1")
    assert caught.value.field == field
    assert "got '1'" not in str(caught.value)


@pytest.mark.parametrize(
    "code",
    [
        "ESm", "ESm.Busy", "EService", "EService.Disabled", "EAuthentication.Permission",
        "EPrefRange", "ENew.Unheard.Of", "ESts.VkExpiredNot", "not an ident", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["issueCreditToken", "fetchTokenResult"])
async def test_every_other_error_delays_the_sale(prism, vault, code, method):
    prism.refusals[method] = code
    await _down(vault, match="the security module answers")
    prism.refusals.clear()
    await vault.issue(an_order(), message_id="city/r1")
    assert len(prism.made) == 1


async def test_keys_expire_and_begin_in_the_module(prism, vault):
    prism.keys[201457, 1] = replace(MODULE_KEY, ken=85)
    with pytest.raises(KeyExpired, match="supply group 201457, revision 1, has expired"):
        await vault.issue(an_order(), message_id="city/r1")
    prism.keys[201457, 1] = replace(MODULE_KEY, base_date=BaseDate.Y2035)
    with pytest.raises(KeyExpired, match="begins later than now"):
        await vault.issue(an_order(), message_id="city/r1")


@pytest.mark.parametrize(
    ("changed", "error", "field"),
    [
        ({"content": kwh(0)}, AmountNotPositive, "amount.value"),
        ({"content": kwh(-1)}, AmountNotPositive, "amount.value"),
        ({"content": kwh(18201625)}, AmountTooLarge, "amount.value"),
        ({"tenant": TenantId("town")}, NoVendingKey, "sgc"),
        ({"sts": configured(krn=2)}, NoVendingKey, "sgc"),
        ({"sts": configured(key_type=KeyType.COMMON)}, NoVendingKey, "key_type"),
    ],
    ids=str,
)
async def test_what_the_module_need_not_be_asked_is_refused_at_once(
    prism, vault, changed, error, field
):
    with pytest.raises(error) as caught:
        await vault.issue(an_order(**changed), message_id="city/r1")
    assert caught.value.field == field
    assert not prism.calls


async def test_a_default_key_sells_no_credit(prism, authority):
    key = replace(KEY, key_type=KeyType.DEFAULT)
    async with opened(prism, authority, keys=[key]) as vault:
        order = an_order(sts=configured(key_type=KeyType.DEFAULT))
        with pytest.raises(NoVendingKey, match="default key"):
            await vault.issue(order, message_id="city/r1")


# --- an answer that does not fit -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drn", "12345678903"), ("sgc", 201458), ("krn", 2), ("ti", 2), ("ea", 7),
        ("tokenClass", 2), ("subclass", 1), ("tid", -1), ("tid", 1 << 24), ("vkKcv", "000000"),
        ("transferAmount", 19999.0), ("transferAmount", 20005.0), ("transferAmount", 20000.5),
        ("transferAmount", float("nan")), ("transferAmount", float("inf")),
        ("tokenDec", "1234"), ("tokenDec", "9" * 20), ("tokenDec", "0" * 11 + "134217728"),
        ("tokenDec", "１" * 20), ("tokenDec", b"\xff\xfe"), ("tokenDec", None), ("tid", None),
    ],
)  # fmt: skip
async def test_a_token_that_does_not_fit_the_order_reaches_nobody(prism, vault, name, value):
    right = {}

    def tamper(token):
        right[name] = getattr(token, name)
        setattr(token, name, value)

    prism.tamper = tamper
    await _down(vault, match="security module|is not as agreed")
    [(_, made)] = prism.made
    setattr(made, name, right[name])  # the settings, or the module, put right
    issued = await vault.issue(an_order(), message_id="city/r1")
    assert issued.tokens[0].digits == made.tokenDec
    assert len(prism.made) == 1


@pytest.mark.parametrize("copies", [0, 2])
async def test_one_order_is_one_token(prism, vault, copies):
    prism.copies = copies
    if copies == 0:
        prism.spoil = _without_tokens
    await _down(vault, match="tokens where one was asked for")


def _without_tokens(method, framed):
    """The same answer with an empty list in it."""
    if method not in {"issueCreditToken", "fetchTokenResult"}:
        return framed
    at = 4 + 4 + 4 + len(method) + 4
    answer = framed[4:at] + bytes.fromhex("0f00000c0000000000")
    return len(answer).to_bytes(4) + answer


# --- many at once --------------------------------------------------------------------------------


async def test_many_sales_at_once_are_kept_apart(prism, vault):
    meters = [Drn(sts_drn.Drn.build(mfr_code="07", serial=f"{n:08}").digits) for n in range(10)]
    orders = {f"city/r{n}": an_order(drn=meters[n % 10], content=kwh(100 + n)) for n in range(60)}
    issued = await asyncio.gather(
        *(vault.issue(order, message_id=ident) for ident, order in orders.items())
    )
    for order, one in zip(orders.values(), issued, strict=True):
        credit = contents(one.tokens[0].digits, order)
        assert (credit.amount_tenths, credit.tid) == (one.encoded.tenths, one.tokens[0].tid)
        assert credit.amount_tenths == order.content.tenths
    assert len(prism.made) == 60
    assert len(prism.connections) <= 4


async def test_callers_with_one_message_id_get_one_token(prism, vault):
    prism.faults["issueCreditToken"] = Fault.SLOW
    issued = await asyncio.gather(
        *(vault.issue(an_order(), message_id="city/r1") for _ in range(10))
    )
    assert len({one.tokens[0].digits for one in issued}) == 1
    assert len(prism.made) == 1


async def test_behind_a_dead_module_nobody_queues(prism, authority):
    async with opened(prism, authority, sessions=1) as vault:
        await vault.issue(an_order(), message_id="city/r0")
        prism.silent = True
        started = asyncio.get_running_loop().time()
        ends = await asyncio.gather(
            *(vault.issue(an_order(), message_id=f"city/r{n}") for n in range(1, 50)),
            return_exceptions=True,
        )
        assert asyncio.get_running_loop().time() - started < 3 * QUICK.answer_s
    assert {str(end) for end in ends} == {f"security module localhost:{prism.port} keeps silent"}
    assert all(isinstance(end, ModuleDown) for end in ends)


async def test_waiting_for_a_turn_ends(prism, authority):
    patience = replace(QUICK, turn_s=0.1, answer_s=2)
    async with opened(prism, authority, patience=patience, sessions=1) as vault:
        await vault.issue(an_order(), message_id="city/r0")
        prism.faults["fetchTokenResult"] = Fault.SLOW
        prism.slow_s = 1
        first = asyncio.create_task(vault.issue(an_order(), message_id="city/r1"))
        await asyncio.sleep(0.05)
        await _down(vault, match="busy with others", message_id="city/r2")
        await first


async def test_the_queue_is_bounded(prism, authority, monkeypatch):
    monkeypatch.setattr("adapters.vault.prism_session.WAITING_MAX", 2)
    prism.faults["signInWithPassword"] = Fault.SLOW
    async with opened(prism, authority, sessions=1) as vault:
        ends = await asyncio.gather(
            *(vault.issue(an_order(), message_id=f"city/r{n}") for n in range(10)),
            return_exceptions=True,
        )
    refused = [end for end in ends if isinstance(end, ModuleDown)]
    assert all("too many sales wait" in str(end) for end in refused)
    assert 0 < len(refused) < 10
    assert len(prism.made) == 10 - len(refused)


# --- the end -------------------------------------------------------------------------------------


async def test_closing_leaves_nothing_behind(prism, authority):
    before = asyncio.all_tasks()
    async with opened(prism, authority) as vault:
        await asyncio.gather(*(vault.issue(an_order(), message_id=f"city/r{n}") for n in range(20)))
    async with asyncio.timeout(2):
        while prism.connections:
            await asyncio.sleep(0.01)
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)
    await _down(vault, match="shutting down")


async def test_closing_while_connecting_leaves_no_connection(prism, authority):
    async with opened(prism, authority) as vault:
        sale = asyncio.create_task(vault.issue(an_order(), message_id="city/r1"))
        await asyncio.sleep(0)
    with pytest.raises(ModuleDown, match="shutting down"):
        await sale
    async with asyncio.timeout(2):
        while prism.connections:
            await asyncio.sleep(0.01)


async def test_a_sale_under_way_at_closing_is_made_after_the_restart(prism, authority):
    prism.faults["issueCreditToken"] = Fault.HANG
    async with opened(prism, authority, patience=replace(QUICK, answer_s=10)) as vault:
        sale = asyncio.create_task(vault.issue(an_order(), message_id="city/r1"))
        while not prism.made:
            await asyncio.sleep(0.01)
    with pytest.raises(ModuleDown):
        await sale
    async with opened(prism, authority) as restarted:
        issued = await restarted.issue(an_order(), message_id="city/r1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


# --- asking about tokens and the module ----------------------------------------------------------


async def test_the_modules_state_is_told(prism, vault):
    [node] = await vault.status()
    assert node.info == {"node": "pt-1"}
    assert [alert.e_code for alert in node.alerts] == ["ESm.Battery"]
    prism.refusals["getStatus"] = "EAuthentication.Permission"
    with pytest.raises(ModuleDown, match="Permission"):
        await vault.status()


# --- secrets -------------------------------------------------------------------------------------


async def test_no_error_and_no_log_line_shows_a_secret(prism, authority):
    told = []
    with capture_logs() as logs:
        async with opened(prism, authority, password="wr0ng pass!") as vault:
            told.append(await _told(vault))
        async with opened(prism, authority, sessions=1) as vault:
            await vault.issue(an_order(), message_id="city/r0")
            [(_, made)] = prism.made
            for fault in (Fault.CUT_BEFORE, Fault.HANG):
                prism.faults["fetchTokenResult"] = fault
                prism.faults["issueCreditToken"] = fault
                told.append(await _told(vault))
            prism.access.clear()
            prism.refusals["fetchTokenResult"] = "EAuthentication.Token|bad bearer-2-of-a-secret"
            told.append(await _told(vault))
            prism.refusals.clear()
            made.krn = 2
            told.append(await _told(vault, message_id="city/r0"))
            made.krn, made.tokenDec = 1, made.tokenDec[:-1]
            told.append(await _told(vault, message_id="city/r0"))
            told += [repr(vault), repr(vars(vault))]
    everything = "\n".join([*told, repr(logs)])
    for secret in (PASSWORD, "wr0ng pass!", "of-a-secret", made.tokenDec, made.tokenDec[:12]):
        assert secret not in everything
    assert "security module down" in everything


async def _told(vault, message_id="city/secret"):
    await asyncio.sleep(QUICK.rest_s)
    try:
        await vault.issue(an_order(), message_id=message_id)
    except ModuleDown as error:
        return everything_told(error)
    return ""


async def _down(vault, *, match, message_id="city/r1"):
    with pytest.raises(ModuleDown, match=match):
        await vault.issue(an_order(), message_id=message_id)
