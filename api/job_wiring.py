"""Wiring of jobs: their desk, and the runner where wires are served."""

from datetime import timedelta

import structlog

from api.head_end import Work
from headend.approvals import EXPIRES_AFTER
from headend.bus_ports import BusPorts
from headend.command_desk import CommandDesk
from headend.errors import StoreDown
from headend.job_runner import JobRunner
from headend.jobs import Job
from headend.key_desk import KeyDesk
from headend.ports import Chance, Clock, SecurityModule
from headend.recharge_desk import RechargeDesk, Routes
from headend.store import Store
from headend.trials import Trials

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def open_runner(
    store: Store,
    module: SecurityModule,
    routes: Routes,
    desks: tuple[RechargeDesk, CommandDesk, KeyDesk],
    *,
    clock: Clock,
    chance: Chance,
    approval_lasts: timedelta = EXPIRES_AFTER,
) -> JobRunner:
    """What works off jobs, not yet running."""
    trials = Trials(store, module, routes, clock=clock)
    return JobRunner(
        store,
        trials,
        *desks,
        clock=clock,
        chance=chance,
        approval_lasts=approval_lasts,
        put_off=_put_off,
    )


def _put_off(job: Job, error: StoreDown) -> None:
    log.warning("job put off", tenant=job.tenant, job=job.id, error=str(error))


def job_work(
    ports: BusPorts,
    module: SecurityModule,
    routes: Routes,
    desks: tuple[RechargeDesk, CommandDesk, KeyDesk],
    *,
    approval_lasts: timedelta,
) -> Work:
    """The runner as a process runs it, with the store, clock and chance of its buses."""
    runner = open_runner(
        ports.store,
        module,
        routes,
        desks,
        clock=ports.clock,
        chance=ports.chance,
        approval_lasts=approval_lasts,
    )
    return Work("jobs", runner.serve)
