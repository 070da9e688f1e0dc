// The types in types/ are those of the sources: `npm run types` writes them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

test("the sources have the types that are checked in", () => {
  const made = mkdtempSync(join(tmpdir(), "levi-types-"));
  try {
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [tsc, "-p", root, "--outDir", made], { stdio: ["ignore", "inherit", "inherit"] });
    const names = readdirSync(made).sort();
    assert.deepEqual(readdirSync(join(root, "types")).sort(), names);
    for (const name of names) {
      const [found, expected] = [join(root, "types"), made].map((folder) => readFileSync(join(folder, name), "utf8"));
      assert.equal(found, expected, `${name} differs: npm run types`);
    }
  } finally {
    rmSync(made, { recursive: true });
  }
});
