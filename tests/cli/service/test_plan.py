"""Unit, options file and secrets of a service; systemd checks the unit if it is installed."""

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
from edgessd.cli.service.plan import plan_service
from edgessd.cli.service.unit import Service, environment_file, quoted
from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.file import read_options
from edgessd.pipeline.options.outputs import LiveOptions, RecordOptions, WebhookOptions
from edgessd.pipeline.options.run import RunOptions
from edgessd.runtime.starter import starter_bundle

if sys.version_info >= (3, 11):
    pass
else:
    pass


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


def test_the_unit_has_user_command_folders_and_watchdog(folder: Path) -> None:
    made = plan("--camera", "0", "--jsonl", "log/a.jsonl", "--snapshots", "pictures")
    unit = made.unit()
    for line in (
        f"ExecStart={sys.executable} -m edgessd run --config /etc/edgessd/edgessd.toml",
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


def options_of(made: Service) -> RunOptions:
    path = Path("stored.toml")
    path.write_text(made.config_file())
    return read_options(path)


def test_the_options_file_has_absolute_paths_and_the_chosen_model(folder: Path) -> None:
    (folder / "regions.toml").write_text("")
    made = plan("--source", "film.mp4", "--record", "films/a b.mp4", "--regions", "regions.toml")
    options = options_of(made)
    assert options.model.path == starter_bundle()
    assert options.source[0].address == str(folder / "film.mp4")
    assert options.source[0].regions == folder / "regions.toml"
    assert options.record == RecordOptions(path=folder / "films/a b.mp4")
    assert made.config_file().startswith("# Written by `edgessd service install` for the service")


def test_the_command_line_overrides_a_given_options_file(folder: Path) -> None:
    (folder / "cameras.toml").write_text(
        '[[source]]\naddress = "rtsp://cam/1"\nusername_env = "DOOR_USER"\nthreshold = 0.5\n'
        '[[source]]\naddress_env = "YARD_ADDRESS"\n[live]\n'
    )
    made = plan("--config", "cameras.toml", "--threshold", "0.2", "--port", "80")
    options = options_of(made)
    assert [source.threshold for source in options.source] == [0.2, 0.2]
    assert options.live == LiveOptions(port=80)
    assert made.variables == ("DOOR_USER", "YARD_ADDRESS")
    assert made.secrets == {}


def test_passwords_are_in_the_environment_file_only() -> None:
    made = plan(
        "--source", "rtsp://me:hunter2@cam/1", "--webhook", "https://hooks.example/T0/secret"
    )
    assert "hunter2" not in made.shown()
    assert 'secret"' not in made.shown()
    assert "Description=edgessd on rtsp://cam/1\n" in made.unit()
    options = options_of(made)
    assert options.source[0].address == "rtsp://cam/1"
    assert options.source[0].password_env == "EDGESSD_SOURCE_1_PASSWORD"
    assert options.webhook == WebhookOptions(url_env="EDGESSD_WEBHOOK_URL")
    text = environment_file(made.secrets)
    assert 'EDGESSD_SOURCE_1_USERNAME="me"' in text
    assert 'EDGESSD_SOURCE_1_PASSWORD="hunter2"' in text
    assert 'EDGESSD_WEBHOOK_URL="https://hooks.example/T0/secret"' in text


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:p/w#1@cam/1",
        "http://cam/video?user=admin&password=hunter2",
        "gst:rtspsrc location=rtsp://me:p%1@cam/1 ! appsink",
    ],
)
def test_unusual_passwords_are_hidden_too(url: str) -> None:
    made = plan("--source", url)
    assert not {"p/w#1", "hunter2", "p%1"} & set(re.split(r"[:@=&\s\"]", made.shown()))
    values = made.secrets.values()
    assert url in values or {"me", "p/w#1"} == set(values)


def test_a_page_for_the_network_gets_a_token_that_is_kept() -> None:
    assert "EDGESSD_LIVE_TOKEN" not in plan("--camera", "0", "--live").secrets
    made = plan("--camera", "0", "--live", "--host", "0.0.0.0")
    token = made.secrets["EDGESSD_LIVE_TOKEN"]
    assert len(token) >= 32
    assert token not in made.unit()
    # Installing once more keeps the token that people have in their browsers.
    first = environment_file(made.secrets)
    again = environment_file({"EDGESSD_LIVE_TOKEN": "another"}, first)
    assert again == first


