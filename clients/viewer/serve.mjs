// Serves the viewer on loopback: its own files and the packages that it imports.
//
//   (cd ../javascript && npm ci) && node serve.mjs [PORT]
//
// Any static web server does the same for the folder `clients`.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css" };
const FOLDERS = ["viewer", "javascript"];

const server = createServer((request, response) => {
  const path = fileFor(new URL(request.url, "http://localhost").pathname);
  if (!path) {
    response.writeHead(404).end("not found");
    return;
  }
  const type = `${TYPES[extname(path)]}; charset=utf-8`;
  response.writeHead(200, { "content-type": type, "x-content-type-options": "nosniff", "cache-control": "no-cache" });
  createReadStream(path).pipe(response);
});

/** A file of one of the folders and of a known type, or undefined. */
function fileFor(pathname) {
  let path;
  try {
    path = normalize(join(root, decodeURIComponent(pathname === "/" ? "/viewer/index.html" : pathname)));
  } catch {
    return undefined;
  }
  const inside = FOLDERS.some((folder) => path.startsWith(join(root, folder) + sep));
  const isFile = inside && extname(path) in TYPES && statSync(path, { throwIfNoEntry: false })?.isFile();
  return isFile ? path : undefined;
}

server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/viewer/index.html`);
});
