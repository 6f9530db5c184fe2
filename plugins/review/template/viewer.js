// One picture, large: the criteria that are looked for on it, what was asked, and what made it.

const viewer = document.getElementById("viewer");
const cellElements = new Map([...review.querySelectorAll(".pictures [data-cell]")].map((cell) => [cell.dataset.cell, cell]));
const references = [...review.querySelectorAll(".references img")];
const shown = { column: "baseline", row: 0, criterion: 0 };

const nameHere = (row = shown.row) => named(data.rows[row].id);
const cellId = (column = shown.column, row = shown.row, at = strength) => `${column}-${named(data.rows[row].id, column === "baseline" ? null : at)}`;
const rowName = (row) => document.getElementById(`row-${row}`).textContent;

function openViewer(id) {
  if (data.filling && isBlind()) return;
  const cell = data.cells[id];
  listOthers();
  if (cell.strength !== null && cell.strength !== strength) lookAt(cell.strength);
  turnTo(cell.column, rowIndex(cell.row));
  if (!viewer.open) viewer.showModal();
  stage.focus();
  drawStage();
}

function rowIndex(row) {
  return data.rows.findIndex((candidate) => candidate.id === row);
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
  tell("viewer-status", []);
  drawViewer();
}

function drawViewer() {
  const cell = data.cells[cellId()];
  const place = document.getElementById(`row-${cell.row}`);
  part("viewer-column").textContent = columnName(cell.column);
  part("viewer-strength").textContent = cell.strength === null ? "" : atStrength("", cell.strength);
  part("viewer-row").textContent = place.textContent;
  part("viewer-prompt").textContent = place.nextElementSibling.textContent;
  showCell(part("picture"), cellId());
  drawCompared();
  const flags = isBlind() ? cell.flags.filter(({ kind }) => kind === "missing") : cell.flags;
  part("viewer-flags").replaceChildren(...flags.map((flag) => line("li", isBlind() ? flag.title : flag.text, flag.kind)));
  part("viewer-expect").textContent = expectation(cell.column);
  drawNearest(isBlind() ? null : cell.nearest);
  drawSettings(cell);
  drawJudging(cell.column);
  part("cell-note").dataset.id = cellId();
  drawStar();
  drawMarks();
}

// What to expect is read after looking: from the first mark on.
function expectation(column) {
  if (column !== "baseline" && data.criteria.length && !ballot.marks[column]) return "";
  return review.querySelector(`.expect td[data-column="${CSS.escape(column)}"]`).textContent;
}

function line(tag, text, kind = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: kind });
}

function drawNearest(nearest) {
  part("viewer-nearest").hidden = !nearest;
  part("nearest-name").textContent = nearest?.name ?? "";
  part("nearest-distance").textContent = nearest ? `, ${nearest.distance}` : "";
  part("nearest").hidden = !nearest?.src;
  part("nearest").setAttribute("aria-pressed", String(compared.other === "nearest"));
}

function drawSettings(cell) {
  const settings = cell.settings.filter(([, , telling]) => !(telling && isBlind()));
  part("settings").replaceChildren(...settings.flatMap(([name, value]) => [line("dt", name), line("dd", value)]));
  part("png").hidden = isBlind() || !cell.picture;
  part("png").href = isBlind() ? "#" : cell.picture || "#";
}

// Criteria are a checkpoint's: the baseline has none to mark.
function drawJudging(column) {
  const judged = column !== "baseline";
  part("judging").hidden = part("checkpoint-noting").hidden = !judged;
  if (!judged) return;
  for (const [index, item] of [...part("viewer-criteria").children].entries()) {
    item.hidden = !applies(index);
    item.classList.toggle("current", index === shown.criterion);
    Object.assign(item.querySelector(".marks").dataset, { checkpoint: column, row: nameHere() });
  }
  const elsewhere = data.criteria.filter((_, index) => !applies(index)).length;
  part("elsewhere").hidden = !elsewhere;
  part("elsewhere").textContent = `${elsewhere} more ${elsewhere === 1 ? "applies" : "apply"} to other prompts.`;
  part("viewer-progress").textContent = `${part("progress").textContent}. `;
  part("viewer-next").hidden = shown.criterion !== -1 || !nextPicture();
  part("checkpoint-note").dataset.id = column;
}

function applies(index) {
  return rowsOfCriterion.get(data.criteria[index].id).includes(data.rows[shown.row].id);
}

