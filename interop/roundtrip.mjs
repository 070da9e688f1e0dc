// Checks that every program reads what every other program wrote, byte for byte, over a running server.
//
//   node roundtrip.mjs participants.json < ready.json
//
// ready.json is the line that lite.mjs prints. participants.json is [{"name", "write": [command...], "read": [command...],
// "env": {...}}]: `write` is called with SESSION_ID REPOSITORY_ID and NDJSON on stdin, `read` with SESSION_ID, both with
// the settings of clients in the environment. A participant may lack one of the two.

import { spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const participants = JSON.parse(readFileSync(process.argv[2], "utf8"));
const [ready] = await lines(process.stdin);
const server = JSON.parse(ready);

/** More than the server hands out at once, and whatever text can hold. */
const contents = [
  "",
  "Hello, world!",
  "\u{1f600} \u{1f468}\u200d\u{1f469}\u200d\u{1f467} e\u0301 \u202e\ufeff\u2028",
  "NUL \0 inside, \b\f\n\r\t\u001f\u007f \"quoted\\\" </script>",
  "x".repeat(1 << 20),
  ...Array.from({ length: server.max_rows + 200 }, (_, n) => `message ${n}`),
];
const input = contents.map((content, n) => `{"sequence_number":${n},"content":${JSON.stringify(content)}}\n`).join("");

let failures = 0;
let passes = 0;
for (const writer of participants.filter(({ write }) => write)) {
  // One session, written once and read by every other device.
  const account = await signUp();
  const readers = participants.filter(({ read }) => read).map((reader) => ({ ...reader, device: newDevice() }));
  for (const reader of readers) await register(account, reader.device);
  const session = randomUUID();
  const written = await call(writer, writer.write, [session, randomUUID()], account, newDevice(), input);
  if (written.status !== 0) fail(`${writer.name} did not write`, written);
  else {
    const read = async (how) => {
      for (const reader of readers) {
        compare(writer, reader, await call(reader, reader.read, [session], account, reader.device), how);
      }
    };
    await read("");
    if (writer === participants[0]) {
      await nameAnotherSender(account, session, readers[0].device);
      await read(", the envelope's row naming another device");
    }
  }
}
console.log(`${passes} passed, ${failures} failed`);
process.exitCode = failures === 0 && passes > 0 ? 0 : 1;

function compare(writer, reader, { status, stdout, stderr }, how) {
  const name = `${writer.name} -> ${reader.name}${how}`;
  if (status === 0 && stdout.toString() === input) {
    passes++;
    console.log(`ok  ${name}: ${contents.length} messages, ${input.length} characters`);
  } else {
    fail(`${name}: exit code ${status}, ${stdout.length} of ${Buffer.byteLength(input)} bytes`, { stderr });
  }
}

function fail(what, { stderr }) {
  failures++;
  console.error(`FAILED  ${what}\n${stderr.toString().slice(-2000)}`);
}

function call(participant, [program, ...rest], args, account, device, stdin = "") {
  const env = {
    ...process.env,
    SUPABASE_URL: server.url,
    SUPABASE_PUBLISHABLE_KEY: server.publishable_key,
    LEVI_EMAIL: account.email,
    LEVI_PASSWORD: account.password,
    LEVI_DEVICE_ID: device.id,
    LEVI_DEVICE_PRIVATE_KEY: device.privateKey,
    ...participant.env,
  };
  // Not spawnSync, because it would block this process while the server closes its idle connections.
  return new Promise((done) => {
    const child = spawn(program, [...rest, ...args], { env, timeout: 300_000 });
    const [out, err] = [[], []];
    child.stdout.on("data", (chunk) => out.push(chunk));
    child.stderr.on("data", (chunk) => err.push(chunk));
    child.on("error", (error) => done({ status: -1, stdout: Buffer.alloc(0), stderr: error.message }));
    child.on("close", (status) => done({ status, stdout: Buffer.concat(out), stderr: Buffer.concat(err) }));
    child.stdin.on("error", () => {}); // The program exited before it read everything; its exit code is checked.
    child.stdin.end(stdin);
  });
}

function newDevice() {
  return { id: randomUUID(), privateKey: randomBytes(32).toString("base64") };
}

async function signUp() {
  const credentials = { email: `${randomUUID()}@example.com`, password: randomUUID() };
  const { access_token, user } = await post("/auth/v1/signup", credentials);
  return { ...credentials, id: user.id, token: access_token };
}

async function register(account, device) {
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), Buffer.from(device.privateKey, "base64")]);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "X25519" }, true, ["deriveBits"]);
  const publicKey = Buffer.from((await crypto.subtle.exportKey("jwk", key)).x, "base64url").toString("base64");
  const row = { id: device.id, user_id: account.id, name: "reader", device_type: "phone", public_key: publicKey };
  await post("/rest/v1/devices", [row], { authorization: `Bearer ${account.token}` });
}

/** As a row keeps it that another device wrote first, when the session's own device writes it again without a name. */
async function nameAnotherSender(account, session, device) {
  const path = `/rest/v1/agent_coding_session_secrets?session_id=eq.${session}`;
  await request("PATCH", path, { sender_device_id: device.id }, { authorization: `Bearer ${account.token}` });
}

function post(path, body, headers) {
  return request("POST", path, body, headers);
}

async function request(method, path, body, headers = {}) {
  const all = { apikey: server.publishable_key, "content-type": "application/json", ...headers };
  const answer = await fetch(server.url + path, { method, headers: all, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

async function lines(stream) {
  const found = [];
  for await (const line of createInterface({ input: stream })) found.push(line);
  return found;
}
