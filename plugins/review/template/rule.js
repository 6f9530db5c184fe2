// The plan's selection rule, computed from the marks: the earliest checkpoint with every required criterion "yes".

function suggestion() {
  const required = data.criteria.filter((criterion) => criterion.required);
  if (!required.length) return { checkpoint: null, reason: "The plan has no required criterion to go by." };
  const passedOver = [];
  for (const { id, name } of data.checkpoints) {
    const short = required.filter((criterion) => ["no", "unsure"].includes(answerOf(id, criterion.id)));
    const open = required.filter((criterion) => !answerOf(id, criterion.id));
    if (short.length) {
      passedOver.push(`${name} is passed over. ${short.map((criterion) => `${criterion.text}: ${answerOf(id, criterion.id)}`).join("; ")}.`);
    } else if (open.length) {
      const count = open.length === 1 ? "1 required criterion" : `${open.length} required criteria`;
      return { checkpoint: null, reason: [`Not enough marked: ${name} has ${count} open.`, ...passedOver].join("\n") };
    } else {
      const found = `${name} is the earliest checkpoint with every required criterion marked yes.`;
      return { checkpoint: id, reason: [found, ...incomplete(id), ...passedOver].join("\n") };
    }
  }
  return { checkpoint: null, reason: ["No checkpoint has every required criterion marked yes.", ...passedOver].join("\n") };
}

function incomplete(checkpoint) {
  const missing = Object.values(data.cells).filter((cell) => cell.column === checkpoint && !cell.digest).length;
  return missing ? [`But ${missing} of its pictures ${missing === 1 ? "is" : "are"} missing.`] : [];
}
