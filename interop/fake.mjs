// Starts the fake Supabase and the command `levi`, for the scripts that test Realtime.

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";

/** A running fake Supabase: what its program prints, and what it is told. */
export async function startFake(program, ...args) {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => JSON.parse((await lines.next()).value);
  const ready = await line();
  return {
    ...ready,
    ready,
    dropSockets: () => child.stdin.write("drop\n"),
    stats: () => {
      child.stdin.write("stats\n");
      return line();
    },
    stop: () => child.stdin.end(),
  };
}

/** A new user, with the tokens of a sign-in. */
export async function signUp(server) {
  const account = { email: `${randomUUID()}@example.com`, password: randomUUID() };
  const session = await auth(server, "signup", account);
  return { ...account, id: session.user.id, token: session.access_token, refreshToken: session.refresh_token };
}

export async function refresh(server, user) {
  const session = await auth(server, "token?grant_type=refresh_token", { refresh_token: user.refreshToken });
  return { ...user, token: session.access_token, refreshToken: session.refresh_token };
}

async function auth(server, path, body) {
  const headers = { apikey: server.publishable_key, "content-type": "application/json" };
  const answer = await fetch(`${server.url}/auth/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The command `levi` on one device of a user. It goes on running; `end` waits for its end. */
export function levi(program, server, user, folder, args) {
  const settings = { LEVI_URL: server.url, LEVI_PUBLISHABLE_KEY: server.publishable_key, LEVI_EMAIL: user.email };
  const env = { ...process.env, ...settings, LEVI_DATA_DIR: folder };
  const child = spawn(program, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  const said = [];
  child.stderr.on("data", (chunk) => said.push(chunk));
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve(status));
  });
  return {
    write: (line) => child.stdin.write(`${JSON.stringify(line)}\n`),
    lines: createInterface({ input: child.stdout }),
    said: () => Buffer.concat(said).toString(),
    hearing: child.stderr,
    kill: () => child.kill(),
    end: async (input = "") => {
      child.stdout.resume();
      child.stdin.end(input);
      const status = await ended;
      if (status !== 0) throw new Error(`levi ${args[0]}: ${status}\n${Buffer.concat(said)}`);
    },
  };
}

/** Fails if it takes longer than a machine that is busy with other things needs. */
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
