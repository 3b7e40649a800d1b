"""One run of all tests: what goes beside what, what the whole run shares, and the mesh that tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from tests.support.described_answers import described_answers
from tests.support.described_events import noted
from tests.support.groups import GroupScheduling, tell_groups
from tests.support.postgres import stop_shared_postgres
from tests.support.run import begin_run, end_run, keep_compiled_code
from tests.support.running_mesh import running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

HERE = Path(__file__).parent
ATTACKS = HERE / "attacks"
WAITING = ("system", "browser", "attacks", "messaging")
"""The levels whose tests wait for other programs most of their time: they begin first."""
UNMEASURED = ("system", "browser", "attacks", "messaging")
"""The levels that measure no coverage: what they run is in other processes, or would be late by it."""
WORKERS_PER_CPU = 3
MOST_WORKERS = 12
MESH, DISTURBED, ATTACKED = "mesh", "disturbed-mesh", "attacked-mesh"
"""The groups of tests that share a mesh: most of them, those that end parts of it, and those that attack it. Each group
has a mesh and a worker of its own.
"""
MESHES = 3
"""So many are there for most of them, their files dealt out in turn: one worker alone would be the last to end."""
MOST_FAULTS = 10
USUAL_TIMEOUT_SECONDS = 120
"""Who asks for more than this (pyproject.toml) is begun early, because it may be the last to end."""


def pytest_configure(config: pytest.Config) -> None:
    """Make what the processes of this run share."""
    keep_compiled_code()
    # In short: frames that are drawn with their variables take longer than most tests.
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    if not hasattr(config, "workerinput"):
        begin_run(beside_each_other=bool(getattr(config.option, "numprocesses", None)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it, once all workers have ended."""
    if not hasattr(config, "workerinput"):
        stop_shared_postgres()
        end_run()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait for servers, clocks and each other: more of them go at once than there are processors."""
    return min(MOST_WORKERS, int(WORKERS_PER_CPU * (os.cpu_count() or 1)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in their order, and together what a worker has to do in one piece."""
    for item in items:
        if _attacked(item) and item.get_closest_marker("untimed") is None:
            item.add_marker(pytest.mark.alone)  # compares with how long things take when all is quiet
        if _level(item) in UNMEASURED:
            item.add_marker(pytest.mark.no_cover)
    items.sort(key=_turn)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell who hands out the tests which of them belong together, before the worker says that it has collected."""
    if hasattr(session.config, "workerinput"):
        places = _places(session.items)
        found = ((item.nodeid, _group(item, places)) for item in session.items)
        tell_groups({name: group for name, group in found if group is not None})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling | None:
    """Hand them out by their groups."""
    return GroupScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail for an event that a mesh told while the test ran, and that is not as the AsyncAPI document says."""
    try:
        result = yield
    except BaseException as error:
        for fault in noted()[:MOST_FAULTS]:
            error.add_note(fault)
        raise
    if faults := noted():
        pytest.fail("\n".join(faults[:MOST_FAULTS]), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End the mesh with the last test that uses it: one that idles takes a twentieth of two processors."""
    try:
        return (yield)
    finally:
        if "mesh" in _fixtures(item) and nextitem is not None and "mesh" not in _fixtures(nextitem):
            for fixture in item.session._fixturemanager.getfixturedefs("mesh", item) or ():
                fixture.finish(item._request)  # type: ignore[attr-defined]  # every test function has one


def _turn(item: pytest.Item) -> tuple[bool, bool, bool, bool]:
    """What shares a mesh takes longest in one piece, and what is long or waits is best begun early.

    Where all tests share one mesh, attack last: what an attacker leaves behind, such as cars that are muted, meets no
    other test.
    """
    return (
        "mesh" not in _fixtures(item),
        _level(item) == "attacks",
        not _takes_long(item),
        _level(item) not in WAITING,
    )


def _takes_long(item: pytest.Item) -> bool:
    asked = item.get_closest_marker("timeout")
    return asked is not None and asked.args[0] > USUAL_TIMEOUT_SECONDS


def _places(items: list[pytest.Item]) -> dict[Path, int]:
    """Which mesh each file's tests use."""
    files = sorted({item.path for item in items if "mesh" in _fixtures(item) and _level(item) != "attacks"})
    return {file: place % MESHES for place, file in enumerate(files)}


def _group(item: pytest.Item, places: dict[Path, int]) -> str | None:
    """The tests of one group are run by one worker: those of one mesh, and those of a file that shares servers."""
    if _level(item) == "messaging":
        return None
    if "mesh" in _fixtures(item):
        if _level(item) == "attacks":
            return ATTACKED
        return DISTURBED if item.get_closest_marker("disturbs") else f"{MESH}-{places[item.path]}"
    return item.path.relative_to(HERE).as_posix()


def _attacked(item: pytest.Item) -> bool:
    return not {"bystander", "mqtt_bystander"}.isdisjoint(_fixtures(item))


def _level(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    # So that what a withdrawn key opened ends while a test waits for it.
    with (
        running_mesh(
            tmp_path_factory.mktemp("doors"), DOORS_KEYS_REREAD_SECONDS="2", DOORS_ALERT_DAMPING_SECONDS="6"
        ) as running,
        described_answers(running.ports.http, running.ports.https),
    ):
        yield running
