"""docs/plan.md says what the plan's models say."""

from tests.docs import plan_page


def test_page_is_up_to_date() -> None:
    """The page is what `python -m tests.docs.plan_page` writes: no key is missing, no default has drifted."""
    assert plan_page.page() == plan_page.PAGE.read_text(encoding="utf-8")


def test_every_key_has_a_meaning() -> None:
    """Each field of each table has a docstring below it, which is the key's line on the page."""
    schema = plan_page.schema_with_meanings()
    tables = {"": schema, **schema["$defs"]}
    silent = [
        f"{table}.{key}"
        for table, kind in tables.items()
        for key, field in kind["properties"].items()
        if "description" not in field and "$ref" not in field.get("items", field)
    ]
    assert [] == silent
