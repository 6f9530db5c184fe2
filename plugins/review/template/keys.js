// Everything by keyboard. Keys never act while text is typed or a list is open.

const help = document.getElementById("keys");

const actions = {
  left: () => flip(-1, 0),
  right: () => flip(1, 0),
  up: () => flip(0, -1),
  down: () => flip(0, 1),
  in: () => zoom(1.25),
  out: () => zoom(0.8),
  reset: resetZoom,
  mirror,
  pixels: showPixels,
  nearest: () => toggleOther("nearest"),
  divide: () => lookBy("divider"),
  differ: () => lookBy("difference"),
  beside: () => lookBy("beside"),
  next: goToNext,
  open: () => goToOpen(document.activeElement.closest(".marks")),
  close: closeViewer,
  star,
  help: () => help.showModal(),
  expect: () => toggleExpectations(),
  stronger: () => flipStrength(1),
  weaker: () => flipStrength(-1),
  undo,
  redo,
};

const viewerKeys = {
  ArrowLeft: actions.left, ArrowRight: actions.right, ArrowUp: actions.up, ArrowDown: actions.down,
  "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.reset, m: actions.mirror,
  d: () => (compared.other && compared.look === "divider" ? compareWith("") : lookBy("divider")),
  b: () => compareWith(compared.other === "column baseline" ? "" : "column baseline"),
  x: actions.differ, s: actions.beside, z: actions.pixels, j: actions.next, p: star,
  r: () => toggleOther("reference"),
  t: actions.nearest,
  ",": () => moveDivider(-2), ".": () => moveDivider(2),
  y: () => answerHere("yes"), n: () => answerHere("no"), u: () => answerHere("unsure"), Backspace: () => answerHere(""),
  Y: () => answerHere("yes", true), N: () => answerHere("no", true), U: () => answerHere("unsure", true),
  e: actions.expect, l: actions.stronger, L: actions.weaker,
};
const panKeys = {
  ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
};
const pageKeys = { l: actions.stronger, L: actions.weaker, e: actions.expect, j: actions.open, c: () => takeChoice(), s: () => save() };
const markKeys = { y: "yes", n: "no", u: "unsure", Backspace: "" };

document.addEventListener("keydown", (event) => {
  if (event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])")) return;
  if (help.open) return;
  if (event.ctrlKey || event.metaKey) {
    const act = { z: event.shiftKey ? redo : undo, y: redo }[event.key.toLowerCase()];
    if (act && !event.altKey) {
      event.preventDefault();
      act();
    }
    return;
  }
  if (event.altKey) return;
  if (duelDialog.open) {
    if (!duelKeys[event.key]) return;
    event.preventDefault();
    duelActions[duelKeys[event.key]]();
    return;
  }
  const act = event.key === "?" ? actions.help : viewer.open ? viewerKey(event) : pageKey(event);
  if (!act) return;
  event.preventDefault();
  act();
});

function viewerKey({ key, shiftKey }) {
  if (/^[1-9]$/.test(key)) return () => goToCriterion(Number(key));
  return shiftKey && panKeys[key] ? panKeys[key] : viewerKeys[key];
}

function pageKey({ key, target }) {
  const group = target.closest(".marks");
  if (group && (key in markKeys || key.toLowerCase() in markKeys)) return () => answerGroup(group, key);
  if (target.closest(".matrix table") && key.startsWith("Arrow")) return () => walk(target, key);
  return pageKeys[key];
}

// A letter marks and goes on to the next open criterion; with Shift it marks all that is open in the column.
function answerGroup(group, key) {
  const { checkpoint, criterion } = group.dataset;
  const answer = markKeys[key] ?? markKeys[key.toLowerCase()];
  if (key in markKeys && criterion) mark(checkpoint, [criterion], answer);
  else markRest(checkpoint, answer);
  if (answer) goToOpen(group);
}

// The next criterion in the table without a mark: down this column, then the columns after it, then from the start.
function goToOpen(from = null) {
  const groups = columns().slice(1).flatMap((column) => [...review.querySelectorAll(`.judge .marks[data-checkpoint="${CSS.escape(column)}"]:not([data-criterion=""])`)]);
  const start = groups.indexOf(from) + 1;
  const open = [...groups.slice(start), ...groups.slice(0, start)].find(({ dataset, firstElementChild }) => !firstElementChild.disabled && !answerOf(dataset.checkpoint, dataset.criterion));
  if (open) open.firstElementChild.focus();
  else say(allIsMarked());
}

// Arrow keys move over pictures and marks; Tab passes the whole matrix in one step.
function walk(from, key) {
  const line = from.closest("tr");
  if (key === "ArrowLeft" || key === "ArrowRight") {
    const buttons = [...line.querySelectorAll("button")];
    buttons[buttons.indexOf(from) + (key === "ArrowRight" ? 1 : -1)]?.focus();
    return;
  }
  const lines = [...review.querySelectorAll("tr.movable")].filter((candidate) => candidate.querySelector("button"));
  const next = lines[lines.indexOf(line) + (key === "ArrowDown" ? 1 : -1)];
  const column = from.closest("td").dataset.column;
  const buttons = next?.querySelectorAll(`td[data-column="${CSS.escape(column)}"] button`) ?? [];
  const answer = [...buttons].find((button) => from.value && button.value === from.value);
  (answer ?? buttons[0])?.focus();
}

let stop = matrix.querySelector(".picture");

function letTabPass() {
  for (const element of matrix.querySelectorAll("table :is(button, a)")) element.tabIndex = -1;
  stopAt(stop);
  matrix.addEventListener("focusin", ({ target }) => { if (target.matches("button")) stopAt(target); });
}

function stopAt(button) {
  stop.tabIndex = -1;
  stop = button;
  stop.tabIndex = 0;
}

function toggleExpectations() {
  if (isBlind()) return say("Not while you judge blind: they would show which checkpoint is which.");
  return showExpectations(!review.classList.contains("expecting"));
}

function showExpectations(on) {
  review.classList.toggle("expecting", on);
  part("expectations").setAttribute("aria-pressed", String(on));
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => actions[button.dataset.action]());
}
letTabPass();
