// All parts are there: show what was kept from last time, or an empty ballot. Neither is written: the visit before may
// still be writing its last marks, which then come from its window, or from the copies.

const ballots = stored();
const before = kept(ballots);
adopting = true;
try {
  if (before) say(...restore(before));
  else change(() => ({}));
} catch {
  change(() => ({}));
}
adopting = false;
latest = latestElsewhere = before?.saved ?? "";
takeUpCopies(ballots); // reads before anything is written
tryKeeping();
// Only what was kept of these very pixels is found wherever the report lies: the rest is kept as theirs now.
if (before && (before.at !== location.pathname || !ballots[KEPT_AS])) keep();
if (before) forgetLive();
forget(); // the first undo takes back what is done here, not what was kept
