"""CloudEvents 1.0 in structured mode: what webhooks, streams and lists tell, all the same bytes.

Extension `sequence` (12 digits, so that texts sort like numbers) counts the announcements of the
subject, or of the tenant where there is no subject.
"""

import json
from collections.abc import Mapping

from headend.announcing import moment_json
from headend.outbox import Announced
from headend.recharges import Json

MEDIA_TYPE = "application/cloudevents+json"
SPEC_VERSION = "1.0"
SEQUENCE_DIGITS = 12


def cloud_event(announced: Announced, source: str) -> Mapping[str, Json]:
    """The event as JSON; `source` names this head-end, the tenant is added to it."""
    said = announced.announcement
    event: dict[str, Json] = {
        "specversion": SPEC_VERSION,
        "id": announced.id,
        "source": f"{source}:{said.tenant}",
        "type": said.occurrence.type,
        "time": moment_json(said.at),
        "datacontenttype": "application/json",
        "dataschema": said.occurrence.schema,
        "sequence": f"{announced.sequence:0{SEQUENCE_DIGITS}d}",
        "data": said.data,
    }
    return event | ({"subject": said.drn} if said.drn else {})


def event_body(announced: Announced, source: str) -> bytes:
    """The same bytes each time it is told."""
    event = cloud_event(announced, source)
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
