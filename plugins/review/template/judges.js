// Ballots of other judges, loaded beside one's own. They are looked at, and never become part of it.

const DISPUTES_AT_MOST = 100;
let others = []; // { name, how, marks, foreign }: marks on pictures that are these, and how many are not

async function compareBallots(files) {
  const refusals = [];
  for (const file of files) {
    try {
      others = [...others, otherJudge(JSON.parse(await file.text()), file.name)];
    } catch (error) {
      refusals.push(`${file.name} is not compared: ${error instanceof SyntaxError ? "it is not JSON" : error.message}`);
    }
  }
  say(...refusals);
  drawJudges();
}

function otherJudge(given, file) {
  if (![1, 2].includes(given?.format) || typeof given.marks !== "object") throw new Error("it is not a ballot from a report page.");
  if (given.plan?.name !== data.plan.name) throw new Error(`it is for ${given.plan?.name}, not for ${data.plan.name}.`);
  const [marks, lost] = knownMarks(upgraded(given));
  const blind = Object.values(marks).flatMap((rows) => Object.values(rows)).flatMap((row) => Object.values(row)).every((mark) => mark.blind);
  return { name: text(given.judge).trim() || file, how: blind ? "blind" : "not blind", marks, foreign: lost.length };
}

function drawJudges() {
  const shownAtAll = others.length > 0 && !isBlind();
  part("agreement").hidden = !shownAtAll;
  if (!shownAtAll) return;
  const judges = [{ name: ballot.judge.trim() || "you", marks: ballot.marks }, ...others];
  const foreign = total(others.map((one) => one.foreign));
  part("judges-status").textContent = `Judges: ${judges.map(({ name, how }) => (how ? `${name} (${how})` : name)).join(", ")}.${foreign ? ` ${foreign} marks are of other pictures, and do not count.` : ""}`;
  part("agreements").replaceChildren(...data.criteria.map((criterion) => {
    const units = candidates().flatMap(({ id, at }) => pictureRows(id, criterion.id, at).map((row) => answersOn(judges, id, row, criterion.id)));
    const row = document.createElement("tr");
    row.append(Object.assign(line("th", criterion.text), { scope: "row" }), line("td", agreementInWords(units.map((found) => found.map(([, answer]) => answer)))));
    return row;
  }));
  const found = disputes(judges);
  part("disputes").replaceChildren(...found.slice(0, DISPUTES_AT_MOST).map(dispute));
  if (!found.length) part("disputes").replaceChildren(line("li", "Nothing is in dispute."));
  if (found.length > DISPUTES_AT_MOST) part("disputes").append(line("li", `and ${found.length - DISPUTES_AT_MOST} more`));
}

function answersOn(judges, id, row, criterion) {
  return judges.map(({ name, marks }) => [name, marks[id]?.[row]?.[criterion]?.answer]).filter(([, answer]) => answer);
}

// Where judges differ: a "no" to something required comes first, whatever the others say.
function disputes(judges) {
  const all = candidates().flatMap(({ id, at }) => data.criteria.flatMap((criterion) => pictureRows(id, criterion.id, at).map((row) => ({ id, at, row, criterion, answers: answersOn(judges, id, row, criterion.id) }))));
  const differing = all.filter(({ answers }) => new Set(answers.map(([, answer]) => answer)).size > 1);
  const weighs = ({ criterion, answers }) => criterion.required && answers.some(([, answer]) => answer === "no");
  return [...differing.filter(weighs), ...differing.filter((one) => !weighs(one))];
}

function dispute({ id, at, row, criterion, answers }) {
  const item = document.createElement("li");
  const cell = data.cells[`${id}-${row}`];
  const button = line("button", `${atStrength(columnName(id), at)}, ${rowName(cell.row)}`);
  button.type = "button";
  button.addEventListener("click", () => openViewer(`${id}-${row}`));
  item.append(button, ` ${criterion.text}${criterion.required ? "" : " (not required)"}: ${answers.map(([name, answer]) => `${name} ${answer}`).join(", ")}`);
  return item;
}

part("compare-ballots").addEventListener("click", () => part("ballots").click());
part("ballots").addEventListener("change", ({ target }) => {
  if (target.files.length) compareBallots([...target.files]);
  target.value = "";
});
draws.push(drawJudges);
