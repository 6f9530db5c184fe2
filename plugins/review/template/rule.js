// The plan's selection rule, computed from the marks: the earliest checkpoint that passes every required criterion.

const required = data.criteria.filter((criterion) => criterion.required);

// "passes", "short" (it cannot pass any more), or "open".
function standing(checkpoint, criterion) {
  const counted = figure(checkpoint, criterion);
  if (!counted.lookedAt) return "open";
  if (data.rate === null) return worst(counted) === "yes" ? "passes" : "short";
  if (wilson(counted.yes, counted.lookedAt)[0] >= data.rate) return "passes";
  return counted.lookedAt === counted.pictures ? "short" : "open";
}

function shortOf(checkpoint) {
  return required.filter((criterion) => standing(checkpoint, criterion.id) === "short");
}

function toldAnswer(checkpoint, criterion) {
  return data.rate === null ? answerOf(checkpoint, criterion) : inWords(figure(checkpoint, criterion));
}

function suggestion() {
  if (!required.length) return { checkpoint: null, reason: "The plan has no required criterion to go by." };
  const passing = data.rate === null
    ? "every required criterion marked yes"
    : `every required criterion seen on at least ${Math.round(100 * data.rate)} % of pictures, by the interval's lower end`;
  const passedOver = [];
  for (const { id, name } of data.checkpoints) {
    const short = shortOf(id);
    const open = required.filter((criterion) => standing(id, criterion.id) === "open");
    if (short.length) {
      passedOver.push(`${name} is passed over. ${short.map((criterion) => `${criterion.text}: ${toldAnswer(id, criterion.id)}`).join("; ")}.`);
    } else if (open.length) {
      const count = open.length === 1 ? "1 required criterion" : `${open.length} required criteria`;
      const closes = data.rate === null ? " One “no” rules it out." : "";
      return { checkpoint: null, reason: [`Still to mark: ${name}, ${count}.${closes}`, ...passedOver].join("\n") };
    } else {
      const found = `${name} is the earliest checkpoint with ${passing}.`;
      return { checkpoint: id, reason: [found, weakest(id), ...incomplete(id), ...passedOver].join("\n") };
    }
  }
  return { checkpoint: null, reason: [`No checkpoint has ${passing}.`, ...passedOver].join("\n") };
}

// What the fewest pictures stand for, so that "3 of 3" is not taken for more than it is.
function weakest(checkpoint) {
  const counted = required.map(({ id, text }) => ({ text, ...figure(checkpoint, id) }));
  const [least] = counted.sort((one, other) => one.lookedAt - other.lookedAt);
  return `The least proven: ${least.text}, ${inWords(least)}.`;
}

function incomplete(checkpoint) {
  const missing = Object.values(data.cells).filter((cell) => cell.column === checkpoint && !cell.digest).length;
  return missing ? [`But ${missing} of its pictures ${missing === 1 ? "is" : "are"} missing.`] : [];
}
