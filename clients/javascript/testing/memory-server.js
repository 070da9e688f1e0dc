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

const placeOf = ({ change, session_id, number }) => ({ change, session_id, number });

export class MemoryServer {
  #messages = [];
  #envelopes = new Map();
  #change = 0;
  /** @type {any[][]} the messages after each change, for `restore` */
  #backups = [[]];
  /** @type {string[]} the names of the questions */
  asked = [];
  /** @type {(question: string, rows: any, limit?: number) => unknown} throws to fail; `rows` is what it would answer */
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
    const answer = limit === undefined ? rows : rows.slice(0, limit);
    await this.before(question, answer, limit);
    return answer;
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

  lastChange = () => this.#answer("lastChange", this.#backwards().slice(0, 1).map(({ change }) => ({ change })));
  lastNonces = (limit) => this.#answer("lastNonces", this.#backwards(), limit);
  #backwards = () => this.#messages.toSorted(byNumber("change")).toReversed();

  noncesAt(changes, nonces) {
    const isOne = (row) => changes.includes(row.change) && nonces.includes(row.content_nonce);
    return this.#answer("noncesAt", this.#messages.filter(isOne));
  }
  sessionOwner = () => this.#answer("sessionOwner", this.scene.laptop.id);
  deviceKey = () => this.#answer("deviceKey", this.scene.laptop.member.keys.envelope);
  envelope = (sessionId) => this.#answer("envelope", this.#envelopes.get(sessionId) ?? null);
  envelopes = (ids) => this.#answer("envelopes", ids.map((id) => this.#envelopes.get(id)).filter(Boolean));

  changes(after, limit, within) {
    return this.#answer("changes", this.#changed(after, within), limit);
  }

  firstChange(after, within) {
    return this.#answer("firstChange", this.#changed(after, within).slice(0, 1).map(placeOf));
  }

  #changed(after, { sessionId, until } = {}) {
    return above(this.#messages, "change", after)
      .filter((row) => (!sessionId || row.session_id === sessionId) && (!until || BigInt(row.change) <= BigInt(until)))
      .sort(byNumber("change"));
  }

  messages(sessionId, after, limit) {
    return this.#answer("messages", this.#inSession(sessionId, after), limit);
  }

  firstMessage(sessionId, after) {
    return this.#answer("firstMessage", this.#inSession(sessionId, after).slice(0, 1).map(placeOf));
  }

  messagesOf(epoch, sessionId, after, limit) {
    return this.#answer("messagesOf", this.#ofEpoch(epoch, sessionId, after), limit);
  }

  firstMessageOf(epoch, sessionId, after) {
    return this.#answer("firstMessageOf", this.#ofEpoch(epoch, sessionId, after).slice(0, 1).map(placeOf));
  }

  #inSession(sessionId, after) {
    return above(this.#messages, "number", after).filter((row) => row.session_id === sessionId).sort(byNumber("number"));
  }

  #ofEpoch(epoch, sessionId, after) {
    return this.#inSession(sessionId, after).filter((row) => row.content_nonce?.startsWith(`v2:${epoch}:`));
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
    this.#backups[this.#change] = this.#messages;
  }

  get change() {
    return this.#change;
  }

  /** Goes back to a backup that was made right after a change; the numbers of changes go on from there. */
  restore(change) {
    this.#messages = this.#backups[change];
    this.#change = change;
  }

  /** As a thief does who has the user's token. */
  remove({ id }, isGone) {
    this.#messages = this.#messages.filter((row) => row.session_id !== id || !isGone(row));
  }

  questions(name) {
    return this.asked.filter((question) => question === name).length;
  }
}
