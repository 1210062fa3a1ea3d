"""Refusals about webhooks and the events that they tell; what they are built on is `refusals`."""

from headend.refusals import OrderRefused


class UnknownWebhook(OrderRefused):
    slug = "unknown-webhook"
    title = "No such webhook"
    status = 404


class UnknownEvent(OrderRefused):
    slug = "unknown-event"
    title = "No such event is kept"
    status = 404


class ReceiverRefused(OrderRefused):
    slug = "receiver-refused"
    title = "This URL is no receiver that may be told"


class TooManyWebhooks(OrderRefused):
    slug = "too-many-webhooks"
    title = "The tenant has all the webhooks that it may have"
    status = 409


class CursorGone(OrderRefused):
    """Something that the reader has not seen may be gone: it must look at the resources."""

    slug = "cursor-gone"
    title = "What follows this cursor is kept no longer"
    status = 410
