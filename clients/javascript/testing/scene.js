// A user with a device list, as the device sees it that writes next. For tests.

import { DeviceList } from "../src/device-list.js";
import { NO_HASH, commitmentTo, decodeRow, signEntry } from "../src/entry.js";
import { newKeys, publicKeysOf } from "../src/keys.js";
import { randomBytes } from "../src/primitives.js";
import { recoveryKeys } from "../src/recovery-key.js";

/** A device or the recovery key, with what only it has. */
export async function owner(name, { id = crypto.randomUUID(), keys = newKeys(), type = "device" } = {}) {
  return { id, keys, member: { id, type, name, keys: await publicKeysOf(keys) } };
}

export const paper = async (name) => owner(name, { keys: await recoveryKeys(randomBytes(32)), type: "recovery" });

export class Scene {
  rows = [];
  keyring = [];

  constructor(userId = crypto.randomUUID()) {
    this.userId = userId;
  }

  async begin() {
    [this.laptop, this.recovery] = [await owner("laptop"), await paper("paper")];
    const rotation = await this.rotation(1, NO_HASH);
    const members = { device: this.laptop.member, recovery: this.recovery.member };
    await this.push({ kind: "genesis", ...members, rotation }, this.laptop, this.recovery, NO_HASH);
  }

  /** Draws the secret of an epoch. */
  async rotation(epoch = this.list.lastEpoch + 1, genesis = this.list.genesis) {
    const secret = randomBytes(32);
    while (this.keyring.length < epoch - 1) this.keyring.push(null);
    this.keyring.push(secret);
    return { epoch, commitment: await commitmentTo(genesis, epoch, secret) };
  }

  entry(body, signer, prev = this.list.head) {
    return { slot: this.rows.length, prev, userId: this.userId, timeMs: 0n, signerId: signer.id, ...body };
  }

  async push(body, signer, cosigner, prev) {
    await this.accept(await signEntry(this.entry(body, signer, prev), signer.keys, cosigner?.keys));
  }

  async accept(row) {
    const signed = await decodeRow(row);
    this.list = await (this.list ? this.list.accept(signed) : DeviceList.begin(this.userId, signed));
    this.rows.push(row);
  }

  add(device) {
    return this.push({ kind: "add", device: device.member }, this.laptop, device);
  }

  /** Cuts off what follows the entry `after`, and its epochs, and goes on with a new device in place of the laptop. */
  async recover(after) {
    const desk = await owner("desk");
    const lastKept = this.#epochAt(after);
    const rotation = await this.rotation();
    const isCutOff = (epoch) => epoch > lastKept && epoch < rotation.epoch;
    this.keyring = this.keyring.map((secret, at) => (isCutOff(at + 1) ? null : secret));
    const body = { kind: "recover", removed: [this.laptop.id], device: desk.member, rotation };
    await this.push(body, this.recovery, desk, after);
    this.laptop = desk;
  }

  #epochAt(head) {
    const upTo = this.list.chain.slice(0, this.list.chain.findIndex(({ hash }) => hash === head) + 1);
    return upTo.findLast(({ entry }) => entry.rotation).entry.rotation.epoch;
  }

  async remove({ id }) {
    return this.push({ kind: "remove", removed: [id], rotation: await this.rotation() }, this.laptop);
  }
}
