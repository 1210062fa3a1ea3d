"""Places that are bounded by a count: many callers at one moment get no more than there are."""

import asyncio
from functools import partial

from adapters.backoffice.addresses import ReceiverRules
from adapters.backoffice.receivers import HttpReceivers
from adapters.chance import SystemChance
from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.webhook_secrets import SecretSeals
from headend import job_desk, webhook_desk
from headend.job_desk import JobDesk
from headend.jobs import TooManyJobs
from headend.outbox import Bell
from headend.webhook_desk import WebhookDesk, WebhookOrder
from headend.webhook_refusals import TooManyWebhooks
from tests.adapters.store.test_jobs import a_job, a_line
from tests.builders import NOW, OTHER_TENANT, TENANT
from tests.fakes import FakeClock

CALLERS, PLACES = 8, 3


async def outcomes(calls):
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in answers if isinstance(one, Exception)]
    return len(answers) - len(refused), {type(one) for one in refused}


async def test_webhooks_that_are_made_at_once_pass_no_bound(store, monkeypatch):
    monkeypatch.setattr(webhook_desk, "MAX_WEBHOOKS", PLACES)
    receivers = HttpReceivers(ReceiverRules((), plain_http=False), timeout_s=1)
    desk = WebhookDesk(
        store,
        receivers,
        SecretSeals(partial(MasterKeys, MasterKey(bytes(32)))),
        clock=FakeClock(NOW),
        chance=SystemChance(),
        wake=Bell(),
    )
    order = WebhookOrder(url="https://billing.example/events")
    made = await outcomes([desk.add(TENANT, order) for _ in range(CALLERS)])
    assert made == (PLACES, {TooManyWebhooks})
    async with store.look() as tx:
        assert len(await tx.webhooks.all(TENANT)) == PLACES
    await desk.add(OTHER_TENANT, order)
    await receivers.aclose()


async def test_jobs_that_are_posted_at_once_pass_no_bound(store, monkeypatch):
    monkeypatch.setattr(job_desk, "MAX_OPEN_OF_KEY", PLACES)
    desk = JobDesk(store, clock=FakeClock(NOW))
    posts = [
        desk.submit(a_job(f"j{number}", size=1), [a_line(1, job_id=f"j{number}")])
        for number in range(CALLERS)
    ]
    assert await outcomes(posts) == (PLACES, {TooManyJobs})
    async with store.look() as tx:
        assert await tx.jobs.open(TENANT) == {"k1": PLACES}
