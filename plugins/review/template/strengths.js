// Where a plan has several strengths, one of them is looked at in all columns; the others stand in a strip below it.

const strengthLists = document.querySelectorAll(".strengths");
const several = data.strengths.length > 0;
let strength = data.strengths[0] ?? null;

// A picture's name in its column; without several strengths it is its row's.
function named(row, at = strength) {
  return at === null ? row : `${row}-strength${at}`;
}

// The names of all pictures of a checkpoint at a strength.
function namesAt(at = strength) {
  return data.rows.map(({ id }) => named(id, at));
}

// What is judged: each column at each strength, in the plan's order.
function judged() {
  const each = several ? data.strengths : [null];
  return data.checkpoints.flatMap((checkpoint) => each.map((at) => ({ ...checkpoint, at })));
}

// What can be chosen: a rival is never deployed.
function candidates() {
  return judged().filter(({ rival }) => !rival);
}

function atStrength(name, at) {
  return at === null || at === undefined ? name : `${name} at strength ${at}`;
}

function asNumber(at) {
  return at === null || at === undefined ? null : Number(at);
}

function asLabel(number) {
  return data.strengths.find((at) => Number(at) === number) ?? null;
}

function lookAt(next) {
  strength = next;
  shown.criterion = nextCriterion(-1);
  draws.forEach((draw) => draw());
}

function flipStrength(by) {
  if (several) lookAt(data.strengths[(data.strengths.indexOf(strength) + by + data.strengths.length) % data.strengths.length]);
}

function drawStrength() {
  if (!several) return;
  for (const list of strengthLists) list.value = String(data.strengths.indexOf(strength));
  review.querySelector(".judged-at").textContent = atStrength("", strength);
  for (const one of review.querySelectorAll("[data-strength]")) one.classList.toggle("looked-at", one.dataset.strength === strength);
}

for (const list of strengthLists) list.addEventListener("change", () => lookAt(data.strengths[list.value]));
draws.push(drawStrength);
