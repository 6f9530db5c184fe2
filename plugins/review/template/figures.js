// How often a criterion was seen on a checkpoint's pictures: k of n, and what that proves. figures.py counts the same.

const Z = 1.959964; // of a 95 % interval
const rowsOfCriterion = new Map(data.criteria.map(({ id, prompts }) => [
  id, data.rows.filter(({ prompt }) => prompts.includes(prompt)).map((row) => row.id),
]));
const rowsWithPictures = new Map();

// Pictures of a checkpoint on which a criterion is looked for, by their names in its column.
function pictureRows(checkpoint, criterion, at = strength) {
  const key = `${checkpoint} ${criterion} ${at}`;
  if (!rowsWithPictures.has(key)) {
    rowsWithPictures.set(key, rowsOfCriterion.get(criterion).map((row) => named(row, at)).filter((row) => data.cells[`${checkpoint}-${row}`].digest));
  }
  return rowsWithPictures.get(key);
}

function answerOn(checkpoint, row, criterion) {
  return ballot.marks[checkpoint]?.[row]?.[criterion]?.answer ?? "";
}

function figure(checkpoint, criterion, at = strength) {
  const counts = { yes: 0, no: 0, unsure: 0 };
  const rows = pictureRows(checkpoint, criterion, at);
  for (const row of rows) {
    const answer = answerOn(checkpoint, row, criterion);
    if (answer) counts[answer]++;
  }
  return { ...counts, pictures: rows.length, lookedAt: counts.yes + counts.no + counts.unsure };
}

// The worst mark: one "no" is not outvoted.
function worst({ yes, no, unsure }) {
  return no ? "no" : unsure ? "unsure" : yes ? "yes" : "";
}

function answerOf(checkpoint, criterion, at = strength) {
  return worst(figure(checkpoint, criterion, at));
}

// Wilson's 95 % interval of the share that k of n estimate.
function wilson(k, n) {
  const share = k / n;
  const centre = share + Z ** 2 / (2 * n);
  const spread = Z * Math.sqrt((share * (1 - share)) / n + Z ** 2 / (4 * n ** 2));
  const scale = 1 + Z ** 2 / n;
  return [Math.max(0, (centre - spread) / scale), Math.min(1, (centre + spread) / scale)];
}

function proves({ yes, lookedAt }) {
  const [low, high] = wilson(yes, lookedAt).map((share) => Math.round(100 * share));
  if (yes === lookedAt) return `at least ${low} %`;
  return yes ? `${low} to ${high} %` : `at most ${high} %`;
}

function inWords(counted) {
  return `${counted.yes} of ${counted.lookedAt}: ${proves(counted)}`;
}

// How far judging is: criteria of checkpoints that have a mark, of those that can have one.
function progress() {
  const all = judged().flatMap(({ id, at }) => data.criteria.map((criterion) => figure(id, criterion.id, at)));
  const possible = all.filter(({ pictures }) => pictures);
  return { done: possible.filter(({ lookedAt }) => lookedAt).length, total: possible.length };
}
