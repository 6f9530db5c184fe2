// The ballot outlives the page: kept in this browser as it grows, and read from a file of any format.

const KEPT = `checkpoint-acceptance ${data.plan.name} `;
const KEPT_AS = KEPT + data.key; // the same pixels, the same marks, wherever the report lies
const KEPT_FIRST = KEPT + data.plan.digest; // as the first format was kept, for all reports of a plan alike

let dropped = [];
let parked = null; // marks on pictures that this run has not rendered yet, and the choice that they belong to
let adopting = false; // what is shown comes from the storage, and is not written back
let takenUp = ""; // when the ballot that was taken up last was kept, by an earlier visit or another window
let last = ""; // when the newest ballot that is known here was kept
const windows = openWindows();

// Some browsers keep nothing for pages opened from disk, and a storage may be full: then only saving helps.
function keep(time = later()) {
  if (adopting) return true;
  last = time;
  const ours = savedBallot();
  const pictures = Object.entries(ours.pictures).filter(([id]) => isSpokenOf(id, data.cells[id]));
  const text = JSON.stringify({ ...ours, saved: time, pictures: Object.fromEntries(pictures), dropped, parked, at: location.pathname });
  keepCopy(text);
  try {
    localStorage.setItem(KEPT_AS, text);
    part("unkept").hidden = true;
    return true;
  } catch {
    part("unkept").hidden = false;
    return false;
  }
}

// The time, and always later than any ballot's before: a clock may be set back.
function later() {
  return new Date(Math.max(Date.now(), (Date.parse(last) || 0) + 1)).toISOString();
}

// Shows at opening whether this browser keeps anything.
function tryKeeping() {
  try {
    localStorage.setItem(`${KEPT}try`, "");
    localStorage.removeItem(`${KEPT}try`);
  } catch {
    part("unkept").hidden = false;
  }
}

// The storage is small, and a matrix may be large: only pictures that something was said of are kept.
function isSpokenOf(id, { column, row, strength: at }) {
  return column === ballot.choice || id === ballot.starred || ballot.duels.some(({ left, right }) => id === left || id === right) || ballot.marks[column]?.[named(row, at)] !== undefined;
}

// All that this plan's reports kept, by key.
function stored() {
  try {
    return map(Object.fromEntries(Object.keys(localStorage).filter((key) => key.startsWith(KEPT)).map((key) => [key, parsed(localStorage.getItem(key))])));
  } catch {
    return map();
  }
}

// What was kept of these pictures; else the last of this very report, whose pictures have changed since.
function kept(ballots) {
  try {
    const own = ballots[KEPT_AS];
    if (own) return newest([own, ...keptHere(ballots, `${KEPT}live `).map((key) => ballots[key])]);
    const first = [ballots[KEPT_FIRST]].filter((saved) => saved?.format === 1 && judgedHere(upgraded(saved).pictures));
    return newest([...keptHere(ballots, KEPT).map((key) => ballots[key]), ...first]);
  } catch {
    return null;
  }
}

// Keys of what was kept of a report at this very place; `start` is "live" for those that were still being rendered.
function keptHere(ballots, start) {
  return Object.keys(ballots).filter((key) => key.startsWith(start) && ballots[key]?.at === location.pathname);
}

function newest(ballots) {
  return ballots.sort((one, other) => (one.saved < other.saved ? 1 : -1))[0] ?? null;
}

