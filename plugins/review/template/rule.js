// The plan's selection rule, computed from the marks: the earliest checkpoint that passes every required criterion.

const required = data.criteria.filter((criterion) => criterion.required);

// "passes", "short" (it cannot pass any more), or "open".
function standing(checkpoint, criterion, at = strength) {
  const counted = figure(checkpoint, criterion, at);
  if (!counted.lookedAt) return "open";
  if (data.rate === null) return worst(counted) === "yes" ? "passes" : "short";
  if (wilson(counted.yes, counted.lookedAt)[0] >= data.rate) return "passes";
  return counted.lookedAt === counted.pictures ? "short" : "open";
}

function shortOf(checkpoint, at = strength) {
  return required.filter((criterion) => standing(checkpoint, criterion.id, at) === "short");
}

function answerInWords(checkpoint, criterion, at) {
  return data.rate === null ? answerOf(checkpoint, criterion, at) : inWords(figure(checkpoint, criterion, at));
}

function suggestion() {
  if (!required.length) return { checkpoint: null, strength: null, reason: "The plan has no required criterion to go by." };
  const passing = data.rate === null
    ? "every required criterion marked yes"
    : `every required criterion seen on at least ${Math.round(100 * data.rate)} % of pictures, by the interval's lower end`;
  const ruledOut = [];
  for (const { id, name: checkpoint, at } of candidates()) {
    const name = atStrength(checkpoint, at);
    const short = shortOf(id, at);
    const open = required.filter((criterion) => standing(id, criterion.id, at) === "open");
    if (short.length) {
      ruledOut.push(`${name} is ruled out. ${short.map((criterion) => `${criterion.text}: ${answerInWords(id, criterion.id, at)}`).join("; ")}.`);
    } else if (open.length) {
      return { checkpoint: null, strength: null, reason: [stillOpen(name, id, open, at), ...ruledOut].join("\n") };
    } else {
      const found = `${name} is the earliest checkpoint with ${passing}.`;
      return { checkpoint: id, strength: asNumber(at), reason: [found, weakest(id, at), ...incomplete(id, at), ...ruledOut].join("\n") };
    }
  }
  return { checkpoint: null, strength: null, reason: [`No checkpoint has ${passing}.`, ...ruledOut].join("\n") };
}

function stillOpen(name, checkpoint, open, at) {
  const markable = open.filter(({ id }) => figure(checkpoint, id, at).pictures);
  const { length } = markable.length ? markable : open;
  const count = length === 1 ? "1 required criterion" : `${length} required criteria`;
  if (!markable.length) return `Still to render: ${name} has no picture for ${count}.`;
  return `Still to mark: ${name}, ${count}.${data.rate === null ? " One “no” rules it out." : ""}`;
}

// What the fewest pictures stand for, so that "3 of 3" is not taken for more than it is.
function weakest(checkpoint, at) {
  const counted = required.map(({ id, text }) => ({ text, ...figure(checkpoint, id, at) }));
  const [least] = counted.sort((one, other) => one.lookedAt - other.lookedAt);
  const pictures = least.lookedAt === 1 ? "picture" : "pictures";
  return `Least proven: ${least.text}, on ${least.yes} of ${least.lookedAt} ${pictures}. So few prove only that ${proves(least)} of pictures show it.`;
}

function incomplete(checkpoint, at) {
  const missing = Object.values(data.cells).filter((cell) => cell.column === checkpoint && cell.strength === at && !cell.digest).length;
  const there = namesAt(at).filter((name) => data.cells[`${checkpoint}-${name}`].digest);
  const open = there.filter((name) => required.some(({ id }) => pictureRows(checkpoint, id, at).includes(name) && !answerOn(checkpoint, name, id)));
  return [
    ...(missing ? [`But ${missing} of its pictures ${missing === 1 ? "is" : "are"} missing.`] : []),
    ...(open.length ? [`But ${open.length} of its ${there.length} pictures ${open.length === 1 ? "lacks" : "lack"} a mark for a required criterion.`] : []),
  ];
}
