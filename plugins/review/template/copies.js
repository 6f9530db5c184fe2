// A second copy of what is kept, in IndexedDB. Now and then Chromium cuts a page that it opens off from localStorage:
// it reads as empty, and forgets without an error what it is given. IndexedDB is reached by another way.

const copies = openCopies();
let copiesRead = null; // begun when all parts are there
let unwritten = null;

// The database, once it is open; null where this browser has none for pages from disk.
function openCopies() {
  return new Promise((resolve) => {
    try {
      const asked = indexedDB.open("checkpoint-acceptance", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("ballots");
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

// Written once the copies were read, so that nothing is laid over what was not seen; then the other windows hear of it.
async function keepCopy(text) {
  const isWaiting = unwritten !== null;
  unwritten = text;
  if (isWaiting) return;
  await copiesRead;
  const newestText = unwritten;
  unwritten = null;
  putCopy(newestText);
  tellWindows(newestText);
}

function putCopy(text) {
  return changeCopies((ballots) => ballots.put(text, KEPT_AS));
}

function forgetCopy(key) {
  return changeCopies((ballots) => ballots.delete(key));
}

// Done even if the page is closed at once: it is committed without waiting for an answer.
async function changeCopies(edit) {
  try {
    const writing = (await copies)?.transaction("ballots", "readwrite");
    if (writing) edit(writing.objectStore("ballots"));
    writing?.commit?.();
  } catch {
    // The first copy is kept, or the page says that it is not.
  }
}

// The copies of what this plan's reports kept, by key.
async function readCopies() {
  try {
    const reading = (await copies)?.transaction("ballots").objectStore("ballots");
    if (!reading) return map();
    const ours = IDBKeyRange.bound(KEPT, `${KEPT}\uffff`);
    const [keys, texts] = await Promise.all([resultOf(reading.getAllKeys(ours)), resultOf(reading.getAll(ours))]);
    return map(Object.fromEntries(keys.map((key, place) => [key, parsed(texts[place])])));
  } catch {
    return map();
  }
}

function resultOf(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// Take up what the copies have newer than what was found here when the page opened. What was marked since stays on top.
async function takeUpCopies(found) {
  const opened = ballot.marks;
  const copied = await readCopies();
  const newer = kept(newestOfEach(found, copied));
  const { marks } = ballot;
  if (newer && newer.saved > takenUp) {
    try {
      say(...adopt(newer));
    } catch {
      return copied; // of another version of the page, and left as it is
    }
    layOnTop(marks, opened);
  } else if (found[KEPT_AS] && !(copied[KEPT_AS]?.saved >= found[KEPT_AS].saved)) {
    putCopy(JSON.stringify(found[KEPT_AS])); // as of before there were copies
  }
  return copied;
}

function newestOfEach(found, copied) {
  const both = map(found);
  for (const [key, copy] of Object.entries(copied)) both[key] = newest([both[key], copy].filter(Boolean));
  return both;
}

// Marks that were given since the page was opened.
function layOnTop(marks, opened) {
  let all = ballot.marks;
  for (const [id, rows] of Object.entries(marks)) {
    for (const [row, answers] of Object.entries(rows)) {
      for (const [criterion, given] of Object.entries(answers)) {
        if (given !== opened[id]?.[row]?.[criterion]) all = planted(all, [id, row, criterion], given);
      }
    }
  }
  if (all !== ballot.marks) change(() => ({ marks: all }));
  else keep(last);
  forget();
}
