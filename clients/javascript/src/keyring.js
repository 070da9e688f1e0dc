// Keyrings: the secrets of all epochs, sealed for one member of the device list (docs/trust.md). HPKE in Base mode with
// X-Wing; what authenticates a keyring is that its secrets match the commitments of the signed list.

import { Chacha20Poly1305 } from "@hpke/chacha20poly1305";
import { CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import { concat, fromBase64, isZero, lp, toBase64, u32, utf8 } from "./bytes.js";
import { NO_HASH, commitmentTo } from "./entry.js";
import { LeviError, check } from "./error.js";
import { TAG_BYTES } from "./primitives.js";

const SECRET_BYTES = 32;
const ENC_BYTES = 1120;

const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() });

/**
 * The secrets of epoch 1, 2, ...; null for an epoch that a recovery cut off and whose secret is lost.
 *
 * @typedef {(Uint8Array | null)[]} Keyring
 */

/**
 * A row of `levi_keyrings`.
 *
 * @typedef {object} KeyringRow
 * @property {number} epoch
 * @property {string} enc
 * @property {string} sealed
 */

const info = (list, recipientId, epoch) =>
  concat(utf8("levi/keyring/v1"), lp(list.userId), fromBase64(list.genesis), lp(recipientId), u32(epoch));

/**
 * Checks every secret against the commitments of the list.
 *
 * @param {Keyring} keyring
 * @param {import("./device-list.js").DeviceList} list
 */
export async function checkKeyring(keyring, list) {
  check(keyring.length === list.epoch, "other-epoch", "the keyring is of another epoch than the device list");
  for (const { epoch, commitment } of list.rotations) {
    const secret = keyring[epoch - 1];
    // Within the genesis, whose hash was not known yet, zeros stand for it.
    const genesis = epoch === 1 ? NO_HASH : list.genesis;
    const matches = secret && (await commitmentTo(genesis, epoch, secret)) === commitment;
    check(matches, "uncommitted", `the secret of epoch ${epoch} is not the one in the device list`);
  }
}

/**
 * Opens the keyring of a member, and checks it against the list.
 *
 * @param {KeyringRow} row
 * @param {import("./device-list.js").DeviceList} list
 * @param {string} recipientId
 * @param {import("./keys.js").MemberKeys} keys
 * @returns {Promise<Keyring>}
 */
export async function openKeyring(row, list, recipientId, keys) {
  const [enc, sealed] = [fromBase64(row.enc), fromBase64(row.sealed)];
  check(enc.length === ENC_BYTES, "truncated", "the keyring's encapsulated key has the wrong length");
  check(row.epoch === list.epoch, "other-epoch", "the keyring is of another epoch than the device list");
  check(sealed.length === row.epoch * SECRET_BYTES + TAG_BYTES, "truncated", "the keyring has the wrong length");
  const plain = await openSealed(enc, sealed, info(list, recipientId, row.epoch), keys);
  const keyring = Array.from({ length: row.epoch }, (_, at) => {
    const secret = plain.slice(SECRET_BYTES * at, SECRET_BYTES * (at + 1));
    return isZero(secret) ? null : secret;
  });
  await checkKeyring(keyring, list);
  return keyring;
}

async function openSealed(enc, sealed, info, keys) {
  try {
    const recipientKey = await suite.kem.importKey("raw", fromBase64(keys.keyring).buffer, false);
    const recipient = await suite.createRecipientContext({ recipientKey, enc, info });
    return new Uint8Array(await recipient.open(sealed));
  } catch {
    throw new LeviError("forged", "the keyring was sealed for somebody else, or was altered");
  }
}

/**
 * Seals the keyring for an active member of the list.
 *
 * @param {Keyring} keyring
 * @param {import("./device-list.js").DeviceList} list
 * @param {string} recipientId
 * @returns {Promise<KeyringRow>}
 */
export async function sealKeyring(keyring, list, recipientId) {
  await checkKeyring(keyring, list);
  const member = list.active.find(({ id }) => id === recipientId);
  check(member, "not-a-member", "only an active member of the device list is given a keyring");
  const recipientPublicKey = await suite.kem.importKey("raw", fromBase64(member.keys.keyring).buffer, true);
  const sender = await suite.createSenderContext({ recipientPublicKey, info: info(list, recipientId, list.epoch) });
  const plain = concat(...keyring.map((secret) => secret ?? new Uint8Array(SECRET_BYTES)));
  const sealed = new Uint8Array(await sender.seal(plain));
  return { epoch: list.epoch, enc: toBase64(new Uint8Array(sender.enc)), sealed: toBase64(sealed) };
}
