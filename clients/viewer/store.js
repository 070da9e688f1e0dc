// What this browser keeps: its device and the pin of the device list, by user, in IndexedDB. Every script of this
// address can read it, so nothing else should be served here.

const STORE = "devices";

function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("levi", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

async function run(mode, action) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction(STORE, mode);
      const request = action(transaction.objectStore(STORE));
      // The transaction, because only then it is on disk.
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
}

/** `{ device, pin }`, or undefined for a user who has not added this browser. */
export const load = (userId) => run("readonly", (store) => store.get(userId));

export const save = (userId, stored) => run("readwrite", (store) => store.put(stored, userId));
