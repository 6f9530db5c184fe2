// Is the chosen checkpoint better than a rival, such as production? rivals.py says the same in the summary.

const rivals = data.checkpoints.filter(({ rival }) => rival);

function comparedWith(rival, checkpoint, at) {
  const criteria = required.length ? required : data.criteria;
  const better = [];
  const worse = [];
  let unmarked = 0;
  for (const { id, text } of criteria) {
    const [ours, theirs] = [figure(checkpoint, id, at), figure(rival.id, id, at)];
    if (!ours.lookedAt || !theirs.lookedAt) unmarked++;
    else if (ours.yes * theirs.lookedAt !== theirs.yes * ours.lookedAt) {
      const list = ours.yes * theirs.lookedAt > theirs.yes * ours.lookedAt ? better : worse;
      list.push(`${text} (${ours.yes} of ${ours.lookedAt} against ${theirs.yes} of ${theirs.lookedAt})`);
    }
  }
  const start = `Is ${atStrength(columnName(checkpoint), at)} better than ${columnName(rival.id)}?`;
  if (unmarked || !criteria.length) return `${start} Not answered: ${unmarked} of ${criteria.length} criteria are not marked on both.`;
  if (worse.length) return `${start} Not by the marks: worse in ${worse.join("; ")}.${better.length ? ` Better in ${better.join("; ")}.` : ""}`;
  if (better.length) return `${start} Yes, by the marks: better in ${better.join("; ")}, and worse in none.`;
  return `${start} They are equal by the marks.`;
}

// Of what is chosen, else of what the rule gives.
function drawRivals() {
  if (!rivals.length) return;
  const rule = suggestion();
  const [id, at] = ballot.choice === null ? [rule.checkpoint, asLabel(rule.strength)] : [ballot.choice, ballot.strength];
  const lines = isBlind() || id === null ? [] : rivals.map((rival) => comparedWith(rival, id, at));
  tell("against-rivals", lines);
}

draws.push(drawRivals);