function isMissing() {
  return !data.cells[cellId()].digest;
}

// The next criterion here that is not marked yet; none (-1) where all are, so that one key too many changes nothing.
function nextCriterion(from) {
  if (isMissing()) return -1;
  const later = data.criteria.map((_, index) => (from + 1 + index) % data.criteria.length);
  const open = later.find((index) => applies(index) && !answerOn(shown.column, nameHere(), data.criteria[index].id));
  return open ?? -1;
}

// `everywhere`: on all pictures of the checkpoint. A key that marks nothing says why.
function answerHere(answer, everywhere = false) {
  const criterion = data.criteria[shown.criterion];
  if (shown.column === "baseline") return tellHere("The baseline is not marked: it shows what the LoRA must change.");
  if (isMissing()) return tellHere("There is no picture here to mark.");
  if (!criterion) return tellHere(`${whatIsNext()} Type a number to go back to a criterion.`);
  mark(shown.column, [criterion.id], answer, everywhere ? undefined : [nameHere()]);
  if (answer) shown.criterion = nextCriterion(shown.criterion);
  drawViewer();
  return tellHere(shown.criterion === -1 ? whatIsNext() : "");
}

function whatIsNext() {
  const next = nextPicture();
  if (!next) return allIsMarked();
  const { column, strength: at } = data.cells[next];
  return shortOf(column, at).length ? "Everything is marked but what is ruled out. Esc, then decide; j: the rest." : "All is marked here. j: the next unmarked picture.";
}

function allIsMarked() {
  return progress().total ? `Everything is marked${viewer.open ? ". Esc, then decide." : ": decide below."}` : "There is nothing to mark: no picture, or no criterion.";
}

function tellHere(words) {
  tell("viewer-status", words ? [words] : []);
}

function goToCriterion(number) {
  const here = data.criteria.map((_, index) => index).filter(applies);
  if (here[number - 1] === undefined) return tellHere(`There is no criterion ${number} on this prompt.`);
  shown.criterion = here[number - 1];
  return drawViewer();
}

// The next picture with something to mark: in this column, then in those after it, then from the start; then at the
// next strength. What is ruled out comes last.
function nextPicture() {
  return nextAmong((column, at) => !shortOf(column, at).length) ?? nextAmong(() => true);
}

function nextAmong(wanted) {
  const order = turned(columns().slice(1), columns().slice(1).indexOf(shown.column));
  const rows = data.rows.map(({ id }) => id);
  for (const at of several ? turned(data.strengths, data.strengths.indexOf(strength)) : [null]) {
    for (const column of order.filter((one) => wanted(one, at))) {
      const row = (column === shown.column ? turned(rows, shown.row + 1) : rows).find((id) => openOn(column, id, at));
      if (row !== undefined) return `${column}-${named(row, at)}`;
    }
  }
  return null;
}

// A list that begins at one of its places, and goes round.
function turned(list, start) {
  return [...list.slice(Math.max(start, 0)), ...list.slice(0, Math.max(start, 0))];
}

function openOn(column, row, at) {
  const name = named(row, at);
  if (!data.cells[`${column}-${name}`].digest) return false;
  return data.criteria.some(({ id }) => rowsOfCriterion.get(id).includes(row) && !answerOn(column, name, id));
}

function goToNext() {
  const next = nextPicture();
  if (next) openViewer(next);
  else say(allIsMarked());
}

// Show the preview at once, and the full PNG as soon as it is there. A report that was mailed alone has none.
function showCell(image, id) {
  const cell = data.cells[id];
  const preview = cellElements.get(id).querySelector("img");
  image.alt = preview ? `${columnName(cell.column)}, ${rowName(cell.row)}` : "";
  image.hidden = !preview;
  if (image.dataset.cell === id && image.dataset.loaded) return;
  Object.assign(image.dataset, { cell: id, loaded: preview?.src ? "preview" : "" });
  image.src = preview?.src ?? "data:,";
  if (!preview || !cell.picture) return;
  const full = new Image();
  full.onload = () => { if (image.dataset.cell === id) image.src = full.src; };
  full.src = cell.picture;
}

review.addEventListener("click", ({ target }) => {
  const button = target.closest(".picture");
  if (button) openViewer(button.closest("[data-cell]").dataset.cell);
});
viewer.addEventListener("cancel", closeViewer);
draws.push(() => { if (viewer.open) drawViewer(); });
