"""Published examples of Krippendorff's alpha for nominal data: one line for each judge, `.` where a mark is missing."""

from collections.abc import Iterator

EXAMPLES = {
    # K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A, B and C
    "binary": (("0100000010", "1110010000"), 0.095),
    "five-categories": (("aabbdcccedda", "babbbccceddd"), 0.692),
    "four-judges": (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    # Wikipedia, Krippendorff's alpha
    "many-missing": ((".....34121133.3", "1.213343.......", "..21344.21133.4"), 0.691),
}


def units(table: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each picture's answers, without those that are missing."""
    for answers in zip(*table, strict=True):
        yield tuple(answer for answer in answers if answer != ".")
