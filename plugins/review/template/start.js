// All parts are there: show what was kept from last time, or an empty ballot. Neither is written: the visit before may
// still be writing its last marks, which then come from its window, or from the copies.

const ballots = stored();
let before = kept(ballots);
try {
  if (before) say(...adopt(before));
} catch {
  before = null; // of another version of the page
}
if (!before) draws.forEach((draw) => draw());
copiesRead = takeUpCopies(ballots);
tryKeeping();
// Only what was kept of these very pixels is found wherever the report lies: the rest is kept as theirs now.
if (before && (before.at !== location.pathname || !ballots[KEPT_AS])) keep(before.saved);
if (before) forgetLive(ballots);
copiesRead.then((copied) => {
  if (last) forgetLive(copied);
});
forget(); // the first undo takes back what is done here, not what was kept
