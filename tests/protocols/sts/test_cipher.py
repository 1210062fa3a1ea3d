"""A decoder key made ready."""

import pytest

from protocols.sts.cipher import cipher_for
from protocols.sts.errors import TablesError
from protocols.sts.keys import DecoderKey
from protocols.sts.misty1 import Misty1
from protocols.sts.sta import SAMPLE, Sta
from protocols.sts.tables import EncryptionAlgorithm


def test_each_algorithm_has_its_cipher():
    assert isinstance(cipher_for(DecoderKey(b"k" * 16, EncryptionAlgorithm.MISTY1)), Misty1)
    assert isinstance(cipher_for(DecoderKey(b"k" * 8, EncryptionAlgorithm.STA), SAMPLE), Sta)


def test_ea07_is_never_used_with_tables_nobody_chose():
    with pytest.raises(TablesError, match="ea07_tables: EA07 needs a table set"):
        cipher_for(DecoderKey(b"k" * 8, EncryptionAlgorithm.STA))
