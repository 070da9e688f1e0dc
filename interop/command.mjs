// Runs the command `levi` against a server as a user does: sign in, check, sync on one device, pull on another.
//
//   node command.mjs LEVI FOLDER whole < ready.json     with the migrations applied: everything works, and `doctor`
//                                                       reports nothing
//   node command.mjs LEVI FOLDER ROUND < ready.json     after that round of break.mjs, on the same server: `doctor`
//                                                       reports exactly what is missing
//
// FOLDER keeps the devices between calls.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ROUNDS } from "./break.mjs";

const [levi, folder, mode] = process.argv.slice(2);
const server = JSON.parse(readFileSync(0, "utf8"));
const account = { email: `${randomUUID()}@example.com`, password: randomUUID() };
const contents = ["", "Hello, world!", "\u{1f600} e\u0301 \u2028", "NUL \0 inside", "x".repeat(1 << 20)];
let [passed, failed] = [0, 0];

await (mode === "whole" ? whole() : broken(ROUNDS[mode]));
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function whole() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await signUp();
  for (const device of ["first", "second"]) {
    const login = await call(device, ["login", "--password-stdin", "--device-name", device], account.password);
    check(`login on the ${device} device`, login.status === 0, login);
  }
  await nothingWrong("doctor --server before the first session");
  const session_id = randomUUID();
  const messages = contents.map((content, sequence_number) => ({ session_id, sequence_number, content }));
  const input = messages.map((message) => `${JSON.stringify(message)}\n`).join("");
  const sync = await call("first", ["sync"], input);
  check("sync", sync.status === 0, sync);
  const pull = await call("second", ["pull", "--json"]);
  check("pull on the other device is what was synced", pull.status === 0 && pull.stdout === input, pull);
  await nothingWrong("doctor --server with a session");
}

async function nothingWrong(what) {
  const { problems, ...doctor } = await diagnose();
  check(what, doctor.status === 0 && problems.length === 0, doctor);
}

async function broken(faults) {
  const { problems, notes, ...doctor } = await diagnose();
  const named = { problem: problems, note: notes };
  for (const { table, says, verdict = "problem" } of faults) {
    const found = named[verdict].filter(({ check }) => check === table);
    check(`doctor: ${table}: ${says}`, found.length === 1 && found[0].detail.includes(says), doctor);
  }
  const expected = faults.filter(({ verdict }) => verdict !== "note").length;
  const status = expected > 0 ? 7 : 0;
  check("doctor names nothing else", doctor.status === status && problems.length === expected, doctor);
  if (expected === 0) await syncsAll();
}

/** A project that lacks only what doctor noted takes messages and gives them back. */
async function syncsAll() {
  const session_id = randomUUID();
  const input = `${JSON.stringify({ session_id, sequence_number: 0, content: "still here" })}\n`;
  const sync = await call("first", ["sync"], input);
  check("sync without it", sync.status === 0, sync);
  const pull = await call("second", ["pull", "--session", session_id, "--json"]);
  check("pull without it", pull.status === 0 && pull.stdout === input, pull);
}

async function diagnose() {
  const doctor = await call("first", ["doctor", "--server", "--json"]);
  const findings = doctor.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const of = (wanted) => findings.filter(({ verdict }) => verdict === wanted);
  return { ...doctor, problems: of("problem"), notes: of("note") };
}

function check(what, ok, { status, stdout, stderr }) {
  ok ? passed++ : failed++;
  if (ok) console.log(`ok  ${what}`);
  else console.error(`FAILED  ${what}: exit code ${status}\n${stdout.slice(-3000)}\n${stderr.slice(-2000)}`);
}

function call(device, args, stdin = "") {
  const env = {
    ...process.env,
    LEVI_URL: server.url,
    LEVI_PUBLISHABLE_KEY: server.publishable_key,
    LEVI_EMAIL: account.email,
    LEVI_DATA_DIR: join(folder, device),
  };
  return new Promise((done) => {
    const child = spawn(levi, args, { env, cwd: folder, timeout: 120_000 });
    const [out, err] = [[], []];
    child.stdout.on("data", (chunk) => out.push(chunk));
    child.stderr.on("data", (chunk) => err.push(chunk));
    child.on("error", (error) => err.push(Buffer.from(error.message)));
    child.on("close", (status) =>
      done({ status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
    );
    child.stdin.on("error", () => {}); // The command exited before it read everything; its exit code is checked.
    child.stdin.end(stdin);
  });
}

async function signUp() {
  const headers = { apikey: server.publishable_key, "content-type": "application/json" };
  const answer = await fetch(`${server.url}/auth/v1/signup`, { method: "POST", headers, body: JSON.stringify(account) });
  if (!answer.ok) throw new Error(`sign-up: ${answer.status} ${await answer.text()}`);
}
