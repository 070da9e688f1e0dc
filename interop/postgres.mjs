// A PostgreSQL server on loopback, of the PostgreSQL that is installed here, in a directory of its own.
//
//   const server = await startPostgres();   { url, stop() }
//
// The server programs are looked for in PATH, then where Debian has them. Nothing is stored for good: `stop`
// removes the directory.

import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import postgres from "postgres";

const OLDEST = 15;
const READY_LIMIT_MS = 60_000;

export async function startPostgres() {
  const bin = programs();
  const account = unprivileged();
  const dir = mkdtempSync(join(tmpdir(), "levi-postgres-"));
  const data = join(dir, "data");
  const password = randomBytes(24).toString("base64url");
  const secret = join(dir, "password");
  writeFileSync(secret, password, { mode: 0o600 });
  for (const path of [dir, secret]) if (account.uid !== undefined) chownSync(path, account.uid, account.gid);
  const initialise = ["-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "-N"];
  execFileSync(join(bin, "initdb"), initialise, { ...account, stdio: ["ignore", "ignore", "inherit"], cwd: dir });
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "wal_level=logical", "log_min_messages=fatal"];
  const server = spawn(join(bin, "postgres"), ["-D", data, "-p", `${port}`, ...settings.flatMap((set) => ["-c", set])], {
    ...account,
    stdio: ["ignore", 2, 2],
    cwd: dir,
  });
  const exited = new Promise((done) => server.once("exit", done));
  const stop = async () => {
    server.kill("SIGINT"); // "Fast shutdown": open connections are closed.
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  try {
    await ready(url, server);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

/** The folder of `initdb` and `postgres`. */
function programs() {
  const debian = "/usr/lib/postgresql";
  const installed = existsSync(debian) ? readdirSync(debian).map(Number).filter((version) => version >= OLDEST) : [];
  const folders = [
    ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
    ...installed.sort((a, b) => b - a).map((version) => join(debian, `${version}`, "bin")),
  ];
  const complete = (folder) => ["initdb", "postgres"].every((name) => existsSync(join(folder, name)));
  const found = folders.find(complete);
  if (found === undefined) {
    throw new Error(`PostgreSQL ${OLDEST} or later is not installed: no folder in PATH or under ${debian} has \`initdb\` ` +
      "and `postgres`; on Debian and Ubuntu, `apt install postgresql`");
  }
  const version = execFileSync(join(found, "postgres"), ["--version"], { encoding: "utf8" }).trim();
  if (Number(/\d+/.exec(version)?.[0]) < OLDEST) throw new Error(`${version} in ${found}: ${OLDEST} or later is needed`);
  return found;
}

/** PostgreSQL refuses to run as root: then it runs as the user that Debian makes for it, or as nobody. */
function unprivileged() {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync("/etc/passwd", "utf8").split("\n").map((line) => line.split(":"));
  const found = ["postgres", "nobody"].map((name) => users.find((user) => user[0] === name)).find(Boolean);
  if (found === undefined) throw new Error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`");
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

async function ready(url, server) {
  const limit = Date.now() + READY_LIMIT_MS;
  for (;;) {
    if (server.exitCode !== null || server.signalCode !== null) throw new Error("PostgreSQL exited before it was ready");
    const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice: () => {} });
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      if (Date.now() > limit) throw new Error(`PostgreSQL was not ready within ${READY_LIMIT_MS / 1000} s: ${error.message}`);
      await new Promise((next) => setTimeout(next, 100));
    } finally {
      await sql.end();
    }
  }
}

export function freePort() {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.once("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}
