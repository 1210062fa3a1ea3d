"""Where receivers may be."""

from ipaddress import ip_address, ip_network

import pytest

from adapters.backoffice.addresses import ReceiverRules
from headend.webhook_refusals import ReceiverRefused

PUBLIC_ONLY = ReceiverRules()
AT_HOME = ReceiverRules(networks=(ip_network("10.20.0.0/16"), ip_network("127.0.0.0/8")))


@pytest.mark.parametrize(
    "url",
    [
        "https://billing.example/events",
        "https://billing.example:8443/a/b?c=d",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]/",
    ],
)
def test_public_receivers_over_https_are_taken(url):
    PUBLIC_ONLY.require_usable(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://billing.example/events",
        "ftp://billing.example/",
        "https://",
        "https:///path",
        "billing.example",
        "https://user:secret@billing.example/",
        "https://user@billing.example/",
        "https://billing.example/#part",
        "https://billing.example/a b",
        "https://billing.example/\nHost: other",
        "https://billing.example:99999/",
        "https://[::1",
        "https://büro.example/",
        "https://billing.example/" + "a" * 2000,
    ],
)
def test_what_is_no_receiver_is_refused(url):
    with pytest.raises(ReceiverRefused) as refused:
        PUBLIC_ONLY.require_usable(url)
    assert "secret" not in str(refused.value)


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.1.1.1",
    "192.0.2.1",
    "::",
    "::1",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "ff0e::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_only_we_can_reach_is_refused(address):
    assert not PUBLIC_ONLY.may_reach(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ReceiverRefused):
        PUBLIC_ONLY.require_usable(f"https://{host}/")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "[fe80::1%25eth0]"])
def test_names_of_this_machine_are_refused(host):
    with pytest.raises(ReceiverRefused):
        PUBLIC_ONLY.require_usable(f"https://{host}/")


@pytest.mark.parametrize("address", ["10.20.1.1", "127.0.0.1", "::ffff:10.20.1.1", "8.8.8.8"])
def test_networks_of_the_settings_are_allowed_too(address):
    assert AT_HOME.may_reach(ip_address(address))
    assert not AT_HOME.may_reach(ip_address("10.21.1.1"))


def test_plain_http_is_for_this_machine_or_by_setting():
    AT_HOME.require_usable("http://127.0.0.1:9000/")
    AT_HOME.require_usable("http://localhost:9000/")
    with pytest.raises(ReceiverRefused, match="https"):
        AT_HOME.require_usable("http://10.20.1.1/")
    with pytest.raises(ReceiverRefused, match="https"):
        AT_HOME.require_usable("http://billing.example/")
    plainly = ReceiverRules(networks=AT_HOME.networks, plain_http=True)
    plainly.require_usable("http://10.20.1.1/")
    plainly.require_usable("http://billing.example/")
    with pytest.raises(ReceiverRefused, match="public"):
        plainly.require_usable("http://192.168.1.1/")
