// Whether several judges saw the same. agreement.py counts the same.

// Krippendorff's alpha of nominal answers, one list for each picture: 1 is agreement, 0 is chance. Null where there is
// nothing to tell apart: no picture with two answers, or one answer alone.
function alpha(units) {
  const counted = units.filter((answers) => answers.length > 1).map(counts);
  const totals = counts(units.filter((answers) => answers.length > 1).flat());
  const marks = total(totals);
  const expected = marks ** 2 - squares(totals);
  if (!expected) return null;
  const observed = counted.reduce((sum, one) => sum + (total(one) ** 2 - squares(one)) / (total(one) - 1), 0);
  return 1 - ((marks - 1) * observed) / expected;
}

function counts(answers) {
  const found = new Map();
  for (const answer of answers) found.set(answer, (found.get(answer) ?? 0) + 1);
  return [...found.values()];
}

function total(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function squares(numbers) {
  return numbers.reduce((sum, number) => sum + number ** 2, 0);
}

function agreementInWords(units) {
  const marked = units.filter((answers) => answers.length > 1);
  if (!marked.length) return "no picture was marked by two judges";
  const found = alpha(marked);
  const alike = marked.filter((answers) => new Set(answers).size === 1).length;
  const measure = found === null ? "no alpha, since all marks are the same" : `alpha ${found.toFixed(2)}`;
  return `${measure}; ${alike} of ${marked.length} pictures marked alike`;
}