def test_other_lines_of_the_environment_file_are_kept() -> None:
    before = '# mine\nEDGESSD_WEBHOOK_URL="old"\nEDGESSD_SECRET_1="of an older unit"\nA=b\n'
    changed = environment_file({"EDGESSD_WEBHOOK_URL": "new"}, before)
    assert changed == '# mine\nEDGESSD_WEBHOOK_URL="new"\nA=b\n'


@pytest.mark.parametrize(
    ("word", "in_the_unit"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("100%", "100%%"),
        ("$HOME", '"$$HOME"'),
        ("${HOME}", '"$${HOME}"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("it's", '"it\'s"'),
        (";", '";"'),
    ],
)
def test_words_are_quoted_for_systemd(word: str, in_the_unit: str) -> None:
    assert quoted(word) == in_the_unit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--camera N"),
        (("--camera", "0", "--display"), "no desktop"),
        (("--camera", "0", "--json"), "--log json"),
        (("--camera", "0", "--print-config"), "--dry-run"),
        (("--camera", "0", "--host", "0.0.0.0"), "--live"),
        (("--list",), "--camera N"),
        (("--camera", "0", "--lives"), "--lives"),
        (("--camera", "zero"), "'--camera'"),
        (("--camera", "0", "--threshold", "3"), "--threshold"),
    ],
)
def test_options_that_run_refuses_are_refused_by_install(
    options: tuple[str, ...], message: str
) -> None:
    done = edgessd("service", "install", *options, "--dry-run", code=2)
    assert message in done.err
    assert done.out == ""


def test_refusals_name_a_way_out() -> None:
    for options, message in (
        (("--user", "root"), "--user NAME"),
        (("--user", "nobody"), "--user NAME"),
        (("--name", "a b"), "--name"),
        (("--model", "absent"), "no such model"),
    ):
        done = edgessd("service", "install", "--camera", 0, *options, "--dry-run", code=1)
        assert message in " ".join(done.err.split())
    with pytest.raises(ConfigError, match="line break"):
        plan("--camera", "0", "--record", "a\nb/c.mp4")


def test_dry_run_prints_only_the_unit_and_the_options() -> None:
    words = ("--source", "rtsp://me:hunter2@cam/1", "--user", "daemon", "--dry-run")
    done = edgessd("service", "install", *words)
    assert done.out == plan("--source", "rtsp://me:hunter2@cam/1").shown()
    assert "EDGESSD_SOURCE_1_PASSWORD" in done.err
    assert "hunter2" not in done.out + done.err


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this machine has systemd")
def test_without_systemd_the_refusal_names_an_alternative() -> None:
    for words in (("install", "--camera", 0, "--yes"), ("uninstall", "--yes"), ("status",)):
        done = edgessd("service", *words, code=1)
        assert "--dry-run" in done.err


def test_every_path_of_the_options_is_read_or_written(folder: Path) -> None:
    """The sandbox must allow the path of every option, also of a new one."""
    (folder / "film.mp4").touch()
    (folder / "model").mkdir()
    words = {}
    for name, hint in typing.get_type_hints(run.command, include_extras=True).items():
        option = getattr(hint, "__metadata__", (None,))[0]
        if getattr(option, "metavar", None) in ("FILE", "DIR", "PATH") and name != "config":
            words[name] = f"{name}/x.pem"
    words |= {"model": "model", "record": "record/x.mp4"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in words.items()]
    made = plan("--source", "film.mp4", "--mqtt", "mqtts://host", *flags)
    known = {*made.readable, *made.writable, *(path.parent for path in made.readable)}
    missing = {name for name in words if folder / name not in known}
    assert missing - {"snapshots"} == set()
    assert folder / "snapshots/x.pem" in made.writable
    assert folder / "film.mp4" in made.readable


def test_options_of_install_hide_none_of_run() -> None:
    own = set(inspect.signature(service.install_command).parameters) - {"context"}
    assert not own & set(inspect.signature(run.command).parameters)


def test_the_command_of_the_unit_runs(folder: Path) -> None:
    """Run the command of the unit, which has no characters that systemd quotes."""
    made = plan("--source", "pattern:320x240", "--max-frames", "3")
    found = re.search(r"^ExecStart=(.*)$", made.unit(), flags=re.M)
    assert found is not None
    config = folder / "config.toml"
    config.write_text(made.config_file())
    environment = {**os.environ, "EDGESSD_CACHE": str(folder)}
    words = found[1].replace(str(made.files.config), str(config)).split()
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0
    assert "3 frames at" in done.stderr
