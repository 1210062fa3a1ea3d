"""What the back-office keeps and limits rest on: a zone, a protected usage point; both audited."""

from headend.api_keys import Scope
from tests.api.office import Caller, Office

POINT = {"name": "Clinic", "contacts": [], "protected": True}


async def audited(office: Office, action: str) -> list[dict[str, str]]:
    auditor = await office.caller(Scope.AUDIT)
    answer = await auditor.get(f"/v1/audit?action={action}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, str]] = answer.json()["items"]
    return items


async def test_whoever_takes_protection_away_is_written_down(office: Office, caller: Caller):
    made = await caller.put("/v1/usage-points/clinic", json=POINT)
    assert made.status_code == 201, made.text
    mark = {"If-Match": made.headers["etag"]}
    same = await caller.put("/v1/usage-points/clinic", json=POINT | {"name": "C"}, headers=mark)
    assert await audited(office, "protection_changed") == []
    mark = {"If-Match": same.headers["etag"]}
    taken = await caller.put(
        "/v1/usage-points/clinic", json=POINT | {"protected": False}, headers=mark
    )
    assert taken.is_success, taken.text
    (entry,) = await audited(office, "protection_changed")
    assert (entry["subject"], entry["result"]) == ("clinic", "no longer protected")
    assert entry["by"].startswith("key:")


async def test_whoever_moves_a_group_to_another_zone_is_written_down(
    office: Office, caller: Caller
):
    made = await caller.put("/v1/supply-groups/654321", json={"zone": "Africa/Abidjan"})
    mark = {"If-Match": made.headers["etag"]}
    moved = await caller.put("/v1/supply-groups/654321", json={"zone": "Asia/Tokyo"}, headers=mark)
    assert moved.is_success, moved.text
    (entry,) = await audited(office, "zone_changed")
    assert (entry["subject"], entry["result"]) == ("654321", "Africa/Abidjan to Asia/Tokyo")
