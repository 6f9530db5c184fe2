// The criteria below the pictures, each column with its marks and its note.

function drawMarks() {
  for (const group of document.querySelectorAll(".marks")) {
    const answer = answerOf(group.dataset.checkpoint, group.dataset.criterion);
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.value === answer));
  }
  for (const score of review.querySelectorAll(".score")) {
    const answers = data.criteria.map(({ id }) => answerOf(score.dataset.checkpoint, id));
    const counts = ANSWERS.map((answer) => [answers.filter((given) => given === answer).length, answer]);
    const told = counts.filter(([count]) => count).map(([count, answer]) => `${count} ${answer}`);
    const chosen = ballot.choice === score.dataset.checkpoint;
    score.textContent = [told.join(", ") || "not marked yet", ...(chosen ? ["chosen"] : [])].join("; ");
    score.closest("th").classList.toggle("chosen", chosen);
  }
  for (const field of document.querySelectorAll("textarea[data-note]")) {
    const written = ballot.notes[field.dataset.note][field.dataset.id] ?? "";
    if (field.value !== written) field.value = written;
  }
  for (const line of review.querySelectorAll(".cell-note")) line.textContent = ballot.notes.cells[line.dataset.id] ?? "";
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest(".marks button");
  if (!button) return;
  const { checkpoint, criterion } = button.parentElement.dataset;
  mark(checkpoint, criterion, answerOf(checkpoint, criterion) === button.value ? "" : button.value);
});
document.addEventListener("input", ({ target }) => {
  if (target.matches("textarea[data-note]")) note(target.dataset.note, target.dataset.id, target.value);
});
draws.push(drawMarks);
