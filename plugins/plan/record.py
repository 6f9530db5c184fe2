"""Records: frozen values in JSON files that this suite writes and reads again, with strict validation."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plugins.plan.small_files import read_small

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BrokenRecord(ValueError):
    """A file that exists but is not a valid record; the message says why, in one line."""


class Record(BaseModel):
    """A record: it has no unknown keys, and a text never counts as a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record at `path`, or None where there is no file. Raises `BrokenRecord`."""
        try:
            return cls.model_validate_json(read_small(path))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError, RecursionError) as error:
            raise BrokenRecord(str(error).splitlines()[0]) from error

    def written(self) -> str:
        """Return it as the text of its file."""
        return self.model_dump_json(indent=2) + "\n"
