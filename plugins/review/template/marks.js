// The criteria below the pictures, each column with its marks and its note.

function drawMarks() {
  for (const group of document.querySelectorAll('.marks:not([data-criterion=""])')) drawGroup(group);
  for (const score of review.querySelectorAll(".score")) {
    const id = score.dataset.checkpoint;
    const answers = data.criteria.map((criterion) => answerOf(id, criterion.id));
    const counts = ANSWERS.map((answer) => [answers.filter((given) => given === answer).length, answer]);
    const tally = counts.filter(([count]) => count).map(([count, answer]) => `${count} ${answer}`);
    const chosen = ballot.choice === id;
    const closed = shortOf(id).length > 0;
    score.textContent = [tally.join(", ") || "not marked yet", ...(closed ? ["ruled out"] : []), ...(chosen ? [atStrength("chosen", ballot.strength)] : [])].join("; ");
    score.closest("th").classList.toggle("chosen", chosen);
    score.closest("th").classList.toggle("closed", closed);
    review.querySelector(`.expect [data-column="${CSS.escape(id)}"]`).classList.toggle("early", !Object.keys(ballot.marks[id] ?? {}).length && data.criteria.length > 0);
  }
  for (const field of document.querySelectorAll("textarea[data-note]")) {
    const written = ballot.notes[field.dataset.note][field.dataset.id] ?? "";
    if (field.value !== written) field.value = written;
  }
  for (const line of review.querySelectorAll(".cell-note")) {
    const written = ballot.notes.cells[line.dataset.id] ?? "";
    if (line.textContent !== written) line.textContent = written;
  }
}

// In the matrix a group stands for all pictures of its checkpoint; beside a large picture for that one (`data-row`).
function drawGroup(group) {
  const { checkpoint, criterion, row } = group.dataset;
  const counted = checkpoint ? figure(checkpoint, criterion) : { pictures: 0, lookedAt: 0 };
  const here = row ? answerOn(checkpoint, row, criterion) : "";
  const possible = row ? pictureRowsOf(checkpoint, criterion).includes(row) : counted.pictures > 0;
  for (const button of group.querySelectorAll("button")) {
    const all = row ? here === button.value : counted.lookedAt > 0 && counted[button.value] === counted.lookedAt;
    button.setAttribute("aria-pressed", all ? "true" : !row && counted[button.value] ? "mixed" : "false");
    button.disabled = !possible;
  }
  const figureLine = group.nextElementSibling;
  if (figureLine?.matches(".figure")) {
    figureLine.textContent = !counted.pictures ? "no picture" : counted.lookedAt ? inWords(counted) : "";
  }
}

function pictureRowsOf(checkpoint, criterion) {
  return checkpoint === "baseline" || !checkpoint ? [] : pictureRows(checkpoint, criterion);
}

function press(button, all) {
  const { checkpoint, criterion, row } = button.closest(".marks").dataset;
  const answer = button.getAttribute("aria-pressed") === "true" ? "" : button.value;
  if (!row) return mark(checkpoint, [criterion], answer);
  shown.criterion = data.criteria.findIndex(({ id }) => id === criterion);
  return answerHere(answer, all);
}

// All criteria of a checkpoint that are unmarked.
function markRest(checkpoint, answer) {
  const open = data.criteria.filter(({ id }) => !figure(checkpoint, id).lookedAt).map(({ id }) => id);
  mark(checkpoint, open, answer);
}

document.addEventListener("click", ({ target, shiftKey }) => {
  const button = target.closest(".marks button");
  if (!button) return;
  const { checkpoint, criterion } = button.closest(".marks").dataset;
  if (criterion) press(button, shiftKey);
  else markRest(checkpoint, button.value);
});
document.addEventListener("input", ({ target }) => {
  if (target.matches("textarea[data-note]")) note(target.dataset.note, target.dataset.id, target.value);
});
draws.push(drawMarks);
