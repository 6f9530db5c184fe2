"""What evidence names can be written, whatever bytes a file's name has."""

import os
import sys
from pathlib import Path

import pytest

from plugins.generate.record import _nearest_record
from plugins.pictures.checks import check_no_training_copy
from plugins.pictures.likeness import Nearest


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_training_image_of_any_name_is_kept() -> None:
    """A name that is not UTF-8, as of a NAS, stands in evidence with its bytes escaped."""
    nearest = Nearest(image=Path("/t") / os.fsdecode(b"b\xe9.png"), distance=0.9, usual=0.8)
    record = _nearest_record(nearest, Path("/t"))
    assert record
    assert '"image":"b\\\\udce9.png"' in record.model_dump_json()
    assert "b\\\\udce9.png" in check_no_training_copy(nearest).model_dump_json()
