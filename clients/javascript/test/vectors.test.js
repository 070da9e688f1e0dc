// Checks the package against docs/vectors: every case has the outcome that it names, and no case that passes does so
// after a change of one byte.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fromBase64, toBase64 } from "../src/bytes.js";
import { LeviError } from "../src/error.js";
import { FILES, rowsOfTheList } from "../testing/checks.js";

const directory = new URL("../../../docs/vectors/", import.meta.url);
const files = readdirSync(fileURLToPath(directory)).filter((name) => name.endsWith(".json"));

for (const file of files) {
  const { vectors } = JSON.parse(readFileSync(new URL(file, directory), "utf8"));
  test(file, async (suite) => {
    assert.ok(vectors.length > 0, "no cases");
    for (const vector of vectors) {
      await suite.test(`${vector.expected}: ${vector.name}`, () => judge(FILES[file], vector));
    }
  });
}

async function judge({ accepted, check, inputs, rows }, vector) {
  if (vector.expected !== accepted) {
    const error = await refusal(check, vector);
    assert.equal(error.code, vector.expected, error.message);
    if ("group" in vector) assert.equal(error.group, vector.group);
    return;
  }
  await check(vector);
  const columns = rows ? (await rowsOfTheList(vector)).flatMap(columnsOf(vector)) : [];
  for (const path of [...inputs.map((name) => name.split(".")), ...columns]) {
    for (const changed of changes(vector, path)) await refusal(check, changed, path);
  }
}

const columnsOf = (vector) => (at) =>
  ["entry", "signature", "cosignature"]
    .filter((column) => vector.rows[at][column] !== null)
    .map((column) => ["rows", at, column]);

/** The error of a check that must fail. A bug in the package does not count as a refusal. */
async function refusal(check, vector, path) {
  const error = await Promise.resolve(vector).then(check).then(() => undefined, (error) => error);
  assert.ok(error, path ? `a change in ${path.join(".")} was not noticed` : "was not refused");
  if (!(error instanceof LeviError) && !(path && error instanceof assert.AssertionError)) throw error;
  return error;
}

/** The case with its field at `path` changed: the first, a middle and the last byte, or one character of text. */
function* changes(vector, path) {
  const value = path.reduce((object, key) => object[key], vector);
  for (const changed of isText(path.at(-1)) ? changedText(value) : changedBytes(value)) {
    const copy = structuredClone(vector);
    path.slice(0, -1).reduce((object, key) => object[key], copy)[path.at(-1)] = changed;
    yield copy;
  }
}

const isText = (name) => name.endsWith("_id") || ["text", "code", "session_secret", "table", "row_key", "column"].includes(name);

/** Another character of the alphabet that the text has, past any prefix. */
function changedText(text) {
  const start = Math.max(text.length - 8, 0);
  const at = text[start] === "-" ? start + 1 : start;
  return [text.slice(0, at) + (text[at] === "2" ? "3" : "2") + text.slice(at + 1)];
}

function changedBytes(value) {
  const [, prefix, base64] = value.match(/^(v2:\d+:)?(.*)$/);
  const bytes = fromBase64(base64);
  return [0, bytes.length >> 1, bytes.length - 1].map((at) => {
    const changed = Uint8Array.from(bytes);
    // Not a bit that X25519 ignores in a private key.
    changed[at] ^= 0x10;
    return (prefix ?? "") + toBase64(changed);
  });
}
