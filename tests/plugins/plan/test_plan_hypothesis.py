"""Whatever is in a plan file, it is a plan or a `PlanError`."""

import json
import tomllib
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import PlanError, read_plan
from tests.plugins.plan.plan_draft import TEXT

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
RIGHT = tomllib.loads(TEXT)
PLACES = [
    *((key,) for key in RIGHT),
    *((table, key) for table, keys in RIGHT.items() if isinstance(keys, dict) for key in keys),
    *((table, 0, key) for table, rows in RIGHT.items() if isinstance(rows, list) for key in rows[0]),
]
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**70), 2**70), st.floats(), WORDS, st.dates(), st.sampled_from(["", "~x", "nul"])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name.lower() not in {"con", "prn", "aux", "nul", "baseline"}
        and not name.lower().startswith(("com", "lpt", "step"))
    )
)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20).filter(lambda text: text.strip())


def told(path: Path, content: bytes) -> Plan | None:
    """Read a plan file; None where it is refused. Anything but a `PlanError` comes out."""
    path.write_bytes(content)
    try:
        return read_plan(path)
    except PlanError:
        return None


def written(value: Any) -> str:
    """Write a value as TOML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def document(raw: dict[str, Any]) -> bytes:
    """Write a whole TOML document."""
    return "\n".join(f"{json.dumps(key)} = {written(value)}" for key, value in raw.items()).encode()


@QUICK
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_refused_in_words(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No file whatever makes the reader fail in any other way than with a `PlanError`."""
    assert told(tmp_path_factory.getbasetemp() / "bytes.toml", content) is None


@QUICK
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES | st.none()), min_size=1, max_size=3))
def test_any_values_give_a_plan_or_words(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    """Values of any type in any key give a plan that can be used, or a `PlanError`."""
    raw: Any = deepcopy(RIGHT)
    for (*way, key), value in changes:
        table = raw
        with suppress(KeyError, IndexError, TypeError, AttributeError):  # an earlier change left no table there
            for step in way:
                table = table[step]
            table.pop(key, None)
            if value is not None:
                table[key] = value
    plan = told(tmp_path_factory.getbasetemp() / "values.toml", document(raw))

    if plan is not None:
        assert len(matrix(plan)) == (1 + len(plan.checkpoints)) * len(plan.prompts) * len(plan.sampling.seeds)
        assert len(plan.digest) == 64


@QUICK
@given(
    name=NAMES,
    title=TEXTS,
    steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True),
    prompts=st.dictionaries(NAMES.map(str.lower), TEXTS, min_size=1, max_size=3),
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3, unique=True),
    cfg=st.floats(0, 100),
)
def test_plan_says_what_was_written(  # noqa: PLR0913, PLR0917
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    title: str,
    steps: list[int],
    prompts: dict[str, str],
    seeds: list[int],
    cfg: float,
) -> None:
    """What a person wrote is what the plan says: names, texts, steps in order, seeds, numbers."""
    raw = deepcopy(RIGHT) | {
        "name": name,
        "title": title,
        "checkpoint": [{"step": step, "file": f"at {step}.safetensors"} for step in steps],
        "prompt": [{"id": key, "text": text} for key, text in prompts.items()],
        "sampling": RIGHT["sampling"] | {"seeds": seeds, "cfg": cfg},
    }
    plan = told(tmp_path_factory.getbasetemp() / "right.toml", document(raw))

    assert plan is not None
    assert (plan.name, plan.title) == (name, title.strip())
    assert [one.step for one in plan.checkpoints] == sorted(steps)
    assert {one.id: one.text for one in plan.prompts} == {key: text.strip() for key, text in prompts.items()}
    assert (plan.sampling.seeds, plan.sampling.cfg) == (tuple(seeds), cfg)
