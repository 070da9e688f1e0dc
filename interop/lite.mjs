// Starts Supabase Lite on loopback with Levi's migrations, and prints its address.
//
//   node lite.mjs [--port 0] [--dir DIR] [--max-rows 1000] [--jwt-expiry 3600]
//                 [--driver pglite|postgres] [--twice] [--until-stdin-closes]
//
// Prints one JSON line on stdout once it answers:
//   {"url","publishable_key","secret_key","jwt_secret","max_rows","dir"}; with a PostgreSQL server "database" too
// and everything else on stderr. Stops on SIGTERM, SIGINT or (with --until-stdin-closes) when stdin ends, so
// that the server does not outlive its parent. Removes a directory that it created itself.
// Each directory gets its own keys, which are valid for this server only. `--driver postgres` starts an installed
// PostgreSQL for this run alone, whose data is gone with it.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { freePort, startPostgres } from "./postgres.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const migrations = resolve(here, "../supabase/migrations");
const cli = join(here, "node_modules/@supabase/lite/dist/cli/index.js");
const READY_LIMIT_MS = 120_000;

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    dir: { type: "string" },
    "max-rows": { type: "string", default: "1000" },
    "jwt-expiry": { type: "string", default: "3600" },
    driver: { type: "string", default: "pglite" },
    twice: { type: "boolean", default: false },
    "until-stdin-closes": { type: "boolean", default: false },
  },
});

let server;
let database;
let stopping = false;
const madeDir = options.dir === undefined;
const dir = madeDir ? mkdtempSync(join(tmpdir(), "levi-lite-")) : resolve(options.dir);

process.on("SIGTERM", () => stop(0));
process.on("SIGINT", () => stop(0));
process.on("exit", () => madeDir && rmSync(dir, { recursive: true, force: true }));
if (options["until-stdin-closes"]) {
  process.stdin.resume();
  for (const event of ["end", "close", "error"]) process.stdin.on(event, () => stop(0));
}

try {
  await main();
} catch (error) {
  if (!stopping) console.error(`lite.mjs: ${error.message}`);
  await stop(1);
}

async function main() {
  if (!existsSync(cli)) throw new Error("Supabase Lite is not installed; run `npm ci` in interop/ first");
  const port = options.port === "0" ? await freePort() : Number(options.port);
  if (options.driver === "postgres") database = await startPostgres();
  const keys = writeProject(port);
  // Supabase Lite's own migration command, as a user would run it.
  await run(["migration", "up"]);
  server = lite(["start", "--no-admin"]);
  const url = `http://127.0.0.1:${port}`;
  await ready(url, keys.publishable_key);
  console.log(JSON.stringify({ url, ...keys, max_rows: Number(options["max-rows"]), dir, database: database?.url }));
  const code = await exit(server);
  if (!stopping) throw new Error(`the server exited unexpectedly (${code})`);
}

function writeProject(port) {
  const supabase = join(dir, "supabase");
  mkdirSync(join(supabase, "migrations"), { recursive: true });
  for (const file of readdirSync(migrations).filter((name) => name.endsWith(".sql"))) {
    cpSync(join(migrations, file), join(supabase, "migrations", file));
    // A second time under a later version, because the migrations must be repeatable.
    if (options.twice) cpSync(join(migrations, file), join(supabase, "migrations", `9${file.slice(1)}`));
  }
  const keys = readKeys(join(dir, "keys.json"));
  writeFileSync(
    join(supabase, "config.toml"),
    `[api]
port = ${port}
max_rows = ${options["max-rows"]}

[db]
driver = "${options.driver}"
url = "${database?.url ?? "supabase/.temp/data"}"

[auth]
enabled = true
jwt_secret = "${keys.jwt_secret}"
jwt_expiry = ${options["jwt-expiry"]}
enable_signup = true
publishable_key = "${keys.publishable_key}"
secret_key = "${keys.secret_key}"

[auth.email]
enable_confirmations = false
`,
  );
  return keys;
}

function readKeys(file) {
  if (!existsSync(file)) {
    const random = (bytes) => randomBytes(bytes).toString("base64url");
    const keys = {
      publishable_key: `sb_publishable_${random(24)}`,
      secret_key: `sb_secret_${random(24)}`,
      jwt_secret: random(48),
    };
    writeFileSync(file, JSON.stringify(keys), { mode: 0o600 });
  }
  return JSON.parse(readFileSync(file, "utf8"));
}

function lite(args) {
  return spawn(process.execPath, [cli, "--no-telemetry", ...args], {
    cwd: dir,
    env: { ...process.env, DO_NOT_TRACK: "1" },
    stdio: ["ignore", 2, 2],
  });
}

async function run(args) {
  server = lite(args);
  const code = await exit(server);
  if (code !== 0) throw new Error(`\`lite ${args.join(" ")}\` ended with ${code}`);
}

function exit(child) {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
  return new Promise((done) => child.once("exit", (code, signal) => done(code ?? signal)));
}

async function ready(url, apikey) {
  const limit = Date.now() + READY_LIMIT_MS;
  while (Date.now() < limit) {
    if (server.exitCode !== null) throw new Error(`the server exited before it was ready (${server.exitCode})`);
    const answer = await fetch(`${url}/auth/v1/health`, { headers: { apikey } }).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((next) => setTimeout(next, 100));
  }
  throw new Error(`the server was not ready within ${READY_LIMIT_MS / 1000} s`);
}

async function stop(code) {
  if (stopping) return;
  stopping = true;
  if (server && server.exitCode === null && server.signalCode === null) {
    server.kill("SIGTERM");
    const force = setTimeout(() => server.kill("SIGKILL"), 5_000);
    await exit(server);
    clearTimeout(force);
  }
  await database?.stop();
  process.exit(code);
}
