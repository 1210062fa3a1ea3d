"""Orders for a PrismToken of the tests: its key, its meter, and a vault that speaks to it."""

from contextlib import asynccontextmanager
from dataclasses import replace

from adapters.vault.key_import import check_value
from adapters.vault.prism import PrismVault
from adapters.vault.prism_account import Password, PrismAccount
from adapters.vault.prism_server import Patience, PrismServer
from headend.meters import Drn, KeyType, Service, StsConfiguration
from headend.quantities import Unit, Units
from headend.tokens import TokenOrder
from headend.vending_keys import KeyMark, VendingKey
from protocols.sts import drn as sts_drn
from protocols.sts import keys as sts_keys
from protocols.sts.cipher import cipher_for
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm
from protocols.sts.token import decode
from tests.adapters.vault.conftest import TENANT, VK160
from tests.adapters.vault.prism_token import PASSWORD, REALM, USERNAME

MODULE_KEY = sts_keys.VendingKey(
    bytes.fromhex(VK160), dkga=Dkga.HMAC_SHA_256, sgc=201457, krn=1, base_date=BaseDate.Y2014,
    ken=255,
)  # fmt: skip
KEY = VendingKey(
    tenant=TENANT, sgc="201457", krn=1, key_type=KeyType.UNIQUE, base_date=2014, ken=255, dkga=4,
    mark=KeyMark.LIVE, check_value=check_value(MODULE_KEY),
)  # fmt: skip
DRN = Drn("00000000000")
QUICK = Patience(
    connect_s=2, answer_s=0.4, turn_s=5, rest_s=0.05, sign_in_rest_s=60, settle_s=0.5, idle_s=60
)


def an_order(**changed):
    order = TokenOrder(
        tenant=TENANT,
        drn=DRN,
        service=Service.ELECTRICITY,
        sts=StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11),
        content=Units.of_tenths(20000, Unit.KWH),
        tid=4,  # the module chooses its own
        rnd=5,
    )
    return replace(order, **changed)


def kwh(tenths):
    return Units.of_tenths(tenths, Unit.KWH)


def configured(**changed):
    return replace(an_order().sts, **changed)


def contents(digits, order, key=MODULE_KEY):
    """What the meter reads: under its own key, made by the published derivation."""
    pan = sts_drn.MeterPan.of(sts_drn.Drn(order.drn))
    key = sts_keys.derive(
        key, pan, tariff_index=order.sts.tariff_index,
        algorithm=EncryptionAlgorithm(order.sts.ea),
    )  # fmt: skip
    return decode(digits, cipher_for(key, SAMPLE))


@asynccontextmanager
async def opened(prism, authority, *, password=PASSWORD, keys=(KEY,), patience=QUICK, **more):
    server = PrismServer(
        host="localhost", port=prism.port, ca_file=authority.file, patience=patience
    )
    account = PrismAccount(REALM, USERNAME, Password(password))
    vault = PrismVault(server, account, keys=keys, **more)
    try:
        yield vault
    finally:
        await vault.aclose()
