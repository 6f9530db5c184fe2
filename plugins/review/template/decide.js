// The rule's verdict, the person's choice, the ballot file, and the command to type next.

const REASONS_AT_MOST = 8;
const part = (id) => document.getElementById(id);

function drawDecision() {
  const { done, total } = progress();
  part("progress").textContent = total ? `${done} of ${total} marked` : "Nothing to mark";
  const verdict = suggestion();
  const { choice, reason, judge } = ballot;
  tell("verdict", (isBlind() ? [blindProgress()] : limited(verdict.reason.split("\n"))));
  const follows = choice === verdict.checkpoint && asNumber(ballot.strength) === verdict.strength;
  part("take").hidden = isBlind() || !verdict.checkpoint || follows;
  if (verdict.checkpoint) part("take").textContent = `Choose ${atStrength(columnName(verdict.checkpoint), asLabel(verdict.strength))}`;
  drawChoices();
  drawBleed();
  if (part("reason").value !== reason) part("reason").value = reason;
  if (part("judge-name").value !== judge) part("judge-name").value = judge;
  const against = choice !== null && !isBlind() && !follows;
  part("against").hidden = !against || reason.trim() !== "";
  part("command").textContent = data.command.replace("=STEP", isBlind() || !choice ? "=STEP" : `=${argument(choice)}`);
  part("command-hint").textContent = commandHint();
}

// Of what is chosen, else of what the rule gives: does it change pictures that do not ask for it?
function drawBleed() {
  if (!part("bleed")) return;
  const rule = suggestion();
  const [id, at] = ballot.choice === null ? [rule.checkpoint, asLabel(rule.strength)] : [ballot.choice, ballot.strength];
  const sentence = id === null || isBlind() ? "" : data.bleed[named(id, at)];
  tell("bleed", sentence ? [`${atStrength(columnName(id), at)}: ${sentence}`] : []);
}

// The ballot keeps all of it; on the page 30 lines of what is ruled out would hide what is not.
function limited(lines) {
  const more = lines.length - REASONS_AT_MOST;
  return more > 1 ? [...lines.slice(0, REASONS_AT_MOST), `${more} more are ruled out: the summary names them.`] : lines;
}

function drawChoices() {
  const labels = new Map([...part("choices").children].map((label) => [label.dataset.column, label]));
  const wanted = allColumns().slice(1).map((id) => labels.get(id)).filter(Boolean);
  if (wanted.some((label, index) => label !== part("choices").children[index])) part("choices").append(...wanted);
  for (const [id, label] of labels) {
    label.firstElementChild.checked = ballot.choice === id;
    label.lastElementChild.textContent = columnName(id);
  }
  for (const radio of document.querySelectorAll("#choice-strengths input")) radio.checked = data.strengths[radio.value] === ballot.strength;
}

// A checkpoint is chosen at the strength that is looked at, until another one is chosen.
function choose(choice, at = ballot.strength ?? strength) {
  change(() => ({ choice, strength: at }));
}

function blindProgress() {
  const { done, total } = progress();
  return `Judging blind: ${done} of ${total} marked. The rule's verdict appears once the checkpoints are revealed: it depends on their order.`;
}

function commandHint() {
  if (isBlind()) return "Reveal the checkpoints to see the command for the one that you choose.";
  const first = several ? "Save the ballot beside this report: it holds the strength. Then type" : "Then type";
  return ballot.choice ? `${first}:` : `${first}, with the chosen checkpoint for STEP:`;
}

function argument(id) {
  return data.checkpoints.find((checkpoint) => checkpoint.id === id).argument;
}

// In the bar, which is always in view, until something is changed; beside a large picture where one is open.
function say(...lines) {
  tell("status", lines);
  if (viewer.open) tell("viewer-status", lines);
}

// One line each; written again only where it changed, since screen readers read it out.
function tell(id, lines) {
  if (part(id).dataset.lines === lines.join("\n")) return;
  part(id).dataset.lines = lines.join("\n");
  part(id).replaceChildren(...lines.map((line) => Object.assign(document.createElement("span"), { textContent: line })));
}

function takeChoice() {
  const { checkpoint, strength: at } = suggestion();
  if (isBlind()) say("Reveal the checkpoints first: the rule depends on their order.");
  else if (checkpoint) choose(checkpoint, asLabel(at));
  else say("The rule has no checkpoint to choose yet.");
}

function save() {
  const file = new Blob([JSON.stringify(savedBallot(), null, 2) + "\n"], { type: "application/json" });
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: "ballot.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  const empty = Object.keys(ballot.marks).length ? [] : ["It has no marks, and the summary will say so."];
  say("Saved as ballot.json. Put it beside this report, or name it with --ballot when you deploy.", ...empty);
}

async function load(file) {
  try {
    say("Loaded.", ...restore(JSON.parse(await file.text())));
  } catch (error) {
    say(error instanceof SyntaxError ? "This file is not a ballot: it is not JSON." : error.message);
  }
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(part("command").textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(part("command"));
    say("This browser does not let a page copy. The command is selected: copy it yourself.");
  }
}

part("take").addEventListener("click", () => takeChoice());
part("choices").addEventListener("change", ({ target }) => choose(target.value));
part("choice-strengths")?.addEventListener("change", ({ target }) => choose(ballot.choice, data.strengths[target.value]));
part("reason").addEventListener("input", ({ target }) => change(() => ({ reason: target.value }), "reason"));
part("judge-name").addEventListener("input", ({ target }) => change(() => ({ judge: target.value }), "judge"));
part("dismiss").addEventListener("click", () => {
  dropped = [];
  become(ballot);
});
part("save").addEventListener("click", save);
part("load").addEventListener("click", () => part("file").click());
part("file").addEventListener("change", ({ target }) => {
  if (target.files.length) load(target.files[0]);
  target.value = "";
});
part("clear").addEventListener("click", () => {
  if (confirm("Clear all marks, notes and the choice?")) change(() => ({ ...emptyBallot(), blind: ballot.blind }));
});
part("copy").addEventListener("click", copyCommand);
draws.push(drawDecision);
