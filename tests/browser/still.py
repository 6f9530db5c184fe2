"""Acting on a page that has come to rest: scrolled within, the matrix scrolls the window too, one frame later."""

from playwright.sync_api import Page, expect

_AT_REST = """async () => {
  const matrix = document.querySelector(".matrix");
  for (let same = 0, last = ""; same < 3;) {
    await new Promise(requestAnimationFrame);
    const now = [innerWidth, innerHeight, scrollX, scrollY, matrix.scrollLeft, matrix.scrollTop].join();
    same = now === last ? same + 1 : 0;
    last = now;
  }
}"""


def wait_until_still(page: Page) -> None:
    """Wait until three frames were drawn in which nothing was scrolled or resized."""
    page.evaluate(_AT_REST)


def enlarge(page: Page, cell: str) -> None:
    """Open a cell's picture, as a person does: scroll there, then click."""
    picture = page.locator(f'[data-cell="{cell}"] .picture')
    picture.scroll_into_view_if_needed()
    wait_until_still(page)
    picture.click()
    expect(page.locator("#viewer")).to_be_visible()
