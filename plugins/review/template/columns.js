// The columns' order and names. Judging blind shuffles and renames them, the same way in every row.

const nameElements = new Map([...document.querySelectorAll(".names .name")].map((span) => [span.closest("th").dataset.column, span]));
const trueNames = new Map([...nameElements].map(([id, span]) => [id, span.textContent]));
const blindButton = document.getElementById("blind");

// Ids from left to right, as they are now.
function allColumns() {
  return ["baseline", ...(isBlind() ? ballot.blind.order : data.checkpoints.map(({ id }) => id))];
}

// Those that are not hidden.
function columns() {
  return allColumns().filter((id) => !away.has(id));
}

function columnName(id) {
  if (!isBlind() || id === "baseline") return trueNames.get(id);
  const index = ballot.blind.order.indexOf(id);
  return `checkpoint ${index < 26 ? String.fromCharCode(65 + index) : index + 1}`;
}

function startBlind() {
  if (data.filling) return say("Judging blind begins when all pictures are there: until then, the order in which columns fill would show which checkpoint is which.");
  const { judge } = ballot;
  const anything = JSON.stringify({ ...ballot, judge: "", blind: null }) !== JSON.stringify(emptyBallot());
  const question = "Start judging blind? This clears what you marked, wrote and chose so far, since you could see the names. To keep it, save the ballot first.";
  if (anything && !confirm(question)) return;
  dropped = [];
  return change(() => ({ ...emptyBallot(), judge, blind: { order: shuffled(data.checkpoints.map(({ id }) => id)), revealed: false } }));
}

function shuffled(ids) {
  for (let last = ids.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [ids[last], ids[other]] = [ids[other], ids[last]];
  }
  return ids;
}

// What was looked at, focused or enlarged before has names that blind judging hides.
function forgetPlaces() {
  clearStage();
  if (viewer.open) viewer.close();
  Object.assign(shown, { column: "baseline", row: 0, criterion: 0 });
  if (matrix.contains(document.activeElement)) document.activeElement.blur();
  stopAt(matrix.querySelector(".picture"));
  for (const field of document.querySelectorAll("textarea")) field.removeAttribute("style");
}

function drawColumns() {
  if (isBlind() && !review.classList.contains("blind")) forgetPlaces();
  review.classList.toggle("blind", isBlind());
  document.getElementById("expectations").disabled = isBlind();
  if (isBlind()) showExpectations(false);
  blindButton.textContent = isBlind() ? "Reveal the checkpoints" : "Judge blind";
  for (const [id, span] of nameElements) span.textContent = columnName(id);
  for (const line of review.querySelectorAll("tr.movable")) {
    const cells = new Map([...line.querySelectorAll("[data-column]")].map((cell) => [cell.dataset.column, cell]));
    const wanted = allColumns().filter((id) => cells.has(id));
    if ([...cells.keys()].join() !== wanted.join()) line.append(...wanted.map((id) => cells.get(id)));
  }
}

blindButton.addEventListener("click", () => {
  if (isBlind()) change(({ blind }) => ({ blind: { ...blind, revealed: true } }));
  else startBlind();
});
draws.push(drawColumns);
