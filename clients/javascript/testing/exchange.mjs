// The package in the exchanges of `cargo xtask interop`: what one program writes, every other reads.
//
//   node exchange.mjs write | read | invite | join
//
// Lines are JSON. interop/trust.mjs runs these programs in pairs and says what is in each line.

import { createInterface } from "node:readline";
import { toBase64 } from "../src/bytes.js";
import { readList } from "../src/read-list.js";
import { decodeRow, encodeEntry, signEntry } from "../src/entry.js";
import { LeviError } from "../src/error.js";
import { openKeyring, sealKeyring } from "../src/keyring.js";
import { fingerprint } from "../src/member.js";
import { epochMessageKey, openMessageV2, parseNonce, sealMessageV2 } from "../src/message-v2.js";
import { newPairingCode, pairingKeys, parsePairingCode } from "../src/pairing-code.js";
import { Join, openRequest, sealAnswer } from "../src/pairing.js";
import { newSecret, parseSecret } from "../src/session-secret.js";
import { described } from "./described.js";
import { Scene, owner, paper } from "./scene.js";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const receive = async () => JSON.parse((await lines.next()).value);
const send = (line) => console.log(JSON.stringify(line));

/** Genesis, two additions, a removal, a new recovery key, and a recovery that cuts off a thief's addition. */
async function everyKind(reader) {
  const scene = new Scene();
  await scene.begin();
  await scene.add(reader);
  const lost = await owner("lost");
  await scene.add(lost);
  await scene.remove(lost);
  const recovery = await paper("new paper");
  const replaced = { kind: "new-recovery-key", recovery: recovery.member, rotation: await scene.rotation() };
  await scene.push(replaced, scene.recovery, recovery);
  scene.recovery = recovery;
  const before = scene.list.head;
  await scene.add(await owner("thief"));
  const device = await owner("new laptop");
  const body = { kind: "recover", removed: [scene.laptop.id], device: device.member, rotation: await scene.rotation() };
  await scene.push(body, recovery, device, before);
  return scene;
}

async function write() {
  const { reader, session_id, contents } = await receive();
  const scene = await everyKind(await owner("reader", reader));
  const session_secret = newSecret();
  const messages = contents.map(async (content, index) => {
    const epoch = 1 + Math.floor((index * scene.list.epoch) / contents.length);
    const key = await epochMessageKey(parseSecret(session_secret), session_id, epoch, scene.keyring[epoch - 1]);
    const form = index % 2 === 0 ? { padding: "none", order: "rising" } : { padding: "padme", order: "late" };
    return { sequence_number: String(index), ...sealMessageV2(key, session_id, index, content, form) };
  });
  send({
    user_id: scene.userId,
    genesis: scene.list.genesis,
    rows: scene.rows,
    keyring: await sealKeyring(scene.keyring, scene.list, reader.id),
    session_id,
    session_secret,
    messages: await Promise.all(messages),
    list: await described(scene.list),
  });
}

async function read() {
  for await (const line of lines) send(await opened(JSON.parse(line)).catch(refused));
}

function refused(error) {
  if (error instanceof LeviError) return { refused: error.code };
  throw error;
}

async function opened({ reader, user_id, genesis, rows, keyring, session_id, session_secret, messages }) {
  const list = await readList(user_id, genesis, rows);
  const secrets = await openKeyring(keyring, list, reader.id, reader.keys);
  const contents = messages.map(async (row) => {
    const { epoch } = parseNonce(row.content_nonce);
    const key = await epochMessageKey(parseSecret(session_secret), session_id, epoch, secrets[epoch - 1]);
    return openMessageV2(key, session_id, row.sequence_number, row);
  });
  const found = await Promise.all(contents);
  const late = found.map(({ order }) => order === "late");
  return { contents: found.map(({ content }) => content), late, list: await described(list) };
}

async function invite() {
  const scene = new Scene();
  await scene.begin();
  const old = await owner("old phone");
  await scene.add(old);
  await scene.remove(old);
  const code = newPairingCode();
  const keys = await pairingKeys(scene.userId, parsePairingCode(code));
  send({ user_id: scene.userId, code, id: keys.rowId });

  const { member, fresh } = openRequest(keys, scene.userId, (await receive()).request);
  const entry = encodeEntry(scene.entry({ kind: "add", device: member }, scene.laptop));
  const answer = sealAnswer(keys, scene.userId, fresh, scene.list, entry);
  const signed = await signEntry(scene.entry({ kind: "add", device: member }, scene.laptop), scene.laptop.keys);
  send({ answer, rows: scene.rows, fingerprint: await fingerprint(member) });

  const row = { ...signed, cosignature: (await receive()).cosignature };
  const list = await scene.list.accept(await decodeRow(row));
  const keyring = await sealKeyring(scene.keyring, list, member.id);
  const secret = toBase64(scene.keyring.at(-1));
  send({ rows: [...scene.rows, row], keyring, secret, list: await described(list) });
}

async function join() {
  const { device, user_id, code } = await receive();
  const { keys, member } = await owner("new phone", device);
  const joining = await Join.begin(user_id, code, member);
  send({ id: joining.rowId, request: joining.request(), fingerprint: await fingerprint(member) });

  const answered = await receive();
  const answer = joining.openAnswer(answered.answer);
  send({ cosignature: await joining.cosign(answer, answered.rows, keys) });

  const added = await receive();
  const list = await joining.finish(answer, added.rows);
  const secrets = await openKeyring(added.keyring, list, member.id, keys);
  send({ secret: toBase64(secrets.at(-1)), list: await described(list) });
}

await { write, read, invite, join }[process.argv[2]]();
process.stdin.destroy();
