"""`edgessd service` and the services of others, which it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.cli.service import command, install, unit
from edgessd.cli.service.plan import plan_service
from edgessd.core.errors import ConfigError

OTHERS = "[Service]\nExecStart=/usr/bin/python3 -m edgessd run --camera 0\n"


@pytest.fixture(autouse=True)
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the units of this machine into a folder of the test."""
    for name in ("etc", "usr"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(unit, "UNIT_FOLDER", tmp_path / "etc")
    monkeypatch.setattr(install, "SYSTEM_FOLDERS", (tmp_path / "usr",))
    monkeypatch.setattr(unit, "OPTIONS_FOLDER", tmp_path / "etc/edgessd")
    monkeypatch.setattr(command, "SYSTEMD", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words", [("uninstall", "--yes"), ("show",), ("status",)], ids=lambda words: words[0]
)
def test_the_unit_of_somebody_else_is_refused(words: tuple[str, ...], units: Path) -> None:
    path = units / "etc/web.service"
    path.write_text(OTHERS)
    done = edgessd("service", *words, "--name", "web", code=1)
    assert "wasn't written by `edgessd service install`" in " ".join(done.err.split())
    assert done.out == ""
    assert path.read_text() == OTHERS


@pytest.mark.parametrize("subcommand", ["show", "status", "uninstall"])
@pytest.mark.parametrize("name", ["../web", "a/b", "", ".", "a b", "a@", "x" * 300])
def test_a_name_that_is_no_name_is_refused(name: str, subcommand: str, units: Path) -> None:
    (units / "web.service").write_text("EDGESSD_CACHE")
    done = edgessd("service", subcommand, "--name", name, code=1)
    assert "can't be named" in done.err


@pytest.mark.parametrize("folder", ["etc", "usr"])
def test_the_unit_of_somebody_else_is_not_replaced(folder: str, units: Path) -> None:
    (units / folder / "web.service").write_text(OTHERS)
    planned = plan_service(["--camera", "0"], name="web", user="daemon", watchdog_seconds=60)
    with pytest.raises(ConfigError, match=r"web\.service") as refused:
        install.require_own_files(planned)
    assert "--name" in refused.value.paragraph()


def test_the_own_unit_is_shown_and_may_be_replaced(units: Path) -> None:
    planned = plan_service(["--camera", "0"], name="door", user="daemon", watchdog_seconds=60)
    (units / "etc/door.service").write_text(planned.unit())
    install.require_own_files(planned)
    assert planned.unit() in edgessd("service", "show", "--name", "door").out


@pytest.mark.parametrize(
    "user", ["a\nExecStartPre=/bin/evil", "a b", "", "0", "-x", "x" * 40, "root"]
)
def test_a_user_that_is_no_user_is_refused(user: str) -> None:
    with pytest.raises(ConfigError, match="user"):
        plan_service(["--camera", "0"], name="door", user=user, watchdog_seconds=60)


def test_a_path_in_tmp_is_refused() -> None:
    planned = plan_service(["--camera", "0"], name="door", user="daemon", watchdog_seconds=60)
    elsewhere = replace(planned, program=("/opt/python",), directory=Path("/opt"), readable=())
    install.require_visible(elsewhere)
    for name, value in (
        ("directory", Path("/tmp/camera")),
        ("readable", (Path("/var/tmp/film.mp4"),)),
        ("writable", (Path("/tmp"),)),
    ):
        in_tmp = replace(elsewhere, **{name: value})
        with pytest.raises(ConfigError, match="can't see"):
            install.require_visible(in_tmp)
        install.require_visible(replace(in_tmp, shared_tmp=True))


def test_the_last_service_leaves_nothing(units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "systemctl", lambda *words: None)
    both = [unit.ServiceFiles.of(name) for name in ("door", "yard")]
    for files in both:
        for path in files:
            path.parent.mkdir(exist_ok=True)
            path.touch()
    install.remove(both[0], "door")
    assert {path.name for path in (units / "etc").rglob("*.*")} == {path.name for path in both[1]}
    install.remove(both[1], "yard")
    assert list((units / "etc").iterdir()) == []
