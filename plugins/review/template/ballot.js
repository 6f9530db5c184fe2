// What the person decided so far. A mark is of one picture and one criterion. ballot.py reads the same fields.

const data = JSON.parse(document.getElementById("review-data").textContent);
const ANSWERS = ["yes", "no", "unsure"];

const draws = [];
const past = [];
const future = [];
let joined = "";
let ballot = emptyBallot();

// Maps without a prototype: an id such as "constructor" is then an id like any other.
function map(given = {}) {
  return Object.assign(Object.create(null), given);
}

function emptyBallot() {
  return { judge: "", marks: map(), notes: { checkpoints: map(), cells: map() }, choice: null, strength: null, reason: "", duels: [], starred: null, blind: null };
}

// Every change goes through here, so that what is seen and what is kept never differ. `edit` gives the parts that are
// new; none is altered in place, so that each earlier ballot can be returned to. Letters typed into one field `join`.
function change(edit, join = "") {
  const parts = edit(ballot);
  if (!join || join !== joined) past.push(ballot);
  joined = join;
  future.length = 0;
  const { blind } = ballot;
  say();
  become({ ...ballot, ...parts });
  if (blind !== ballot.blind) forget();
}

function become(next) {
  ballot = next;
  draws.forEach((draw) => draw());
  keep();
}

function undo() {
  if (past.length) travel(past, future, "Undone.");
  else say("There is nothing to undo.");
}

function redo() {
  if (future.length) travel(future, past, "Redone.");
  else say("There is nothing to redo.");
}

function travel(from, to, message) {
  to.push(ballot);
  joined = "";
  become(from.pop());
  say(message);
}

// Nothing is undone across a shuffle or a reveal: it would show, or hide again, which column is which.
function forget() {
  past.length = future.length = 0;
  joined = "";
}

function isBlind() {
  return ballot.blind !== null && !ballot.blind.revealed;
}

// A copy of a tree of maps with one leaf replaced; null takes it out, and what is empty then goes with it.
function planted(tree, [key, ...rest], value) {
  const copy = map(tree);
  const inner = rest.length ? planted(tree?.[key], rest, value) : value;
  if (inner === null || (rest.length && !Object.keys(inner).length)) delete copy[key];
  else copy[key] = inner;
  return copy;
}

// An empty answer takes marks back. The same answer again changes nothing, nor whether it was given blind.
function mark(checkpoint, criteria, answer, rows = namesAt()) {
  let { marks } = ballot;
  for (const criterion of criteria) {
    for (const row of pictureRows(checkpoint, criterion).filter((id) => rows.includes(id))) {
      const given = marks[checkpoint]?.[row]?.[criterion]?.answer ?? "";
      if (given !== answer) marks = planted(marks, [checkpoint, row, criterion], answer ? { answer, blind: isBlind() } : null);
    }
  }
  if (marks !== ballot.marks) change(() => ({ marks }));
}

function note(kind, id, text) {
  change(({ notes }) => ({ notes: { ...notes, [kind]: planted(notes[kind], [id], text.trim() ? text : null) } }), `${kind} ${id}`);
}

function savedBallot() {
  const pictures = Object.entries(data.cells).filter(([, cell]) => cell.digest);
  return {
    format: 2,
    plan: data.plan,
    simulated: data.simulated,
    saved: new Date().toISOString(),
    ...ballot,
    strength: asNumber(ballot.strength),
    suggestion: suggestion(),
    preference: preferenceInWords((id) => trueNames.get(id)).join("\n"),
    pictures: Object.fromEntries(pictures.map(([id, { digest, pixels }]) => [id, { file: digest, pixels }])),
  };
}
