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
  nearest: () => toggleOther("nearest"),
  close: closeViewer,
  help: () => help.showModal(),
  expect: () => toggleExpectations(),
};

const viewerKeys = {
  ArrowLeft: actions.left, ArrowRight: actions.right, ArrowUp: actions.up, ArrowDown: actions.down,
  "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.reset, m: actions.mirror,
  d: () => compareWith(shown.other ? "" : "column baseline"),
  b: () => compareWith(shown.other === "column baseline" ? "" : "column baseline"),
  r: () => toggleOther("reference"),
  t: actions.nearest,
  ",": () => moveDivider(-2), ".": () => moveDivider(2),
  y: () => answerHere("yes"), n: () => answerHere("no"), u: () => answerHere("unsure"), Backspace: () => answerHere(""),
  e: actions.expect,
};
const panKeys = {
  ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
};
const pageKeys = { e: actions.expect };
const markKeys = { y: "yes", n: "no", u: "unsure", Backspace: "" };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("textarea, select, input:not([type=radio])")) return;
  if (help.open) return;
  const act = event.key === "?" ? actions.help : viewer.open ? viewerKey(event) : pageKey(event);
  if (!act) return;
  event.preventDefault();
  act();
});

function viewerKey({ key, shiftKey }) {
  if (/^[1-9]$/.test(key) && data.criteria[key - 1]) return () => { shown.criterion = key - 1; drawViewer(); };
  return shiftKey && panKeys[key] ? panKeys[key] : viewerKeys[key];
}

function pageKey({ key, target }) {
  const group = target.closest(".marks");
  if (group && key in markKeys) return () => mark(group.dataset.checkpoint, group.dataset.criterion, markKeys[key]);
  if (target.closest(".matrix table") && key.startsWith("Arrow")) return () => walk(target, key);
  return pageKeys[key];
}

// Arrow keys walk over pictures and marks; Tab passes the whole matrix in one step.
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

function letTabPass() {
  const table = review.querySelector(".matrix table");
  for (const element of table.querySelectorAll("button, a")) element.tabIndex = -1;
  let stop = table.querySelector("button.picture");
  stop.tabIndex = 0;
  table.addEventListener("focusin", ({ target }) => {
    if (!target.matches("button")) return;
    stop.tabIndex = -1;
    stop = target;
    stop.tabIndex = 0;
  });
}

function toggleExpectations() {
  const hide = review.classList.toggle("no-expectations");
  viewer.classList.toggle("no-expectations", hide);
  part("expectations").setAttribute("aria-pressed", String(!hide));
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => actions[button.dataset.action]());
}
letTabPass();
