// Where supabase-js keeps the tokens: in local storage, until they are withdrawn.

const KEY = "levi-sign-in";

export class SignIn {
  #store = localStorage;

  /** For `createClient`. */
  options = { auth: { storage: this, storageKey: KEY } };

  getItem(key) {
    return this.#store.getItem(key);
  }

  setItem(key, value) {
    this.#store.setItem(key, value);
  }

  removeItem(key) {
    this.#store.removeItem(key);
  }

  get isKept() {
    return this.getItem(KEY) !== null;
  }

  /**
   * Takes the tokens, and whatever else there is, out of local storage at once, whether the server answers or not. Only
   * this object still has them, to tell the server of the sign-out; a token that is renewed meanwhile stays here too.
   */
  withdraw() {
    const kept = new Map(Object.entries(localStorage));
    localStorage.clear();
    this.#store = {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => void kept.set(key, value),
      removeItem: (key) => void kept.delete(key),
    };
  }

  /** The client with this sign-in has none from now on, and changes none. */
  forget() {
    this.#store = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
  }
}
