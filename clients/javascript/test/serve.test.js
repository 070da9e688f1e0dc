// The viewer's own server: what it gives, and that no request ends it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

let child, port;

before(async () => {
  const serve = fileURLToPath(new URL("../../viewer/serve.mjs", import.meta.url));
  child = spawn(process.execPath, [serve, "0", "https://ref.supabase.co/"], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  port = Number(new URL(line).port);
});

after(() => child.kill());

/** The answer to a path as it is, which `fetch` would tidy up. */
async function ask(path) {
  const [response] = await once(get({ port, path, agent: false, timeout: 10_000 }), "response");
  response.resume();
  return { status: response.statusCode, policy: response.headers["content-security-policy"] };
}

test("the page comes with a policy that keeps it out of frames and at its project", async () => {
  const policy = "frame-ancestors 'none'; connect-src https://ref.supabase.co wss://ref.supabase.co";
  assert.deepEqual(await ask("/viewer/index.html"), { status: 200, policy });
});

for (const path of ["//", "/viewer/%00.js", "/viewer/%zz.js", "http://[", "/viewer/../python/read.py", "/javascript/src", "*"]) {
  test(`${path} is not found, and the next request is answered`, async () => {
    assert.equal((await ask(path)).status, 404);
    assert.equal((await ask("/")).status, 200);
  });
}
