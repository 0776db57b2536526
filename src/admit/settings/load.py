"""From arguments, the environment, `admit.env` and `admit.toml` to `Settings`; each wins over those after it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableValue

from admit.ground.errors import SettingsError
from admit.settings.settings import Settings


class _Loader(BaseSettings, Settings):
    model_config = SettingsConfigDict(
        env_prefix="ADMIT_", env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        file = _config_file()
        secrets = DotEnvSettingsSource(settings_cls, env_file=_secret_file())
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, toml_file=file)


def _config_file() -> Path:
    named = os.environ.get("ADMIT_CONFIG")
    if named is not None and not Path(named).is_file():
        # a mistyped name must not mean: everything as it comes
        raise SettingsError(f"ADMIT_CONFIG names {named}, and there is no such file")
    return Path(named or "admit.toml")


def _secret_file() -> Path:
    """`admit.env` (or ADMIT_ENV_FILE): lines `ADMIT_SECRET=…`, written by `admit init`, for its owner's eyes only."""
    file = Path(os.environ.get("ADMIT_ENV_FILE", "admit.env"))
    if file.is_file() and file.stat().st_mode & 0o077:
        raise SettingsError(f"{file} holds secrets and can be read by others. Close it: chmod 600 {file}")
    return file


def load(**overrides: Any) -> Settings:
    """Reads the settings; raises `SettingsError` whose text names each wrong setting and never shows a value."""
    try:
        loaded = _Loader(**overrides)
    except UnreadableValue as error:
        # names the field and never shows the value
        raise SettingsError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{_config_file()} cannot be read: {error}") from None
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}" for item in error.errors()
        ]
        raise SettingsError("These settings cannot be used:\n  " + "\n  ".join(lines)) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})
