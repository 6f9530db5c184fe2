// One picture of a checkpoint is starred: it stands for the LoRA where that is published.

function star() {
  if (isBlind()) return tellHere("Not while you judge blind: a star would show which checkpoint is which.");
  if (!isCandidates() || isMissing()) return tellHere("A preview picture is a picture of a checkpoint.");
  const id = cellId();
  change(({ starred }) => ({ starred: starred === id ? null : id }));
  return tellHere(ballot.starred ? "This is the preview picture." : "No picture is the preview picture.");
}

function isCandidates(id = cellId()) {
  return data.checkpoints.some((one) => one.id === data.cells[id]?.column && !one.rival);
}

// A star holds for the picture that was seen.
function knownStar({ starred, pictures }) {
  const holds = isCandidates(starred) && pictures[starred] && (isSame(starred, pictures[starred]) || canCome(starred));
  return holds ? starred : null;
}

function drawStar() {
  const starred = isBlind() ? null : ballot.starred;
  for (const [id, cell] of cellElements) cell.classList.toggle("starred", id === starred);
  part("star").hidden = isBlind() || !isCandidates() || isMissing();
  part("star").setAttribute("aria-pressed", String(starred === cellId()));
}

draws.push(drawStar);
