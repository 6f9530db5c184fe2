"""docs/messages.md lists what the code says."""

from tests.docs import messages_page


def test_page_is_up_to_date() -> None:
    """The page is what `python -m tests.docs.messages_page` writes: no message is missing, none has another wording."""
    assert messages_page.page() == messages_page.PAGE.read_text(encoding="utf-8")


def test_every_kind_of_error_is_known() -> None:
    """The errors of every room are found by their classes, so that their messages are on the page."""
    assert {
        "UserError",
        "PlanError",
        "Unreachable",
        "DeploymentError",
        "PublishError",
    } <= messages_page.errors_of_users()
