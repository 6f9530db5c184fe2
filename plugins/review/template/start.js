// All parts are there: show what was kept from last time, or an empty ballot.

const before = kept();
try {
  if (before) say(...restore(before));
  else change(() => ({}));
} catch {
  change(() => ({}));
}
forgetLive();
forget(); // the first undo takes back what is done here, not what was kept
