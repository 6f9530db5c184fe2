// What the person decided so far: kept in this browser as they go, saved to and loaded from ballot.json.
// ballot.py reads the same fields.

const data = JSON.parse(document.getElementById("review-data").textContent);
const ANSWERS = ["yes", "no", "unsure"];
const KEPT_AS = `checkpoint-acceptance ${data.plan.name} ${data.plan.digest}`;

const draws = [];
let ballot = emptyBallot();

// Maps without a prototype: an id such as "constructor" is then an id like any other.
function map(given = {}) {
  return Object.assign(Object.create(null), given);
}

function emptyBallot() {
  return { marks: map(), notes: { checkpoints: map(), cells: map() }, choice: null, reason: "", blind: null };
}

// Every change goes through here, so that what is seen and what is kept never differ.
function change(edit) {
  edit(ballot);
  draws.forEach((draw) => draw());
  keep();
}

function isBlind() {
  return ballot.blind !== null && !ballot.blind.revealed;
}

function answerOf(checkpoint, criterion) {
  return ballot.marks[checkpoint]?.[criterion]?.answer ?? "";
}

// An empty answer takes the mark back. The same answer again changes nothing, nor whether it was given blind.
function mark(checkpoint, criterion, answer) {
  if (answer === answerOf(checkpoint, criterion)) return;
  change(({ marks }) => {
    marks[checkpoint] ??= map();
    if (answer) marks[checkpoint][criterion] = { answer, blind: isBlind() };
    else delete marks[checkpoint][criterion];
  });
}

function note(kind, id, text) {
  change(({ notes }) => {
    if (text.trim()) notes[kind][id] = text;
    else delete notes[kind][id];
  });
}

function savedBallot() {
  const pictures = Object.entries(data.cells).filter(([, cell]) => cell.digest);
  return {
    format: 1,
    plan: data.plan,
    simulated: data.simulated,
    saved: new Date().toISOString(),
    ...ballot,
    suggestion: suggestion(),
    pictures: Object.fromEntries(pictures.map(([id, cell]) => [id, cell.digest])),
  };
}

// Take over what is known here. Gives remarks; throws where it is no ballot for this page.
function restore(saved) {
  if (saved?.format !== 1 || typeof saved.marks !== "object") throw new Error("This is not a ballot from a report page.");
  if (saved.plan?.name !== data.plan.name) throw new Error(`This is a ballot for ${saved.plan?.name}, not for ${data.plan.name}.`);
  const remarks = [];
  const stale = staleColumns(saved.pictures ?? {});
  const restored = emptyBallot();
  for (const { id, name } of data.checkpoints) {
    const marks = knownMarks(saved.marks?.[id]);
    if (stale.has(id) && (Object.keys(marks).length || saved.choice === id)) {
      remarks.push(`What was marked for ${name} is dropped: its pictures are no longer those that were judged.`);
    } else {
      if (Object.keys(marks).length) restored.marks[id] = marks;
      if (saved.choice === id) restored.choice = id;
    }
    restored.notes.checkpoints[id] = text(saved.notes?.checkpoints?.[id]);
  }
  for (const id of Object.keys(data.cells)) restored.notes.cells[id] = text(saved.notes?.cells?.[id]);
  for (const notes of Object.values(restored.notes)) {
    for (const id of Object.keys(notes)) if (!notes[id]) delete notes[id];
  }
  restored.reason = text(saved.reason);
  restored.blind = knownBlind(saved.blind);
  change(() => { ballot = restored; });
  return remarks;
}

function staleColumns(pictures) {
  const stale = Object.entries(data.cells).filter(([id, cell]) => (pictures[id] ?? "") !== cell.digest);
  return new Set(stale.map(([, cell]) => cell.column));
}

function knownMarks(marks) {
  const known = map();
  for (const { id } of data.criteria) {
    const { answer, blind } = marks?.[id] ?? {};
    if (ANSWERS.includes(answer)) known[id] = { answer, blind: blind === true };
  }
  return known;
}

function knownBlind(blind) {
  const ids = data.checkpoints.map(({ id }) => id);
  const order = Array.isArray(blind?.order) ? blind.order : [];
  const same = order.length === ids.length && ids.every((id) => order.includes(id));
  return same ? { order, revealed: blind.revealed === true } : null;
}

function text(value) {
  return typeof value === "string" ? value : "";
}

// Some browsers keep nothing for pages opened from disk; then only saving helps, and the page says so.
function keep() {
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(savedBallot()));
    return true;
  } catch {
    return false;
  }
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT_AS));
  } catch {
    return null;
  }
}
