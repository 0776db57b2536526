"""From the environment and `admit.toml` to `Settings`; arguments win over the environment, it wins over the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

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
        file = Path(os.environ.get("ADMIT_CONFIG", "admit.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def load(**overrides: Any) -> Settings:
    """Reads the settings; raises `SettingsError` whose text names each wrong setting and never shows a value."""
    try:
        loaded = _Loader(**overrides)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}" for item in error.errors()
        ]
        raise SettingsError("These settings cannot be used:\n  " + "\n  ".join(lines)) from None
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})
