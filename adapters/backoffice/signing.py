"""Signatures of Standard Webhooks 1.0, made by its own library."""

from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook

from headend.receivers import Message


def signed_headers(message: Message) -> Mapping[str, str]:
    """Id, time and one signature for each secret, over id, time and body."""
    body = message.body.decode()
    signatures = [
        Webhook(secret).sign(msg_id=message.id, timestamp=message.at, data=body)
        for secret in message.secrets
    ]
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(message.at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
