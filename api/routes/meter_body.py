"""Meters on the wire: what is sent to add or change one, what is told, and orders to it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints, ValidationError

from api.routes.forms import Asked, Ident, Moment, Name, RequestedBy, Told, grows
from api.routes.quantities import CurrencyCode
from api.routes.sts import StsForm, StsPatch
from headend.meters import (
    BusName,
    Drn,
    Keypad,
    Meter,
    MeterState,
    ProfileName,
    Route,
    Service,
    TenantId,
    UsagePointId,
)
from headend.supply import SupplyAction, SupplyReason

Address = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]


class RouteForm(Asked):
    """Where a meter answers: a bus of the settings, and the address on it."""

    bus: Name
    address: Annotated[Address, Field(description="Unit id on Modbus, gateway id on MQTT.")]

    def route(self) -> Route:
        return Route(BusName(self.bus), self.address)


class MeterForm(Asked):
    """Everything of a meter that may change."""

    profile: Annotated[Name, Field(examples=["stsm"])]
    route: RouteForm | None = None
    sts: StsForm
    keypad: Keypad
    state: MeterState = MeterState.IN_SERVICE
    usage_point: Ident | None = None
    currency: Annotated[
        CurrencyCode | None, Field(description="Of a meter that counts money; null counts units.")
    ] = None

    @classmethod
    def of(cls, meter: Meter) -> "MeterForm":
        route = meter.route
        return cls.model_construct(
            profile=meter.profile,
            route=RouteForm.model_construct(bus=route.bus, address=route.address)
            if route
            else None,
            sts=StsForm.of(meter.sts),
            keypad=meter.keypad,
            state=meter.state,
            usage_point=meter.usage_point,
            currency=meter.currency,
        )

    def applied(self, meter: Meter) -> Meter:
        """The meter as this form describes it."""
        return replace(
            meter,
            profile=ProfileName(self.profile),
            route=self.route.route() if self.route else None,
            sts=self.sts.configuration(),
            keypad=self.keypad,
            state=self.state,
            usage_point=UsagePointId(self.usage_point) if self.usage_point else None,
            currency=self.currency,
        )


class MeterAsked(MeterForm):
    """A meter to add."""

    drn: Annotated[str, StringConstraints(max_length=32), Field(examples=["01000000008"])]
    service: Service

    def meter(self, tenant: TenantId, *, now: datetime) -> Meter:
        """The record; that its parts fit together is checked by the desk."""
        bare = Meter(
            tenant=tenant,
            drn=Drn(self.drn),
            service=self.service,
            profile=ProfileName(self.profile),
            route=None,
            sts=self.sts.configuration(),
            keypad=self.keypad,
            changed_at=now,
        )
        return self.applied(bare)


class RoutePatch(Asked):
    """Members of a route to change."""

    bus: Annotated[Name, Field(default_factory=str)]
    address: Annotated[Address, Field(default_factory=str)]


class MeterPatch(Asked):
    """Members of a meter to change (RFC 7396): what is left out stays, null takes away."""

    profile: Annotated[Name, Field(default_factory=str)]
    route: RoutePatch | None = None
    sts: Annotated[StsPatch, Field(default_factory=StsPatch.model_construct)]
    keypad: Annotated[Keypad, Field(default_factory=lambda: Keypad.NONE)]
    state: Annotated[MeterState, Field(default_factory=lambda: MeterState.IN_SERVICE)]
    usage_point: Ident | None = None
    currency: CurrencyCode | None = None

    def applied(self, meter: Meter) -> Meter:
        """The meter after the change; raises RequestValidationError when it would be none."""
        now = MeterForm.of(meter).model_dump(mode="json")
        after = _merged(now, self.model_dump(mode="json", exclude_unset=True))
        try:
            return MeterForm.model_validate(after).applied(meter)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False, include_context=False)
            raise RequestValidationError(
                [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
            ) from None


def _merged(target: Mapping[str, object], patch: Mapping[str, object]) -> Mapping[str, object]:
    """RFC 7396, for objects; a null stays as null, which here means the same as absent."""
    merged = dict(target)
    for name, value in patch.items():
        old = merged.get(name)
        if isinstance(value, Mapping):
            merged[name] = _merged(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


class MeterTold(Told):
    """A meter. Its version is in the ETag header of the single resource."""

    drn: str
    service: Annotated[Service, grows(Service)]
    profile: str
    route: RouteForm | None
    sts: StsForm
    keypad: Annotated[Keypad, grows(Keypad)]
    state: Annotated[MeterState, grows(MeterState)]
    usage_point: str | None
    currency: str | None
    version: int
    changed_at: datetime

    @classmethod
    def of(cls, meter: Meter) -> "MeterTold":
        return cls(
            **dict(MeterForm.of(meter)),
            drn=meter.drn,
            service=meter.service,
            version=meter.version,
            changed_at=meter.changed_at,
        )


class SupplyAsked(Asked):
    """An order to open supply, or to permit the customer to close it."""

    id: Annotated[Ident, Field(description="Your id of the order; the same again is the same.")]
    action: SupplyAction
    reason: SupplyReason
    expires_at: Annotated[Moment, Field(description="Worthless after this; at most 72 h ahead.")]
    requested_by: RequestedBy = None


class ClockAsked(Asked):
    """An order to set the meter's clock to ours."""

    id: Annotated[Ident, Field(description="Your id of the order; the same again is the same.")]
