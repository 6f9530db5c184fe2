// All parts are there: show what was kept from last time, or an empty ballot.

const before = kept();
try {
  if (before) say(...restore(before));
  else change(() => {});
} catch {
  change(() => {});
}
if (!keep()) say("This browser keeps nothing for pages opened from disk: save the ballot before you close the page.");
