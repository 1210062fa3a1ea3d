"""Files of jobs: every bad line is named with its column, whole files are read first."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest

from api.jobs_file import MAX_LINE, Fault, FileUnreadable, JobFile, JobFormat
from headend.api_keys import Scope
from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.credit_parameters import CreditParameters
from headend.jobs import LineState
from headend.recharges import RechargeOrder
from tests.api.office import DRN, OTHER_DRN, TENANT

HEADER = "do,id,meter,value,unit,currency,reference,sms,action,reason,expires_at,kind,index"


def a_file(text: str | bytes, form: JobFormat = JobFormat.NDJSON) -> JobFile:
    content = text.encode() if isinstance(text, str) else text
    return JobFile(content, form, tenant=TENANT, job_id="j1")


def csv_file(*rows: str, header: str = HEADER) -> JobFile:
    return a_file("\n".join([header, *rows]) + "\n", JobFormat.CSV)


ROWS = [
    f"recharge,s1,{DRN},25.6,kWh,,INV-1,+15550100,,,,,",
    f"recharge,,{DRN},100,,ZAR,,,,,,,",
    f"supply,,{DRN},,,,,,open,non_payment,2026-12-01T12:00:00Z,,",
    f"clock,,{DRN},,,,,,,,,,",
    f"engineering,,{DRN},6000,,,,,,,,power_limit,",
]


def test_csv_and_ndjson_say_the_same():
    lines = list(csv_file(*ROWS).lines())
    contents = [line.content for line in lines]
    assert [type(one) for one in contents] == [
        RechargeOrder,
        RechargeOrder,
        SetSupply,
        SetClock,
        Manage,
    ]
    assert [line.number for line in lines] == [2, 3, 4, 5, 6]
    assert [line.ident for line in lines] == ["s1", "j1.3", "j1.4", "j1.5", "j1.6"]
    sale = contents[0]
    assert isinstance(sale, RechargeOrder)
    assert (sale.id, sale.reference, str(sale.amount)) == ("s1", "INV-1", "25.6 kWh")
    spoken = a_file(
        f'{{"do":"recharge","id":"s1","meter":"{DRN}","reference":"INV-1",'
        '"amount":{"kind":"units","value":"25.6","unit":"kWh"},'
        '"fallback":[{"kind":"sms","address":"+15550100"}]}\n\n'
        f'{{"do":"engineering","meter":"{DRN}","kind":"power_limit","value":6000}}'
    )
    told = list(spoken.lines())
    assert told[0].content == sale
    assert (told[1].number, told[1].content) == (3, contents[4])
    assert csv_file(*ROWS).check(most=9).scopes == {
        Scope.RECHARGE,
        Scope.DISCONNECT,
        Scope.METERS,
        Scope.ENGINEERING,
    }


def test_credit_parameters_are_named_in_either_way():
    header = "do,meter,unit,low_credit_1,power_limit_w"
    table = csv_file(f"parameters,{DRN},kWh,20,", f"parameters,{DRN},,,6000", header=header)
    spoken = a_file(
        f'{{"do":"parameters","meter":"{DRN}","unit":"kWh","low_credit_1":"20"}}\n'
        f'{{"do":"parameters","meter":"{DRN}","power_limit_w":6000}}'
    )
    orders = [line.content for line in table.lines()]
    assert orders == [
        SetCreditParameters(CreditParameters(unit="kWh", low_credit_1=Decimal(20))),
        SetCreditParameters(CreditParameters(power_limit_w=6000)),
    ]
    assert [line.content for line in spoken.lines()] == orders
    assert table.check(most=9).scopes == {Scope.ENGINEERING}
    wrong = csv_file(f"parameters,{DRN},kWh,much,", f"parameters,{DRN},,,-1", header=header)
    columns = [fault.column for fault in wrong.check(most=9).faults]
    assert columns == ["low_credit_1", "power_limit_w"]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (f"recharge,,{DRN},-1,kWh,,,,,,,,", "amount"),
        (f"recharge,,{DRN},1,miles,,,,,,,,", "amount.unit"),
        (f"recharge,,{DRN},,,,,,,,,,", "amount"),
        ("recharge,,123,1,kWh,,,,,,,,", "meter"),
        (f"recharge,a b,{DRN},1,kWh,,,,,,,,", "id"),
        (f"recharge,,{DRN},1,kWh,,,12,,,,,", "fallback.0.address"),
        (f"nothing,,{DRN},,,,,,,,,,", "do"),
        (f"supply,,{DRN},,,,,,shut,safety,2026-12-01T12:00:00Z,,", "action"),
        (f"supply,,{DRN},,,,,,open,safety,tomorrow,,", "expires_at"),
        (f"clock,,{DRN},5,,,,,,,,,", "value"),
        (f"engineering,,{DRN},many,,,,,,,,power_limit,", "value"),
        (f"engineering,,{DRN},1,,,,,,,,free_units,", "kind"),
        ("clock,x", ""),
    ],
)
def test_a_bad_line_is_named_with_its_column(row: str, column: str):
    found = csv_file(ROWS[0], row, ROWS[3]).check(most=9)
    assert (found.lines, found.bad) == (3, 1)
    assert found.faults[0].line == 3
    assert found.faults[0].column.startswith(column)
    bad = list(csv_file(ROWS[0], row, ROWS[3]).lines())[1]
    assert (bad.state, bad.problem, bad.content) == (LineState.BAD, "bad-line", None)
    assert bad.detail


@pytest.mark.parametrize("line", ["{", "[]", '"x"', "{}", '{"do":1}', "[" * 9000, "NaN"])
def test_what_is_no_order_is_a_bad_line(line: str):
    found = a_file(f'{{"do":"clock","meter":"{DRN}"}}\n{line}\n').check(most=9)
    assert (found.lines, found.bad) == (2, 1)
    assert found.faults[0].line == 2


def test_an_id_that_stands_twice_is_found():
    row = f"clock,c1,{DRN},,,,,,,,,,"
    found = csv_file(row, ROWS[3], row).check(most=9)
    assert found.faults == [Fault(4, "id", "the same id stands in line 2")]


@pytest.mark.parametrize(
    ("content", "form", "what"),
    [
        (b"", JobFormat.CSV, "no lines"),
        (b"\n\n", JobFormat.NDJSON, "no lines"),
        (b"do;meter\n", JobFormat.CSV, "semicolons"),
        (b"do,meter,colour\n", JobFormat.CSV, "unknown column"),
        (b"do\n", JobFormat.CSV, "meter is missing"),
        (b"do,meter,do\n", JobFormat.CSV, "twice"),
        (b'do,meter\n"clock,1\n', JobFormat.CSV, "line 2"),
        (b"do,meter\nclock,\xff\n", JobFormat.CSV, "line 2 is no UTF-8"),
        (b"x" * (MAX_LINE + 1), JobFormat.NDJSON, "longer"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(content: bytes, form: JobFormat, what: str):
    with pytest.raises(FileUnreadable, match=what):
        a_file(content, form).check(most=9)


def test_many_bad_lines_are_all_counted_and_some_are_told():
    rows: list[Any] = [f"clock,,{OTHER_DRN}x,,,,,,,,,," for _ in range(50)]
    found = csv_file(*rows).check(most=5)
    assert (found.lines, found.bad, len(found.faults)) == (50, 50, 5)


def test_a_file_of_ten_thousand_lines_never_lies_in_memory_as_orders():
    file = csv_file(*(f"clock,c{number},{DRN},,,,,,,,,," for number in range(10_000)))
    tracemalloc.start()
    try:
        assert file.check(most=9).lines == 10_000
        assert sum(1 for _ in file.lines()) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize("form", list(JobFormat))
def test_one_bad_line_among_ten_thousand_is_found_and_the_others_are_orders(form: JobFormat):
    heads = 1 if form is JobFormat.CSV else 0  # a header counts as a line of the file
    amounts = ["25.6"] * 10_000
    amounts[9_999 - 1 - heads] = "x"
    if form is JobFormat.CSV:
        rows = (f"recharge,s{number},{DRN},{one},kWh" for number, one in enumerate(amounts))
        file = csv_file(*rows, header="do,id,meter,value,unit")
    else:
        file = a_file("".join(a_sale(number, one) for number, one in enumerate(amounts)))
    found = file.check(most=9)
    assert (found.lines, found.bad) == (10_000, 1)
    (fault,) = found.faults
    assert (fault.line, fault.column) == (9_999, "amount.value")
    lines = list(file.lines())
    bad = [line.number for line in lines if line.state is LineState.BAD]
    assert (len(lines), bad) == (10_000, [9_999])
    assert len({line.ident for line in lines if isinstance(line.content, RechargeOrder)}) == 9_999


def a_sale(number: int, value: str) -> str:
    amount = {"kind": "units", "value": value, "unit": "kWh"}
    sale = {"do": "recharge", "id": f"s{number}", "meter": DRN, "amount": amount}
    return json.dumps(sale) + "\n"
