"""Passwords in options: refused in files, and replaced by names of environment variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgessd.core.errors import ConfigError
from edgessd.pipeline.options.outputs import (
    LIVE_TOKEN_VARIABLE,
    MQTT_PASSWORD_VARIABLE,
    MQTT_USERNAME_VARIABLE,
    WEBHOOK_SECRET_VARIABLE,
    MqttOptions,
    WebhookOptions,
)
from edgessd.pipeline.options.run import RunOptions
from edgessd.pipeline.options.source import SourceOptions
from edgessd.pipeline.sources.credentials import (
    PASSWORD_VARIABLE,
    USERNAME_VARIABLE,
    masked,
    split_credentials,
)

WEBHOOK_URL_VARIABLE = "EDGESSD_WEBHOOK_URL"
# Variables that may be set and needn't be.
_USUAL = (
    USERNAME_VARIABLE,
    PASSWORD_VARIABLE,
    WEBHOOK_SECRET_VARIABLE,
    MQTT_USERNAME_VARIABLE,
    MQTT_PASSWORD_VARIABLE,
    LIVE_TOKEN_VARIABLE,
)


def require_no_secrets(
    source: Sequence[SourceOptions] = (),
    webhook: WebhookOptions | None = None,
    mqtt: MqttOptions | None = None,
) -> None:
    """Refuse addresses that contain a user name, a password or a token.

    Raises:
        ConfigError: Such an address, shown without the secret.
    """
    for number, each in enumerate(source, 1):
        if _has_secret(each):
            assert each.address is not None
            raise ConfigError(
                f"The address of source {number} contains a secret",
                expected="an address without user name, password and token",
                found=masked(each.address),
                fix="Set the user name and the password in the environment variables "
                f"{each.username_env} and {each.password_env}; the keys username_env and "
                "password_env choose other variables. For any other secret put the whole address "
                "into a variable and name it with address_env.",
            )
    if webhook and webhook.url and masked(webhook.url) != webhook.url:
        raise ConfigError(
            "The address of the webhook contains a secret",
            found=masked(webhook.url),
            fix="Put the address into an environment variable and name it with url_env in [webhook].",
        )
    if mqtt and masked(mqtt.url) != mqtt.url:
        raise ConfigError(
            "The address of the MQTT broker contains a secret",
            found=masked(mqtt.url),
            fix="Set the user name and the password in the environment variables "
            f"{mqtt.username_env} and {mqtt.password_env}.",
        )


def hide_secrets(options: RunOptions) -> tuple[RunOptions, dict[str, str]]:
    """Replace secrets by names of environment variables.

    These are credentials and tokens in addresses, and the address of a webhook, which often is a secret
    itself.

    Returns:
        Options that `require_no_secrets` accepts, and the value of each new variable.

    Raises:
        ConfigError: The address of an MQTT broker contains a secret.
    """
    secrets: dict[str, str] = {}
    sources = tuple(
        _hide(source, f"EDGESSD_SOURCE_{number}", secrets)
        for number, source in enumerate(options.source, 1)
    )
    webhook = options.webhook
    if webhook is not None and webhook.url is not None:
        secrets[WEBHOOK_URL_VARIABLE] = webhook.url
        webhook = msgspec.structs.replace(webhook, url=None, url_env=WEBHOOK_URL_VARIABLE)
    hidden = msgspec.structs.replace(options, source=sources, webhook=webhook)
    require_no_secrets(hidden.source, hidden.webhook, hidden.mqtt)
    return hidden, secrets


def required_variables(options: RunOptions) -> tuple[str, ...]:
    """Return the environment variables that hold addresses, and those of other than the usual names."""
    sources = [
        name
        for each in options.source
        for name in (each.address_env, each.username_env, each.password_env)
    ]
    webhook = [options.webhook.url_env, options.webhook.secret_env] if options.webhook else []
    mqtt = [options.mqtt.username_env, options.mqtt.password_env] if options.mqtt else []
    live = [options.live.token_env] if options.live else []
    named = dict.fromkeys([*sources, *webhook, *mqtt, *live])
    return tuple(name for name in named if name is not None and name not in _USUAL)


def require_variables(options: RunOptions, environment: Mapping[str, str]) -> None:
    """Refuse options that name an environment variable that isn't set.

    Raises:
        ConfigError: There is one. The usual names needn't be set.
    """
    missing = [name for name in required_variables(options) if name not in environment]
    if missing:
        raise ConfigError(
            f"The options name environment variables that aren't set: {', '.join(missing)}",
            fix="Set them, as in "
            + " ".join(["export", *(f"{name}='…'" for name in missing)])
            + ".",
        )


def _has_secret(source: SourceOptions) -> bool:
    address = source.address
    return address is not None and not source.is_file and masked(address) != address


def _hide(source: SourceOptions, variable: str, secrets: dict[str, str]) -> SourceOptions:
    if not _has_secret(source):
        return source
    assert source.address is not None
    parts = split_credentials(source.address)
    if parts is None or masked(parts.url) != parts.url:
        secrets[variable] = source.address
        return msgspec.structs.replace(source, address=None, address_env=variable)
    secrets[f"{variable}_USERNAME"] = parts.username
    secrets[f"{variable}_PASSWORD"] = parts.password
    return msgspec.structs.replace(
        source,
        address=parts.url,
        username_env=f"{variable}_USERNAME",
        password_env=f"{variable}_PASSWORD",
    )
