"""Wiring of jobs: their desk, and the runner where wires are served."""

from headend.command_desk import CommandDesk
from headend.job_runner import JobRunner
from headend.key_desk import KeyDesk
from headend.ports import Chance, Clock, SecurityModule
from headend.recharge_desk import RechargeDesk, Routes
from headend.store import Store
from headend.trials import Trials


def open_runner(
    store: Store,
    module: SecurityModule,
    routes: Routes,
    desks: tuple[RechargeDesk, CommandDesk, KeyDesk],
    *,
    clock: Clock,
    chance: Chance,
) -> JobRunner:
    """What works off jobs, not yet running."""
    trials = Trials(store, module, routes, clock=clock)
    return JobRunner(store, trials, *desks, clock=clock, chance=chance)
