"""Reading the ballots that a test saved."""

from pathlib import Path

from plugins.review.ballot import Ballot, ballot_and_digest


def read_ballot(path: Path) -> Ballot:
    """Return the ballot of a file. Raises `BallotError`."""
    return ballot_and_digest(path)[0]
