"""The stand-in says what it is. What else it shows is in tests/contract."""

from tests.stand_in.raw_client import Client, graph


def test_it_says_that_it_is_simulated(client: Client) -> None:
    """The machine's description, and the page at its address, say what this is."""
    stats = client.get("/system_stats").json()
    assert stats["system"]["simulated"] is True
    assert "SIMULATED (embedded stand-in)" == stats["devices"][0]["name"]
    assert "simulated" in client.get("/").text


def test_pictures_say_that_they_are_simulated(client: Client) -> None:
    """Every picture carries the word in its file."""
    picture = client.run(graph()).picture
    assert picture is not None
    assert "stand-in" in picture.info["simulated"]
