"""The decoder key of an STSM meter, in the head-end's words: SGC, KRN, TI, key type and EA."""

from headend.errors import Unsupported
from headend.meters import KeyType, StsConfiguration
from protocols.modbus.stsm import Identity

_SGC_MAX = 999_999
_TARIFF_INDEX_MAX = 99
_KRN_MAX = 9
_ALGORITHMS = (7, 11)


def key_held(identity: Identity) -> StsConfiguration:
    """What identifies the key; raises Unsupported for numbers that no key has (IEC 62055-41).

    A meter that leaves these registers at 0 does not tell its key.
    """
    try:
        key_type = KeyType(identity.key_type)
    except ValueError:
        raise _untold(f"key type {identity.key_type}") from None
    if identity.ea not in _ALGORITHMS:
        raise _untold(f"EA {identity.ea}")
    first_krn = 0 if key_type is KeyType.INITIALIZATION else 1
    if not first_krn <= identity.krn <= _KRN_MAX:
        raise _untold(f"KRN {identity.krn}")
    if identity.sgc > _SGC_MAX or identity.tariff_index > _TARIFF_INDEX_MAX:
        raise _untold(f"SGC {identity.sgc}, TI {identity.tariff_index}")
    return StsConfiguration(
        sgc=f"{identity.sgc:06d}",
        krn=identity.krn,
        tariff_index=identity.tariff_index,
        key_type=key_type,
        ea=identity.ea,
    )


def _untold(what: str) -> Unsupported:
    return Unsupported(f"the meter does not tell its key: it shows {what}")
