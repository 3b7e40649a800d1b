"""Settings: the newest wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import body_pb2

from conformance.finding import Group, require
from conformance.orders import settings
from protocol.domains import Domain

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

    from conformance.unit import Unit

GROUP = Group("settings")


async def _applied(unit: Unit, order: command_pb2.ApplyConfig) -> report_pb2.ConfigReport:
    report: report_pb2.ConfigReport = await unit.obeys(order)
    require(report.applied, f"not applied: {report.reason}")
    require(report.settings == order.settings, "it runs with other settings than it was told")
    return report


@GROUP.rule
async def settings_apply(unit: Unit) -> None:
    """Settings come into force, and the hello says which version."""
    version = (await unit.asked()).hello.config_version + 1
    await _applied(unit, settings(version, delay_seconds=60))
    in_force = (await unit.asked()).hello.config_version
    require(in_force == version, f"version {version} was applied, and the hello says {in_force}")


@GROUP.rule
async def older_settings_change_nothing(unit: Unit) -> None:
    """Known settings are those of which this or a newer version is in force: they change nothing."""
    version = (await unit.asked()).hello.config_version + 2
    wanted = settings(version, delay_seconds=90)
    await _applied(unit, wanted)
    for known in (version, version - 1):
        report = await unit.known_result(settings(known, delay_seconds=120))
        require(report.settings == wanted.settings, "older settings were put in force")
    in_force = (await unit.asked()).hello.config_version
    require(in_force == version, f"version {version} is newest, and the hello says {in_force}")


@GROUP.rule
async def settings_outlive_reboot(unit: Unit) -> None:
    """Known settings are those of which this or a newer version is in force, also after a reboot."""
    version = (await unit.asked()).hello.config_version + 1
    wanted = settings(version, delay_seconds=75)
    await _applied(unit, wanted)
    info = await unit.reboot()
    in_force = info.hello.config_version
    require(in_force == version, f"version {version} was applied, and after the reboot it says {in_force}")
    report = await unit.known_result(settings(version, delay_seconds=120))
    require(report.settings == wanted.settings, "after the reboot it runs with other settings")


@GROUP.rule
async def settings_count(unit: Unit) -> None:
    """Session information has the highest counter accepted in each domain of orders, cmd.config, too."""
    version = (await unit.asked()).hello.config_version + 1
    await _applied(unit, settings(version, delay_seconds=60))
    counters = {one.domain: one.counter for one in (await unit.asked()).counters}
    last, told = unit.cloud.session.current.issued[Domain.CONFIG], counters.get(Domain.CONFIG.value)
    require(told == last, f"it accepted counter {last} in cmd.config, and says {told}")


@GROUP.rule
async def settings_are_applied_member_by_member(unit: Unit) -> None:
    """A unit without what one member asks for applies the others, and says which it left out."""
    version = (await unit.asked()).hello.config_version + 1
    wanted = settings(version, delay_seconds=60)
    wanted.settings.child_lock_enabled = True
    report: report_pb2.ConfigReport = await unit.obeys(wanted)
    try:
        require(report.applied, f"all of them are refused for one member: {report.reason}")
        if report.settings != wanted.settings:
            others = body_pb2.DoorSettings()
            others.CopyFrom(wanted.settings)
            others.child_lock_enabled = False
            require(report.settings == others, "it runs with other settings than it was told")
            require(report.reason, "it left a member out, and does not say which")
    finally:
        await _applied(unit, settings(version + 1, delay_seconds=60))
