// A second copy of what is kept, in IndexedDB. Now and then Chromium cuts a page that it opens off from localStorage:
// it reads as empty, and forgets without an error what it is given. IndexedDB is reached by another way.

const copies = openCopies();

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

// Written even if the page is closed at once: it is committed without waiting for an answer.
async function keepCopy(key, text) {
  try {
    const writing = (await copies)?.transaction("ballots", "readwrite");
    writing?.objectStore("ballots").put(text, key);
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
  const both = map(found);
  for (const [key, copy] of Object.entries(await readCopies())) both[key] = newest([both[key], copy].filter(Boolean));
  const copied = kept(both);
  if (!copied || copied.saved <= latestElsewhere) return;
  const { marks } = ballot;
  latest = "";
  takeOver(copied);
  for (const [id, rows] of Object.entries(marks)) {
    for (const [row, answers] of Object.entries(rows)) {
      for (const [criterion, given] of Object.entries(answers)) {
        if (given !== opened[id]?.[row]?.[criterion]) change((now) => ({ marks: planted(now.marks, [id, row, criterion], given) }));
      }
    }
  }
  keep();
  forget();
}
