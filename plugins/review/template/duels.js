// Blind duels between checkpoints that the marks tie: two pictures of one prompt, on random sides.

const duelDialog = document.getElementById("duel");
let weighed = { key: "", found: [] }; // counted once for these duels
let duel = null; // { left, right }: the cells that are shown

// Checkpoints that pass all that is required, at the strength that is looked at.
function tied() {
  const passing = required.length ? data.checkpoints.filter(({ id }) => required.every((criterion) => standing(id, criterion.id) === "passes")) : [];
  const ids = passing.map(({ id }) => id);
  return ids.length > 1 ? allColumns().filter((id) => ids.includes(id)) : []; // in the order that is seen, which may hide
}

function duelsAmong(ids) {
  return ballot.duels.filter((one) => [one.left, one.right].every((id) => ids.includes(data.cells[id].column) && data.cells[id].strength === strength));
}

// The pair of pictures that met least often; which of them, and which side, is left to chance. Where nothing is looked
// for, as without the trigger word, nobody could say what is better.
function nextDuel() {
  const ids = tied();
  const names = data.rows.filter(({ id }) => data.criteria.some((criterion) => rowsOfCriterion.get(criterion.id).includes(id))).map(({ id }) => named(id));
  const met = new Map();
  for (const { left, right } of ballot.duels) met.set([left, right].sort().join(" "), (met.get([left, right].sort().join(" ")) ?? 0) + 1);
  const pairs = names.flatMap((name) => ids.flatMap((one, index) => ids.slice(index + 1).map((other) => [`${one}-${name}`, `${other}-${name}`])))
    .filter((pair) => pair.every((id) => data.cells[id]?.digest));
  if (!pairs.length) return null;
  const least = Math.min(...pairs.map((pair) => met.get([...pair].sort().join(" ")) ?? 0));
  const [pair] = shuffled(pairs.filter((one) => (met.get([...one].sort().join(" ")) ?? 0) === least));
  const [left, right] = shuffled([...pair]);
  return { left, right };
}

function showDuel() {
  duel = nextDuel();
  if (!duel) return closeDuel();
  for (const side of ["left", "right"]) {
    const image = duelDialog.querySelector(`[data-duel="${side}"] img`);
    const cell = data.cells[duel[side]];
    const preview = cellElements.get(duel[side]).querySelector("img")?.src ?? "data:,";
    Object.assign(image, { src: preview });
    const full = Object.assign(new Image(), { src: cell.picture });
    const shownNow = duel;
    full.onload = () => { if (duel === shownNow) image.src = full.src; };
  }
  const count = duelsAmong(tied()).length;
  part("duel-status").textContent = `${count} decided. ${rowName(data.cells[duel.left].row)}`;
  return undefined;
}

function openDuel() {
  if (!duelDialog.open) duelDialog.showModal();
  showDuel();
}

function closeDuel() {
  duel = null;
  duelDialog.close();
  part("start-duels").focus();
}

const duelActions = {
  left: () => decideDuel("left"),
  right: () => decideDuel("right"),
  same: () => decideDuel("same"),
  close: closeDuel,
  undo() {
    if (ballot.duels.length) change(({ duels }) => ({ duels: duels.slice(0, -1) }));
    showDuel();
  },
};
const duelKeys = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "same", Backspace: "undo" };

function decideDuel(won) {
  const decided = { ...duel, won };
  change(({ duels }) => ({ duels: [...duels, decided] }));
  showDuel();
}

// In words, best first: how likely each is the best, and how often it wins against the others.
function preference() {
  const ids = tied();
  const met = duelsAmong(ids);
  if (!met.length) return [];
  const place = (id) => ids.indexOf(data.cells[id].column);
  const key = JSON.stringify([ids, met]);
  if (key !== weighed.key) {
    const found = bests(ids.length, met.map(({ left, right, won }) => ({ one: place(left), other: place(right), share: { left: 1, right: 0, same: 0.5 }[won] })));
    weighed = { key, found: ids.map((id, index) => ({ id, ...found[index] })).sort((one, other) => other.best - one.best) };
  }
  return weighed.found;
}

function inWordsAnd(names) {
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function preferenceInWords(names) {
  const found = preference();
  if (!found.length) return [];
  const count = duelsAmong(tied()).length;
  return [
    `After ${count} ${count === 1 ? "duel" : "duels"}:`,
    ...found.map(({ id, best, wins, low, high }) => `${names(id)}: ${percent(best)} likely to be the best; wins ${percent(wins)} of its duels (${percent(low)} to ${percent(high)})`),
  ];
}

function drawDuels() {
  const ids = tied();
  part("duels").hidden = !ids.length;
  if (!ids.length) return;
  part("duels-why").textContent = `${inWordsAnd(ids.map(columnName))} tie on the marks${atStrength("", strength)}. Compare their pictures two by two, without names.`;
  tell("preference", preferenceInWords(columnName));
}

for (const button of duelDialog.querySelectorAll("[data-duel]")) button.addEventListener("click", () => duelActions[button.dataset.duel]());
part("start-duels").addEventListener("click", openDuel);
duelDialog.addEventListener("cancel", closeDuel);
draws.push(drawDuels);
