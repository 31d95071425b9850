"""Secrets: refused in files, and moved from options to environment variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.file import read_options, write_options
from edgessd.pipeline.options.outputs import LiveOptions, MqttOptions, WebhookOptions
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.secrets import hide_secrets, require_variables, required_variables
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.credentials import CredentialVariables, with_credentials

SECRET_ADDRESSES = [
    "rtsp://me:hunter2@cam/1",
    "rtsp://me:hunter2%40@cam:554/1?channel=1",
    "http://me:hunter/2#@cam/1",
    "rtsp://cam/1?user=me&password=hunter2",
    "rtsp://me:hunter2@cam/user=me&password=hunter2",
    "rtmp://me:hunter2@cam/1",
    "rtsp://hunter2@cam/1",
    "gst:rtspsrc location=rtsp://me:hunter2@cam/1 ! appsink",
]


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        *((f"[[source]]\naddress = '{address}'", "username_env") for address in SECRET_ADDRESSES),
        ("[[source]]\naddress = 'a'\n[webhook]\nurl = 'https://me:hunter2@h'", "url_env"),
        ("[[source]]\naddress = 'a'\n[webhook]\nurl = 'https://h/?token=hunter2'", "url_env"),
        ("[[source]]\naddress = 'a'\n[mqtt]\nurl = 'mqtt://me:hunter2@h'", "EDGESSD_MQTT_PASSWORD"),
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_repeated(
    text: str, way_out: str, tmp_path: Path
) -> None:
    path = tmp_path / "o.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_options(path)
    assert way_out in refused.value.paragraph()
    assert "hunter" not in refused.value.paragraph()


@pytest.mark.parametrize("address", SECRET_ADDRESSES)
def test_a_hidden_address_is_the_same_with_the_environment(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(source=(SourceOptions(address="camera:0"), SourceOptions(address=address)))
    hidden, secrets = hide_secrets(options)
    text = write_options(hidden)
    assert "hunter" not in text
    assert all(name.startswith("EDGESSD_SOURCE_2") for name in secrets)
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "o.toml").write_text(text)
    first, second = read_options(tmp_path / "o.toml").source
    assert first == options.source[0]
    variables = CredentialVariables(second.username_env, second.password_env)
    assert with_credentials(second.located(secrets), variables) == with_credentials(address)


def test_the_address_of_a_webhook_is_a_secret_and_plain_options_stay() -> None:
    options = RunOptions(
        source=(SourceOptions(address="user=me.mp4"), SourceOptions(address="rtsp://cam:554/1")),
        webhook=WebhookOptions(url="https://hooks.example/T0/B1", on="detections"),
        mqtt=MqttOptions(url="mqtt://h"),
    )
    hidden, secrets = hide_secrets(options)
    assert secrets == {"EDGESSD_WEBHOOK_URL": "https://hooks.example/T0/B1"}
    assert hidden.webhook == WebhookOptions(url_env="EDGESSD_WEBHOOK_URL", on="detections")
    assert (hidden.source, hidden.mqtt) == (options.source, options.mqtt)
    assert hidden.webhook.located(secrets) == "https://hooks.example/T0/B1"
    with pytest.raises(ConfigError, match="EDGESSD_WEBHOOK_URL"):
        hidden.webhook.located({})


def test_variables_that_must_be_set_are_known() -> None:
    options = RunOptions(
        source=(
            SourceOptions(address_env="DOOR"),
            SourceOptions(address="rtsp://cam/1", password_env="YARD_PW"),
        ),
        webhook=WebhookOptions(url_env="HOOK"),
        mqtt=MqttOptions(url="mqtt://h"),
    )
    assert required_variables(options) == ("DOOR", "YARD_PW", "HOOK")


def test_a_named_variable_must_be_set_and_a_usual_one_neednt() -> None:
    options = RunOptions(
        source=(
            SourceOptions(address="rtsp://cam/1", username_env="YARD", password_env="YARD_PW"),
        ),
        webhook=WebhookOptions(url="http://localhost"),
        live=LiveOptions(token_env="PAGE"),
    )
    require_variables(options, {"YARD": "me", "YARD_PW": "", "PAGE": "a"})
    with pytest.raises(ConfigError) as refused:
        require_variables(options, {"YARD": "me"})
    assert "aren't set: YARD_PW, PAGE" in refused.value.paragraph()
