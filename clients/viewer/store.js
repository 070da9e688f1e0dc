// What this browser keeps of each user, in IndexedDB: its device with the pin of the device list, a pairing that has begun,
// and where the epochs of each session begin. Every script of this address can read it, so nothing else should be served
// here.

const STORE = "devices";

function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("levi", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

/** Replaces what is kept under a key by what `change` makes of it; both are the same where it only looks. */
async function changed(key, mode, change) {
  const opened = await database();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = opened.transaction(STORE, mode);
      const store = transaction.objectStore(STORE);
      const reading = store.get(key);
      let value;
      reading.onsuccess = () => {
        value = change(reading.result);
        if (value === reading.result) return;
        if (value === undefined) store.delete(key);
        else store.put(value, key);
      };
      // The transaction, because only then it is on disk.
      transaction.oncomplete = () => resolve(value);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    opened.close();
  }
}

const slotOf = (pin) => pin.rows.at(-1).slot;

export class Store {
  #userId;

  constructor(userId) {
    this.#userId = userId;
  }

  /** `{ device, pin }`, or undefined for a user who has not added this browser. */
  device = () => changed(this.#userId, "readonly", (kept) => kept);

  keepDevice = (stored) => changed(this.#userId, "readwrite", () => stored);

  /** Another tab may know a later list, or be another device by now. */
  keepPin = (device, pin) =>
    changed(this.#userId, "readwrite", (kept) => {
      const isLater = kept?.device.id === device.id && kept.pin && slotOf(pin) > slotOf(kept.pin);
      return isLater ? { ...kept, pin } : kept;
    });

  pending = () => changed(`pending ${this.#userId}`, "readonly", (kept) => kept);

  /** Undefined when it has ended. */
  keepPending = (pending) => changed(`pending ${this.#userId}`, "readwrite", () => pending);

  /** For `Reader.open`. */
  epochs = {
    load: (sessionId) => changed(`epochs ${this.#userId} ${sessionId}`, "readonly", (kept) => kept),
    keep: (sessionId, starts) =>
      changed(`epochs ${this.#userId} ${sessionId}`, "readwrite", (kept = {}) => {
        const isLower = ([epoch, number]) => kept[epoch] === undefined || BigInt(number) < BigInt(kept[epoch]);
        return { ...kept, ...Object.fromEntries(Object.entries(starts).filter(isLower)) };
      }),
  };
}
