// The page's frame: our part first, pytest-html's own below it, folded away until wanted.

const review = document.querySelector("#review, #deployment");

function frame() {
  document.documentElement.lang = "en";
  document.documentElement.classList.add("framed");
  const viewport = document.createElement("meta");
  viewport.name = "viewport";
  viewport.content = "width=device-width, initial-scale=1";
  document.head.append(viewport);
  document.body.prepend(review);
}

// pytest-html's script has built its table by the time that the document is parsed.
function foldResults() {
  const results = document.createElement("section");
  results.id = "results";
  results.setAttribute("aria-label", "Test results");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = ["What pytest ran", ...outcomes()].join(", ");
  details.append(summary, ...[...document.body.children].filter((element) => element !== review));
  results.append(details);
  document.body.append(results);
  nameControls(details);
  tidy(details);
}

function outcomes() {
  return [...document.querySelectorAll(".filters span")]
    .map((span) => span.textContent.trim().replace(/,$/, ""))
    .filter((text) => !text.startsWith("0 "));
}

// What pytest-html shows of what is not there: filters of nothing, empty items, a column of links without any.
function tidy(details) {
  for (const box of details.querySelectorAll("input.filter")) {
    const count = box.nextElementSibling;
    if (count?.textContent.trim().startsWith("0 ")) box.hidden = count.hidden = true;
  }
  for (const item of details.querySelectorAll("li")) item.hidden = !item.textContent.trim();
  for (const row of details.querySelectorAll("#environment tr")) row.hidden = !row.lastElementChild.textContent.trim();
  const cells = [...details.querySelectorAll("#results-table .col-links")];
  if (cells.every((cell) => !cell.textContent.trim())) details.querySelector("#results-table")?.classList.add("no-links");
}

// What pytest-html leaves undone for screen readers: check boxes without a name, lists right inside of lists.
function nameControls(details) {
  for (const list of details.querySelectorAll("ul > ul")) {
    const item = document.createElement("li");
    list.replaceWith(item);
    item.append(list);
  }
  for (const box of details.querySelectorAll("input.filter")) {
    box.setAttribute("aria-label", `Show tests that ${box.dataset.testResult}`);
  }
}

frame();
document.addEventListener("DOMContentLoaded", foldResults);
