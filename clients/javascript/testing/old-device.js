// The user's device that is on the list already, for the tests of the new one.

import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { encodeEntry, signEntry } from "../src/entry.js";
import { sealEnvelope } from "../src/envelope.js";
import { sealKeyring } from "../src/keyring.js";
import { fingerprint } from "../src/member.js";
import { sealMessage } from "../src/message.js";
import { epochMessageKey, sealMessageV2 } from "../src/message-v2.js";
import { newPairingCode, pairingKeys, parsePairingCode } from "../src/pairing-code.js";
import { openRequest, sealAnswer } from "../src/pairing.js";
import { newSecret, parseSecret } from "../src/session-secret.js";
import { Scene } from "./scene.js";

/** The line that interop/lite.mjs prints. */
export const server = JSON.parse(process.env.LEVI_SERVER ?? "null");
assert.ok(server, "LEVI_SERVER is not set: the line that interop/lite.mjs prints");

const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: class {} } };

/** A client with the service key, for which no policy holds: the evil server. */
export const evil = () => createClient(server.url, server.secret_key, options);

/** A user, and a client that is signed in. */
export async function signUp() {
  const supabase = createClient(server.url, server.publishable_key, options);
  const account = { email: `${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() };
  const { data, error } = await supabase.auth.signUp(account);
  if (error) throw error;
  return { supabase, userId: data.user.id, account };
}

export async function rows(query) {
  const { data, error } = await query;
  if (error) throw new Error(`${error.code} ${error.message}`);
  return data;
}

export class OldDevice {
  #supabase;
  #scene;

  constructor(supabase, scene) {
    this.#supabase = supabase;
    this.#scene = scene;
  }

  /** Begins the list of a user. */
  static async begin({ supabase, userId }) {
    const scene = new Scene(userId);
    await scene.begin();
    const old = new OldDevice(supabase, scene);
    for (const { id, member } of [scene.laptop, scene.recovery]) {
      await old.insert("devices", { id, name: member.name, device_type: "desktop", public_key: member.keys.envelope });
    }
    await old.publish();
    return old;
  }

  get id() {
    return this.#scene.laptop.id;
  }

  get scene() {
    return this.#scene;
  }

  insert(table, row) {
    return rows(this.#supabase.from(table).insert({ user_id: this.#scene.userId, ...row }));
  }

  /** The last entry, and everybody's keyring. */
  async publish({ keyrings = true } = {}) {
    await this.insert("levi_device_list", this.#scene.rows.at(-1));
    if (keyrings) await this.keyrings();
  }

  async keyrings() {
    const { list, keyring, userId: user_id } = this.#scene;
    for (const { id } of list.active) {
      const row = { user_id, member_id: id, ...(await sealKeyring(keyring, list, id)) };
      await rows(this.#supabase.from("levi_keyrings").upsert(row, { onConflict: "user_id,member_id" }));
    }
  }

  /** Shows a code. `paired` does what follows once the new device has asked. */
  invite() {
    const code = newPairingCode();
    return { code, paired: (seen) => this.#pair(code, seen) };
  }

  async #pair(code, seen) {
    const { userId, laptop } = this.#scene;
    const keys = await pairingKeys(userId, parsePairingCode(code));
    const row = (columns) => this.#supabase.from("levi_pairings").select(columns).eq("id", keys.rowId).single();
    const { member, fresh } = openRequest(keys, userId, (await rows(row("request"))).request);
    assert.equal(await fingerprint(member), seen);
    const entry = this.#scene.entry({ kind: "add", device: member }, laptop);
    const answer = sealAnswer(keys, userId, fresh, this.#scene.list, encodeEntry(entry));
    await rows(this.#supabase.from("levi_pairings").update({ answer }).eq("id", keys.rowId));
    const signed = await signEntry(entry, laptop.keys);
    const { cosignature } = await eventually(async () => {
      const found = await rows(row("cosignature"));
      return found.cosignature && found;
    });
    await this.#scene.accept({ ...signed, cosignature });
    await this.publish();
  }

  /** Begins a session, shared with the active members or with nobody yet. */
  async session({ shared = true, title = "A session" } = {}) {
    const [id, repository_id] = [crypto.randomUUID(), crypto.randomUUID()];
    const device_id = this.id;
    await this.insert("repositories", { id: repository_id, device_id, name: "r", local_path: `/${repository_id}` });
    await this.insert("agent_coding_sessions", { id, device_id, repository_id, title });
    const session = { id, secret: newSecret() };
    if (shared) await this.share(session);
    return session;
  }

  async share({ id: sessionId, secret }) {
    const { list, userId, laptop } = this.#scene;
    for (const { id: device_id, keys } of list.active) {
      const ids = { userId, sessionId, senderDeviceId: laptop.id, recipientDeviceId: device_id };
      const sealed = await sealEnvelope(secret, ids, laptop.keys.envelope, keys.envelope);
      const row = { session_id: sessionId, device_id, ...sealed };
      await rows(this.#supabase.from("agent_coding_session_secrets").upsert(row, { onConflict: "session_id,device_id" }));
    }
  }

  /** Writes a message; `epoch` 0 is version 1. */
  async write({ id, secret }, number, content, epoch = this.#scene.list.epoch, order = "rising") {
    const key = parseSecret(secret);
    const sealed =
      epoch === 0
        ? sealMessage(key, id, number, content)
        : sealMessageV2(await epochMessageKey(key, id, epoch, this.#scene.keyring[epoch - 1]), id, number, content, { order });
    const row = { session_id: id, sequence_number: String(number), ...sealed };
    const onConflict = "session_id,sequence_number";
    await rows(this.#supabase.from("agent_coding_session_messages").upsert(row, { onConflict }));
  }

  /** A recovery behind the entry `after`, on a new device that is then the one that writes. */
  async recover(after) {
    await this.#scene.recover(after);
    const { id, member } = this.#scene.laptop;
    await this.insert("devices", { id, name: member.name, device_type: "desktop", public_key: member.keys.envelope });
    await this.publish();
  }

  async remove(id, options) {
    await this.#scene.remove({ id });
    await this.publish(options);
  }
}

export async function eventually(ask) {
  for (let time = 0; time < 200; time++) {
    const found = await ask();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not come");
}