// What was kept while this report was rendered is part of what it keeps now. `ballots` are kept here or are copies.
function forgetLive(ballots) {
  const live = data.filling ? [] : keptHere(ballots, `${KEPT}live `);
  if (!live.length || !keep(last)) return;
  for (const key of live) {
    localStorage.removeItem(key);
    forgetCopy(key);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function judgedHere(pictures) {
  return Object.keys(data.cells).some((id) => isSame(id, pictures[id]));
}

// The same file, or the same pixels in another file.
function isSame(id, judged) {
  const { digest, pixels } = data.cells[id];
  return Boolean(judged) && digest !== "" && (judged.file === digest || judged.pixels === pixels);
}

// In the first format a mark was a checkpoint's: it is laid on all its pictures.
function upgraded(saved) {
  if (saved.format !== 1) return saved;
  const marks = map();
  for (const { id } of data.checkpoints) {
    for (const criterion of data.criteria.filter((one) => saved.marks[id]?.[one.id])) {
      for (const row of rowsOfCriterion.get(criterion.id)) {
        marks[id] = planted(marks[id], [row, criterion.id], saved.marks[id][criterion.id]);
      }
    }
  }
  const files = Object.entries(saved.pictures ?? {}).map(([id, file]) => [id, { file }]);
  return { ...saved, marks, pictures: map(Object.fromEntries(files)) };
}

// Take over what is known here. Gives remarks; throws where it is no ballot for this page.
function restore(given) {
  if (![1, 2].includes(given?.format) || typeof given.marks !== "object") throw new Error("This is not a ballot from a report page.");
  if (given.plan?.name !== data.plan.name) throw new Error(`This is a ballot for ${given.plan?.name}, not for ${data.plan.name}.`);
  const saved = upgraded(given);
  const waiting = saved.parked ?? {};
  saved.pictures = { ...waiting.pictures, ...saved.pictures };
  const [marks, lost, later] = knownMarks(saved, waiting.marks);
  const [choice, wanted] = saved.choice ? [saved.choice, saved.strength] : [waiting.choice, waiting.strength];
  const chosen = data.checkpoints.find(({ id, rival }) => id === choice && !rival);
  const at = asLabel(wanted);
  const unknown = several && wanted != null && at === null;
  const names = chosen ? namesAt(at ?? strength).map((name) => `${chosen.id}-${name}`) : [];
  const early = names.some(canCome);
  const changed = chosen && !early && (unknown || names.some((name) => isStale(name, saved.pictures)));
  const waits = Boolean(data.filling) && (knownDuels(saved).length > 0 || knownStar(saved) !== null);
  parked = later || early || waits ? { marks: later, pictures: saved.pictures, choice: early ? chosen.id : null, strength: wanted } : null;
  const remarks = lost.length ? [`${lost.length} ${lost.length === 1 ? "mark is" : "marks are"} dropped, since the pictures changed: listed on top.`] : [];
  const starred = knownStar(saved);
  if (saved.starred && !starred) remarks.push("The star of the preview picture is dropped: its picture is not the one that was starred.");
  dropped = [...(Array.isArray(saved.dropped) ? saved.dropped.map(text).filter(Boolean) : []), ...lost];
  change(() => ({
    judge: text(saved.judge),
    marks,
    notes: { checkpoints: knownNotes(saved.notes?.checkpoints, data.checkpoints.map(({ id }) => id)), cells: knownNotes(saved.notes?.cells, Object.keys(data.cells)) },
    choice: chosen && !changed && !early ? chosen.id : null,
    strength: changed || early ? null : at,
    reason: text(saved.reason),
    duels: knownDuels(saved),
    starred,
    blind: knownBlind(saved.blind),
  }));
  if (changed) remarks.push(`The choice of ${columnName(chosen.id)} is dropped: its pictures are no longer those that were judged.`);
  return remarks;
}

function isStale(id, pictures) {
  return pictures[id] ? !isSame(id, pictures[id]) : data.cells[id].digest !== "";
}

// While a run fills the page: a picture that is not here may still come, and be the one that was judged.
function canCome(id) {
  return Boolean(data.filling) && !data.cells[id].digest;
}

// What holds, what is dropped in words, and what waits for its picture.
function knownMarks(saved, waiting) {
  let marks = map();
  let later = null;
  const lost = [];
  for (const { id, name, at } of judged()) {
    for (const { id: inRow } of data.rows) {
      const row = named(inRow, at);
      for (const criterion of data.criteria) {
        const { answer, blind } = saved.marks?.[id]?.[row]?.[criterion.id] ?? waiting?.[id]?.[row]?.[criterion.id] ?? {};
        if (!ANSWERS.includes(answer)) continue;
        if (isSame(`${id}-${row}`, saved.pictures?.[`${id}-${row}`])) {
          marks = planted(marks, [id, row, criterion.id], { answer, blind: blind === true });
        } else if (canCome(`${id}-${row}`)) {
          later = planted(later, [id, row, criterion.id], { answer, blind: blind === true });
        } else {
          lost.push(`${atStrength(name, at)}, ${rowName(inRow)}: ${criterion.text}: ${answer}`);
        }
      }
    }
  }
  return [marks, lost, later];
}

// A duel holds for the two pictures that were seen.
function knownDuels({ duels, pictures }) {
  const holds = (id) => id in data.cells && (isSame(id, pictures[id]) || (canCome(id) && pictures[id]));
  return (Array.isArray(duels) ? duels : []).filter(({ left, right, won }) => holds(left) && holds(right) && ["left", "right", "same"].includes(won));
}

function knownNotes(notes, ids) {
  return map(Object.fromEntries(ids.map((id) => [id, text(notes?.[id])]).filter(([, written]) => written)));
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

function drawDropped() {
  part("dropped").hidden = !dropped.length || isBlind();
  part("dropped-marks").replaceChildren(...dropped.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

// Show what was kept elsewhere, without writing it back. Gives remarks; throws where it is no ballot for this page.
function adopt(saved) {
  adopting = true;
  try {
    const remarks = restore(saved);
    takenUp = last = saved.saved;
    return remarks;
  } finally {
    adopting = false;
  }
}

// The other windows on this report hear of each other, also where one of them is cut off from localStorage.
function openWindows() {
  try {
    const channel = new BroadcastChannel(KEPT_AS);
    channel.onmessage = (event) => meet(event.data);
    return channel;
  } catch {
    return null; // an old browser, or one that allows nothing
  }
}
addEventListener("storage", ({ key, newValue }) => {
  if (key === KEPT_AS && newValue) meet(newValue);
});

function tellWindows(text) {
  try {
    windows?.postMessage(text);
  } catch {
    // They see it when they are opened anew.
  }
}

// What is marked in another window is shown here, so that neither overwrites the other. It may come by both ways.
function meet(text) {
  const saved = parsed(text);
  if (!(saved?.saved > takenUp)) return;
  try {
    adopt(saved);
    say("Taken over from another window on this report.");
  } catch {
    say("Another window on this report changed the ballot: close one of the two.");
  }
}
addEventListener("beforeunload", (event) => {
  if (!part("unkept").hidden && past.length) event.preventDefault();
});
draws.push(drawDropped);
