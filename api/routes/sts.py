"""STS configurations on the wire (IEC 62055-41): what the decoder key of a meter is made from."""

from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints

from api.routes.forms import Asked, Told
from headend.meters import KeyType, StsConfiguration

Sgc = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), Field(examples=["123457"])]


class StsForm(Asked):
    """What the meter's decoder key is made from (IEC 62055-41)."""

    sgc: Annotated[Sgc, Field(description="Supply group code.")]
    krn: Annotated[StrictInt, Field(ge=1, le=9, description="Key revision number.")]
    ti: Annotated[StrictInt, Field(ge=0, le=99, description="Tariff index.")]
    kt: Annotated[StrictInt, Field(ge=0, le=3, description="Key type; 2 is a unique key.")]
    ea: Annotated[StrictInt, Field(ge=0, le=99, description="Encryption: 7 STA, 11 MISTY1.")]

    def configuration(self) -> StsConfiguration:
        return StsConfiguration(
            sgc=self.sgc,
            krn=self.krn,
            tariff_index=self.ti,
            key_type=KeyType(self.kt),
            ea=self.ea,
        )

    @classmethod
    def of(cls, sts: StsConfiguration) -> "StsForm":
        return cls.model_construct(
            sgc=sts.sgc, krn=sts.krn, ti=sts.tariff_index, kt=int(sts.key_type), ea=sts.ea
        )


class StsPatch(Asked):
    """Members of the STS configuration to change."""

    sgc: Annotated[Sgc, Field(default_factory=str)]
    krn: Annotated[StrictInt, Field(ge=1, le=9, default_factory=int)]
    ti: Annotated[StrictInt, Field(ge=0, le=99, default_factory=int)]
    kt: Annotated[StrictInt, Field(ge=0, le=3, default_factory=int)]
    ea: Annotated[StrictInt, Field(ge=0, le=99, default_factory=int)]


class StsTold(Told):
    """The STS configuration that tokens are made with (IEC 62055-41)."""

    sgc: str
    krn: int
    ti: int
    kt: int
    ea: int

    @classmethod
    def of(cls, sts: StsConfiguration) -> "StsTold":
        return cls(sgc=sts.sgc, krn=sts.krn, ti=sts.tariff_index, kt=int(sts.key_type), ea=sts.ea)
