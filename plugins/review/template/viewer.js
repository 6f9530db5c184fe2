// One picture, large: what was asked, what made it, and the criteria beside it.

const viewer = document.getElementById("viewer");
const cellElements = new Map([...review.querySelectorAll("td[data-cell]")].map((cell) => [cell.dataset.cell, cell]));
const references = [...review.querySelectorAll(".references img")];
const LISTED_AT_MOST = 2000; // Nobody finds a picture in a longer list, and it takes a second to build.
const shown = { column: "baseline", row: 0, other: "", criterion: 0 };

const cellId = (column = shown.column, row = shown.row) => `${column}-${data.rows[row].id}`;

function openViewer(id) {
  const cell = data.cells[id];
  const row = data.rows.findIndex((candidate) => candidate.id === cell.row);
  listOthers();
  turnTo(cell.column, row);
  viewer.showModal();
  stage.focus();
  drawStage();
}

// Not on the `close` event: that one comes later, and would take the focus away from where it is by then.
function closeViewer() {
  viewer.close();
  cellElements.get(cellId())?.querySelector(".picture").focus();
}

function flip(across, down) {
  const order = columns();
  const column = order[(order.indexOf(shown.column) + across + order.length) % order.length];
  turnTo(column, (shown.row + down + data.rows.length) % data.rows.length);
}

function turnTo(column, row) {
  if (column !== shown.column || row !== shown.row) shown.criterion = null;
  Object.assign(shown, { column, row });
  shown.criterion ??= nextCriterion(-1);
  drawViewer();
}

function drawViewer() {
  const cell = data.cells[cellId()];
  const place = document.getElementById(`row-${cell.row}`);
  part("viewer-column").textContent = columnName(cell.column);
  part("viewer-row").textContent = place.textContent;
  part("viewer-prompt").textContent = place.nextElementSibling.textContent;
  show(part("picture"), cellId(), `${columnName(cell.column)}, ${place.textContent}`);
  part("tag").textContent = columnName(cell.column);
  drawOther();
  const flags = cell.flags.map((flag) => line("li", isBlind() ? flag.title : flag.text, flag.kind));
  part("viewer-flags").replaceChildren(...flags);
  part("viewer-expect").textContent = expectation(cell.column);
  drawNearest(cell.nearest);
  drawSettings(cell);
  drawJudging(cell.column);
  part("cell-note").dataset.id = cellId();
  drawMarks();
}

function expectation(column) {
  return review.querySelector(`.expect td[data-column="${CSS.escape(column)}"]`).textContent;
}

function line(tag, text, kind = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: kind });
}

function drawNearest(nearest) {
  part("viewer-nearest").hidden = !nearest;
  part("nearest-name").textContent = nearest?.name ?? "";
  part("nearest-told").textContent = nearest ? `, ${nearest.told}` : "";
  part("nearest").hidden = !nearest?.src;
  part("nearest").setAttribute("aria-pressed", String(shown.other === "nearest"));
}

function drawSettings(cell) {
  const told = cell.settings.filter(([, , telling]) => !(telling && isBlind()));
  part("settings").replaceChildren(...told.flatMap(([name, value]) => [line("dt", name), line("dd", value)]));
  part("png").hidden = isBlind() || !cell.picture;
  part("png").href = cell.picture || "#";
}

// Criteria are a checkpoint's: the baseline has none to mark.
function drawJudging(column) {
  const judged = column !== "baseline";
  part("judging").hidden = !judged;
  if (!judged) return;
  for (const [index, item] of [...part("viewer-criteria").children].entries()) {
    item.classList.toggle("current", index === shown.criterion);
    item.classList.toggle("elsewhere", !applies(index));
    item.querySelector(".marks").dataset.checkpoint = column;
  }
  part("checkpoint-note").dataset.id = column;
}

function applies(index) {
  const { prompts } = data.criteria[index];
  return !prompts.length || prompts.includes(data.rows[shown.row].prompt);
}

// The next criterion here that is not marked yet; none (-1) where all are, so that one key too many changes nothing.
function nextCriterion(from) {
  const later = data.criteria.map((_, index) => (from + 1 + index) % data.criteria.length);
  const open = later.find((index) => applies(index) && !answerOf(shown.column, data.criteria[index].id));
  return open ?? -1;
}

function answerHere(answer) {
  const criterion = data.criteria[shown.criterion];
  if (shown.column === "baseline" || !criterion) return;
  mark(shown.column, criterion.id, answer);
  if (answer) shown.criterion = nextCriterion(shown.criterion);
  drawViewer();
}

// Show the preview at once, and the full PNG as soon as it is there. A report that was mailed alone has none.
function show(image, id, name) {
  const cell = data.cells[id];
  const preview = cellElements.get(id).querySelector("img");
  image.alt = preview ? name : "";
  image.hidden = !preview;
  image.dataset.cell = id;
  image.src = preview?.src ?? "data:,";
  if (!preview || !cell.picture) return;
  const full = new Image();
  full.onload = () => { if (image.dataset.cell === id) image.src = full.src; };
  full.src = cell.picture;
}

function listOthers() {
  const group = (label, options) => {
    const element = Object.assign(document.createElement("optgroup"), { label });
    element.append(...options.map(([value, name]) => new Option(name, value)));
    return options.length ? [element] : [];
  };
  const listed = cellElements.size <= LISTED_AT_MOST ? columns() : [];
  const cells = listed.flatMap((column) => data.rows.map((row, index) => [`cell ${cellId(column, index)}`, `${columnName(column)}, ${row.id}`]));
  part("other").replaceChildren(
    new Option("nothing", ""),
    ...group("The same prompt", columns().map((column) => [`column ${column}`, columnName(column)])),
    ...group("Training images", references.map((_, index) => [`reference ${index}`, `training image ${index + 1}`])),
    ...group("Nearest to this picture", [["nearest", "nearest training image"]].filter(() => anyNearest())),
    ...group("Any picture", cells),
  );
  part("other").value = shown.other;
}

function anyNearest() {
  return Object.values(data.cells).some((cell) => cell.nearest?.src);
}

function compareWith(other) {
  shown.other = other;
  part("other").value = other;
  drawViewer();
}

function drawOther() {
  const [kind, ...rest] = shown.other.split(" ");
  const id = rest.join(" ");
  const nearest = data.cells[cellId()].nearest;
  const reference = kind === "reference" ? references[id]?.src : kind === "nearest" ? nearest?.src : null;
  const image = part("other-picture");
  let name = "";
  if (kind === "column" || kind === "cell") {
    const otherId = kind === "column" ? cellId(id) : id;
    name = columnName(data.cells[otherId].column);
    show(image, otherId, name);
  } else if (reference) {
    name = kind === "nearest" ? `nearest: ${nearest.name}` : `training image ${Number(id) + 1}`;
    Object.assign(image, { src: reference, alt: name, hidden: false });
    image.dataset.cell = "";
  }
  stage.classList.toggle("divided", name !== "");
  part("other-tag").textContent = name;
  divider.hidden = name === "";
}

// Each key names what to compare with; pressed again, it goes to the next of its kind, then back to nothing.
function toggleOther(kind) {
  const options = [...part("other").options].map((option) => option.value).filter((value) => value.startsWith(kind));
  compareWith(options[options.indexOf(shown.other) + 1] ?? "");
}

review.addEventListener("click", ({ target }) => {
  const button = target.closest(".picture");
  if (button) openViewer(button.closest("td").dataset.cell);
});
viewer.addEventListener("cancel", closeViewer);
part("other").addEventListener("change", ({ target }) => compareWith(target.value));
draws.push(() => { if (viewer.open) drawViewer(); });
