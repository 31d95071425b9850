"""The unit that `edgessd service install` writes: checked by systemd itself where that is installed."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from command_line import edgessd

from edgessd.cli.run import command as run
from edgessd.cli.service import command as service
from edgessd.cli.service.command import plan_service
from edgessd.cli.service.unit import Service, environment_file, hide_secrets, quoted
from edgessd.core.errors import ConfigError
from edgessd.runtime.starter import starter_bundle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(*options: str, name: str = "edgessd", user: str = "daemon") -> Service:
    return plan_service(list(options), name=name, user=user, watchdog_seconds=60)


def verify(made: Service, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze; install Debian's package systemd")
    path = folder / f"{made.name}.service"
    path.write_text(made.unit())
    return subprocess.run(
        ["systemd-analyze", *words, str(path)], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--camera", "0"),
        ("--camera", "0", "--camera", "2", "--live", "--host", "0.0.0.0", "--port", "80"),
        ("--source", "csi:0?width=1280&height=720", "--track", "--record", "films/a b.mp4"),
        ("--source", "rtsp://me:p%s$w\"'\\@10.0.0.5/1?x=${HOME}", "--csv", "-"),
        ("--source", "gst:videotestsrc ! videoconvert ! appsink", "--snapshots", "pictures"),
    ],
)
def test_systemd_accepts_the_unit(options: tuple[str, ...], folder: Path) -> None:
    done = verify(plan(*options), folder, "verify")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sandbox_is_rated_ok_by_systemd(folder: Path) -> None:
    made = plan("--camera", "0", "--record", "out.mp4")
    done = verify(made, folder, "security", "--offline=true", "--threshold=25", "--no-pager")
    assert done.returncode == 0, done.stdout


def test_the_unit_says_who_what_where_and_for_how_long(folder: Path) -> None:
    unit = plan("--camera", "0", "--jsonl", "log/a.jsonl", "--snapshots", "pictures").unit()
    assert (
        f"ExecStart={sys.executable} -m edgessd run --model {starter_bundle()} --camera 0" in unit
    )
    for line in (
        "Type=notify",
        "User=daemon",
        "Restart=always",
        "WatchdogSec=60",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"WorkingDirectory={folder}",
        f"ReadWritePaths=-{folder}/log",
        f"ReadWritePaths=-{folder}/pictures",
        "EnvironmentFile=-/etc/edgessd/edgessd.env",
        "PrivateTmp=yes",
        "WantedBy=multi-user.target",
    ):
        assert line in unit.splitlines()
    # Either would shut the camera out.
    assert "PrivateDevices" not in unit
    assert "ProtectClock" not in unit


def test_a_jetsons_camera_daemon_stays_reachable() -> None:
    unit = plan("--source", "csi:0").unit()
    assert "PrivateTmp" not in unit
    assert "ReadWritePaths=/tmp" in unit


def test_a_password_stands_in_the_environment_alone() -> None:
    made = plan(
        "--source", "rtsp://me:hunter2@cam/1", "--webhook", "https://hooks.example/T0/secret"
    )
    assert "hunter2" not in made.unit()
    assert "secret" not in made.unit()
    assert "--source ${EDGESSD_SECRET_1} --webhook ${EDGESSD_SECRET_2}" in made.unit()
    assert "Description=edgessd on rtsp://cam/1\n" in made.unit()
    text = environment_file(made.secrets)
    assert 'EDGESSD_SECRET_1="rtsp://me:hunter2@cam/1"' in text
    assert 'EDGESSD_SECRET_2="https://hooks.example/T0/secret"' in text


@pytest.mark.parametrize(
    "url", ["rtsp://me:p/w#1@cam/1", "http://cam/video?user=admin&password=hunter2"]
)
def test_a_password_that_no_url_may_hold_is_hidden_too(url: str) -> None:
    words, secrets = hide_secrets(["--source", url])
    assert list(secrets.values()) == [url]
    assert words == ("--source", "${EDGESSD_SECRET_1}")


def test_secrets_are_hidden_in_either_way_of_writing_options() -> None:
    words, secrets = hide_secrets(["--source=rtsp://a:b@c/?d=e", "--mqtt", "mqtt://host", "--live"])
    assert words == ("--source=${EDGESSD_SECRET_1}", "--mqtt", "mqtt://host", "--live")
    assert secrets == {"EDGESSD_SECRET_1": "rtsp://a:b@c/?d=e"}


def test_a_page_for_others_gets_a_token_that_lasts() -> None:
    assert "EDGESSD_LIVE_TOKEN" not in plan("--camera", "0", "--live").secrets
    made = plan("--camera", "0", "--live", "--host", "0.0.0.0")
    token = made.secrets["EDGESSD_LIVE_TOKEN"]
    assert len(token) >= 32
    assert token not in made.unit()
    # Installing once more keeps the token that people have in their browsers.
    first = environment_file(made.secrets)
    again = environment_file({"EDGESSD_LIVE_TOKEN": "another"}, first)
    assert again == first
    changed = environment_file({"EDGESSD_SECRET_1": "new"}, 'EDGESSD_SECRET_1="old"\nA=b\n')
    assert changed == 'EDGESSD_SECRET_1="new"\nA=b\n'


@pytest.mark.parametrize(
    ("word", "in_the_unit"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ("${HOME}", '"$${HOME}"'),
        ("${MINE}", "${MINE}"),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("it's", '"it\'s"'),
        (";", '";"'),
    ],
)
def test_words_reach_the_program_as_they_are(word: str, in_the_unit: str) -> None:
    assert quoted(word, {"MINE": "x"}) == in_the_unit


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--camera N"),
        (("--camera", "0", "--display"), "no desktop"),
        (("--camera", "0", "--json"), "--log json"),
        (("--list",), "--camera N"),
        (("--camera", "0", "--lives"), "--lives"),
        (("--camera", "zero"), "'--camera'"),
        (("--camera", "0", "--threshold", "3"), "--threshold"),
    ],
)
def test_what_run_would_refuse_is_refused_before_anything_is_written(
    options: tuple[str, ...], said: str
) -> None:
    done = edgessd("service", "install", *options, "--dry-run", code=2)
    assert said in done.err
    assert done.out == ""


def test_refusals_say_the_way_out() -> None:
    for options, said in (
        (("--user", "root"), "--user NAME"),
        (("--user", "nobody"), "--user NAME"),
        (("--name", "a b"), "--name"),
        (("--model", "absent"), "no such model"),
    ):
        done = edgessd("service", "install", "--camera", 0, *options, "--dry-run", code=1)
        assert said in " ".join(done.err.split())
    with pytest.raises(ConfigError, match="line break"):
        plan("--source", "a\nb")


def test_dry_run_prints_the_unit_and_nothing_else() -> None:
    words = ("--source", "rtsp://me:hunter2@cam/1", "--user", "daemon", "--dry-run")
    done = edgessd("service", "install", *words)
    assert done.out == plan("--source", "rtsp://me:hunter2@cam/1").unit()
    assert "EDGESSD_SECRET_1" in done.err
    assert "hunter2" not in done.out + done.err


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this machine has systemd")
def test_a_machine_without_systemd_is_told_what_to_do_instead() -> None:
    for words in (("install", "--camera", 0, "--yes"), ("uninstall", "--yes"), ("status",)):
        done = edgessd("service", *words, code=1)
        assert "--dry-run" in done.err


def test_every_path_that_run_takes_is_known_to_be_read_or_written() -> None:
    """The sandbox leaves room for what is written; a new option mustn't be forgotten there."""
    known = {*service.WRITTEN_FILES, *service.WRITTEN_FOLDERS, *service.READ_FILES}
    hints = typing.get_type_hints(run.command, include_extras=True)
    paths = set()
    for name, hint in hints.items():
        metavar = getattr(getattr(hint, "__metadata__", (None,))[0], "metavar", None)
        if "pathlib" in str(hint) or metavar in ("FILE", "DIR"):
            paths.add(name)
    assert paths == known


def test_options_of_install_hide_none_of_run() -> None:
    own = set(inspect.signature(service.install_command).parameters) - {"context"}
    assert not own & set(inspect.signature(run.command).parameters)


def test_the_program_that_is_started_is_this_one(folder: Path) -> None:
    """The command of the unit, run as it stands: systemd's own words for it are simple here."""
    unit = plan("--source", "pattern:320x240", "--max-frames", "3").unit()
    found = re.search(r"^ExecStart=(.*)$", unit, flags=re.M)
    assert found is not None
    environment = {**os.environ, "EDGESSD_CACHE": str(folder)}
    done = subprocess.run(
        found[1].split(), capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0
    assert "3 frames at" in done.stderr
