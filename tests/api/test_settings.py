"""Settings: defaults that run on a laptop, and refusals that name the key and keep secrets."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.settings import (
    Handover,
    Listen,
    ModbusBus,
    MqttBus,
    Role,
    Settings,
    SettingsRefused,
    SmsHttp,
    Smtp,
    load_settings,
)

PARTS: tuple[type[BaseModel], ...] = (
    Settings,
    Listen,
    ModbusBus,
    MqttBus,
    Handover,
    Smtp,
    SmsHttp,
)
EXAMPLE = Path(__file__).parents[2] / "deploy" / "headend.example.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> Path:
    file = Path("given.toml")
    file.write_text(text)
    return file


def refusal(text: str) -> str:
    with pytest.raises(SettingsRefused) as refused:
        load_settings(write(text))
    return str(refused.value)


def a_module(**changed: object) -> str:
    """A security module with one key."""
    key = {
        "tenant": "city", "sgc": "201457", "krn": 1, "key_type": 2, "base_date": 2014, "ken": 255,
        "dkga": 4, "check_value": "A1B2C3",
    } | changed  # fmt: skip
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in key.items())
    return (
        '[security_module]\nhost = "h"\nport = 9443\nusername = "u"\n'
        f"[[security_module.keys]]\n{lines}"
    )


def test_a_security_module_is_read_and_its_password_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("HEADEND_PRISM_PASSWORD", "hush")
    module = load_settings(write(a_module())).security_module
    assert module is not None
    assert (module.host, module.realm, [key.sgc for key in module.keys]) == (
        "h",
        "local",
        ["201457"],
    )
    assert "hush" not in repr(module)


def test_without_anything_a_laptop_is_served():
    settings = load_settings()
    assert settings.role is Role.ALL
    assert settings.embedded_database
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8080)
    assert settings.buses == {}


def test_a_file_is_found_by_name_variable_and_place(monkeypatch: pytest.MonkeyPatch):
    Path("headend.toml").write_text("[listen]\nport = 1")
    assert load_settings().listen.port == 1
    Path("other.toml").write_text("[listen]\nport = 2")
    monkeypatch.setenv("HEADEND_CONFIG", "other.toml")
    assert load_settings().listen.port == 2
    assert load_settings(write("[listen]\nport = 3")).listen.port == 3
    with pytest.raises(SettingsRefused, match=r"missing\.toml: No such file"):
        load_settings(Path("missing.toml"))


def test_variables_win_over_the_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADEND_LISTEN__PORT", "9")
    monkeypatch.setenv("HEADEND_BUSES__L1__URL", "tcp://10.0.0.9:502")
    settings = load_settings(
        write('[listen]\nport = 3\nhost = "::1"\n[buses.l1]\nurl = "tcp://x:1"\nslots = 2')
    )
    assert (settings.listen.host, settings.listen.port) == ("::1", 9)
    bus = settings.buses["l1"]
    assert isinstance(bus, ModbusBus)
    assert (bus.url, bus.slots) == ("tcp://10.0.0.9:502", 2)


def test_a_bus_is_known_by_its_url():
    settings = load_settings(
        write(
            """
            [buses.line]
            url = "serial:///dev/ttyUSB0?baud=9600"
            [buses.hall]
            url = "tcp://10.0.0.5:502"
            [buses.street]
            url = "tcp://10.0.0.6:4001"
            framing = "rtu"
            [buses.broker]
            url = "mqtts://me:hush@broker:8883"
            """
        )
    )
    framed = {name: bus.framed for name, bus in settings.buses.items() if hasattr(bus, "framed")}
    assert framed == {"line": "rtu", "hall": "tcp", "street": "rtu"}
    assert isinstance(settings.buses["broker"], MqttBus)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('data_base_url = "x"', "data_base_url: unknown key; did you mean database_url?"),
        ("[listen]\nprot = 1", "listen.prot: unknown key; did you mean port?"),
        ("[listen]\nport = 70000", "listen.port: input should be less than or equal to 65535"),
        ('[listen]\nport = "x"', "listen.port: input should be a valid integer"),
        ('role = "boss"', "role: input should be 'all', 'api' or 'work'"),
        ("poll_interval_s = 0", "poll_interval_s: input should be greater than or equal to 1"),
        ('[buses.l1]\nurl = "usb://x"', "buses.l1: url must begin with tcp://"),
        ("[buses.l1]\nslots = 1", "buses.l1: url must begin with tcp://"),
        (
            '[buses.l1]\nurl = "tcp://x:1"\nslot = 2',
            "buses.l1.slot: unknown key; did you mean slots?",
        ),
        ('[buses.l1]\nurl = "mqtt://x"\nquiet_s = 2', "buses.l1.quiet_s: unknown key"),
        ('[buses."a b"]\nurl = "tcp://x:1"', "buses.a b"),
        ('[buses.l1]\nurl = "tcp://x:1"\ntimeout_s = 0', "buses.l1.timeout_s: input should be"),
        ("buses = 3", "buses: input should be a valid table"),
        ('[handover.smtp]\nhost = "x"', "handover.smtp.sender: field required"),
        ("[handover.smpt]", "handover.smpt: unknown key; did you mean smtp?"),
        ("[security_module]\nhots = 1", "security_module.hots: unknown key; did you mean host?"),
        ('[security_module]\nhost = "h"', "security_module.port: field required"),
        (a_module(krn=0), "security_module.keys.0.krn: input should be greater than"),
        (a_module(key_type=0), "security_module.keys.0.key_type: input should be 1, 2 or 3"),
        (a_module(sgc="20145"), "security_module.keys.0.sgc: string should match"),
        (a_module(check_value="A1B2C"), "security_module.keys.0.check_value: string should"),
        ("a = [", "no TOML"),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(text: str, told: str):
    assert told in refusal(text)


def test_all_that_is_wrong_is_told_at_once():
    lines = refusal('role = "x"\nfoo = 1\n[listen]\nport = "y"').splitlines()
    assert len(lines) == 4


def test_a_file_that_is_no_text_is_refused():
    Path("given.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsRefused, match="UTF-8"):
        load_settings(Path("given.toml"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("HEADEND_DATABASEURL", "did you mean database_url"),
        ("HEADEND_LISTNE__PORT", "did you mean listen"),
        ("HEADEND_XYZZY", "headend.example.toml"),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, told: str):
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsRefused, match=name) as refused:
        load_settings()
    assert told in str(refused.value)


def test_a_variable_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADEND_BUSES", "{hush")
    with pytest.raises(SettingsRefused) as refused:
        load_settings()
    assert "hush" not in str(refused.value)


SECRET = "hush-hush"


@pytest.mark.parametrize(
    "text",
    [
        f'database_url = ["{SECRET}"]',
        f'database_url = "postgresql://me:{SECRET}@h/n"\nrole = "x"',
        f'[buses.b]\nurl = "mqtt://me:{SECRET}@h"\nslots = "{SECRET}"',
        f'[buses.b]\nurl = "xmqtt://me:{SECRET}@h"',
        f'[handover.smtp]\nhost = "h"\nsender = "s@x.org"\npassword = ["{SECRET}"]',
        f'[handover.sms_http]\nurl = "https://x/{SECRET}"\nmethod = "{SECRET}"',
    ],
)
def test_no_refusal_repeats_a_secret(text: str):
    assert SECRET not in refusal(text)


def test_no_setting_prints_a_secret():
    settings = load_settings(
        write(
            f"""
            database_url = "postgresql://me:{SECRET}@h/n"
            [buses.b]
            url = "mqtt://me:{SECRET}@h"
            [handover.smtp]
            host = "h"
            sender = "s@x.org"
            user = "me"
            password = "{SECRET}"
            [handover.sms_http]
            url = "https://x/?{{text}}{{to}}&key={SECRET}"
            headers = {{ a = "{SECRET}" }}
            form = {{ a = "{SECRET}" }}
            password = "{SECRET}"
            """
        )
    )
    assert SECRET not in repr(settings) + str(settings)
    assert not settings.embedded_database


# --- the example --------------------------------------------------------------------------------


def test_the_example_is_the_defaults():
    assert load_settings(EXAMPLE) == load_settings()


def test_the_example_explains_every_key():
    text = EXAMPLE.read_text()
    for part in PARTS:
        for name, field in part.model_fields.items():
            key = field.alias or name
            found = re.search(rf"\b{key} = |[.\[]{key}[\].]", text)
            assert found, f"{part.__name__}.{key}"


def test_the_example_can_be_uncommented():
    lines = EXAMPLE.read_text().splitlines()
    plain = [re.sub(r"^# (?=\[|[a-z_0-9]+ = )", "", line) for line in lines]
    document = tomllib.loads("\n".join(plain))
    settings = Settings.model_validate(document)
    assert set(settings.buses) == {"hall-3", "line-1", "street-7", "mqtt"}
    assert settings.handover.smtp
    assert settings.handover.sms_http
    assert settings.security_module
    assert settings.security_module.keys
