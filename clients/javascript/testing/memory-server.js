// The server as the reader sees it, in memory: what `src/server.js` asks for. It counts the questions, and can be told to
// lie or to fail. For tests.

import { sealEnvelope } from "../src/envelope.js";
import { sealKeyring } from "../src/keyring.js";
import { sealMessage } from "../src/message.js";
import { epochMessageKey, sealMessageV2 } from "../src/message-v2.js";
import { newSecret, parseSecret } from "../src/session-secret.js";

const newId = () => crypto.randomUUID();
const above = (rows, key, after) => rows.filter((row) => BigInt(row[key]) > BigInt(after));
const byNumber = (key) => (a, b) => (BigInt(a[key]) < BigInt(b[key]) ? -1 : 1);

export class MemoryServer {
  #messages = [];
  #envelopes = new Map();
  #change = 0;
  /** @type {string[]} the names of the questions */
  asked = [];
  /** @type {(question: string, limit?: number) => unknown} throws to fail */
  before = () => {};

  /** @param {import("./scene.js").Scene} scene whose laptop writes */
  constructor(scene) {
    this.scene = scene;
    this.rows = scene.rows;
  }

  get userId() {
    return this.scene.userId;
  }

  async #answer(question, rows, limit) {
    this.asked.push(question);
    await this.before(question, limit);
    return limit === undefined ? rows : rows.slice(0, limit);
  }

  listRows = () => this.#answer("listRows", [...this.rows]);

  async keyring(memberId) {
    const isActive = this.scene.list.active.some(({ id }) => id === memberId);
    return this.#answer("keyring", isActive ? await sealKeyring(this.scene.keyring, this.scene.list, memberId) : null);
  }

  highestBy(sessionId, change) {
    const rows = this.#messages.filter((row) => row.session_id === sessionId && BigInt(row.change) <= BigInt(change));
    return this.#answer("highestBy", rows.sort(byNumber("number")).at(-1)?.number);
  }

  lastChange = () => this.#answer("lastChange", String(this.#change));
  sessionOwner = () => this.#answer("sessionOwner", this.scene.laptop.id);
  deviceKey = () => this.#answer("deviceKey", this.scene.laptop.member.keys.envelope);
  envelope = (sessionId) => this.#answer("envelope", this.#envelopes.get(sessionId) ?? null);
  envelopes = (ids) => this.#answer("envelopes", ids.map((id) => this.#envelopes.get(id)).filter(Boolean));

  changes(after, limit, { sessionId, until } = {}) {
    const rows = above(this.#messages, "change", after)
      .filter((row) => (!sessionId || row.session_id === sessionId) && (!until || BigInt(row.change) <= BigInt(until)))
      .sort(byNumber("change"));
    return this.#answer("changes", rows, limit);
  }

  messages(sessionId, after, limit) {
    const rows = above(this.#messages, "number", after).filter((row) => row.session_id === sessionId);
    return this.#answer("messages", rows.sort(byNumber("number")), limit);
  }

  messagesOf(epoch, sessionId, after, limit = 500) {
    const rows = above(this.#messages, "number", after)
      .filter((row) => row.session_id === sessionId && row.content_nonce.startsWith(`v2:${epoch}:`));
    return this.#answer("messagesOf", rows.sort(byNumber("number")), limit);
  }

  session = () => ({ id: newId(), secret: newSecret() });

  /** Shares a session with a device, as another one. */
  async share({ id: sessionId, secret }, { id, member }, sender = this.scene.laptop) {
    const ids = { userId: this.userId, sessionId, senderDeviceId: sender.id, recipientDeviceId: id };
    const sealed = await sealEnvelope(secret, ids, sender.keys.envelope, member.keys.envelope);
    this.#envelopes.set(sessionId, { session_id: sessionId, sender_device_id: sender.id, ...sealed });
  }

  /** What anybody with the user's token can write. */
  junkEnvelope({ id: session_id }) {
    const junk = { ephemeral_public_key: "AAAA", encrypted_secret: "AAAA", sender_device_id: this.scene.laptop.id };
    this.#envelopes.set(session_id, { session_id, ...junk });
  }

  /** Writes a message in an epoch, 0 for version 1, or puts `row` there. */
  async write({ id, secret }, number, content, { epoch = this.scene.list.epoch, order = "rising", row = undefined } = {}) {
    const key = parseSecret(secret);
    const epochKey = epoch > 0 && (await epochMessageKey(key, id, epoch, this.scene.keyring[epoch - 1]));
    const sealed = epochKey ? sealMessageV2(epochKey, id, number, content, { order }) : sealMessage(key, id, number, content);
    this.put({ session_id: id, number: String(number), ...(row ?? sealed) });
  }

  put(row) {
    const isOther = ({ session_id, number }) => session_id !== row.session_id || number !== row.number;
    this.#messages = [...this.#messages.filter(isOther), { ...row, change: String(++this.#change) }];
  }

  /** As a thief does who has the user's token. */
  remove({ id }, isGone) {
    this.#messages = this.#messages.filter((row) => row.session_id !== id || !isGone(row));
  }

  questions(name) {
    return this.asked.filter((question) => question === name).length;
  }
}
