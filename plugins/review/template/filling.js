// While pictures are still rendered: each is taken up from the script files that the run leaves beside this page. A page
// that was opened from disk may load those again and again, and nothing else.

const POLL_MS = 400;
let chunk = 0;
let ending = false;

// Called by the loaded file.
globalThis.acceptanceFill = ({ run, finished, full, at, cells }) => {
  if (run !== data.filling) return endFilling("Another run has begun to write this report.");
  if (finished) return endFilling("All that could be rendered is rendered.");
  takeUp(cells, at);
  if (full) chunk++;
};

function poll() {
  if (!data.filling || part("filling").dataset.ended) return;
  const script = document.createElement("script");
  script.src = `live/${ending ? "end" : chunk}.js?${Date.now()}`;
  script.onload = script.onerror = () => {
    script.remove();
    ending = !ending; // the file of the end is looked for in turn
    setTimeout(poll, ending ? 0 : POLL_MS);
  };
  document.head.append(script);
}

function takeUp(cells, at) {
  const changed = Object.entries(cells).filter(([id, cell]) => id in data.cells && JSON.stringify(cell) !== data.cells[id].taken);
  if (!changed.length) return;
  const lost = changed.flatMap(([id, cell]) => replaced(id, cell));
  const others = changed.filter(([id, cell]) => isAnother(id, cell)).map(([id]) => id);
  everywhere((one) => ({ ...one, duels: one.duels.filter(({ left, right }) => !others.includes(left) && !others.includes(right)), starred: others.includes(one.starred) ? null : one.starred }));
  for (const [id, cell] of changed) {
    data.cells[id] = { ...cell, taken: JSON.stringify(cell) };
    showPicture(id, cell.html);
  }
  rowsWithPictures.clear();
  dropped = [...dropped, ...lost];
  if (parked) unpark();
  drawFilling(new Date(at));
  become(ballot);
}

// Whether a picture is not the one that was seen here, or before this run.
function isAnother(id, { digest, pixels }) {
  const { digest: file, pixels: seen } = data.cells[id];
  const was = file ? { file, pixels: seen } : parked?.pictures[id];
  return Boolean(was) && was.file !== digest && was.pixels !== pixels;
}

// The button stays, and with it the focus and the place in the order of Tab.
function showPicture(id, html) {
  const fresh = Object.assign(document.createElement("template"), { innerHTML: html }).content.querySelector("button");
  const button = review.querySelector(`.matrix [data-cell="${CSS.escape(id)}"] .picture`);
  button.className = fresh.className;
  if (fresh.hasAttribute("aria-describedby")) button.setAttribute("aria-describedby", fresh.getAttribute("aria-describedby"));
  else button.removeAttribute("aria-describedby");
  button.replaceChildren(...fresh.childNodes);
  for (const image of document.querySelectorAll("#stage img")) {
    if (image.dataset.cell === id) image.dataset.loaded = "";
  }
}

// A picture that was marked and came anew with other pixels takes its marks with it, and they are listed.
function replaced(id, { column, row, strength: at, pixels }) {
  const old = data.cells[id];
  const name = named(row, at);
  if (!old.digest || old.pixels === pixels || !ballot.marks[column]?.[name]) return [];
  const lost = data.criteria.filter((criterion) => answerOn(column, name, criterion.id))
    .map((criterion) => `${atStrength(columnName(column), at)}, ${rowName(row)}: ${criterion.text}: ${answerOn(column, name, criterion.id)}`);
  everywhere((one) => ({ ...one, marks: planted(one.marks, [column, name], null) }));
  return lost;
}

// What waited for its picture, and is of that picture, is a mark again.
function unpark() {
  const [found, lost, later] = knownMarks({ pictures: parked.pictures }, parked.marks);
  parked = later || parked.choice || ballot.duels.length || ballot.starred ? { ...parked, marks: later } : null;
  dropped = [...dropped, ...lost];
  const leaves = Object.entries(found).flatMap(([column, rows]) => Object.entries(rows).flatMap(([row, marks]) => Object.entries(marks).map(([criterion, mark]) => [[column, row, criterion], mark])));
  everywhere((one) => ({
    ...one,
    marks: leaves.reduce((marks, [[column, row, criterion], mark]) => (marks[column]?.[row]?.[criterion] ? marks : planted(marks, [column, row, criterion], mark)), one.marks),
  }));
}

// Also in what can be undone: taking back a step takes back no mark that came with its picture.
function everywhere(edit) {
  ballot = edit(ballot);
  for (const list of [past, future]) list.splice(0, list.length, ...list.map(edit));
}

function drawFilling(at = null) {
  const cells = Object.values(data.cells);
  const there = cells.filter(({ digest }) => digest).length;
  const when = at ? `, the last at ${at.toLocaleTimeString()}` : "";
  part("so-far").textContent = `${there} of ${cells.length} pictures so far${when}.`;
  review.querySelector(".tally").textContent = `${there} of ${cells.length} pictures rendered`;
}

function endFilling(message) {
  part("filling").dataset.ended = "true";
  part("filling-hint").textContent = part("unkept").hidden ? "Your marks come with you." : "Save your ballot first, and load it there.";
  part("so-far").textContent = message;
  part("finished").hidden = false;
}

if (data.filling) {
  review.classList.add("filling");
  drawFilling();
  poll();
}
