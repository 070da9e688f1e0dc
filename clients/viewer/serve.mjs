// Serves the viewer on loopback: its own files and the packages that it imports.
//
//   (cd ../javascript && npm ci) && node serve.mjs [PORT [PROJECT_URL]]
//
// With the project's URL a browser lets the page talk to nobody else, whatever script got into it.
//
// Any static web server does the same for the folder `clients`.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css" };
const FOLDERS = ["viewer", "javascript"];
const [port = "8080", project] = process.argv.slice(2);
// What a <meta> of the page cannot say, or does not know.
const policy = ["frame-ancestors 'none'"];
if (project) policy.push(`connect-src ${new URL(project).origin} ${new URL(project).origin.replace(/^http/, "ws")}`);
const HEADERS = {
  "content-security-policy": policy.join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

const server = createServer((request, response) => {
  const path = fileFor(request.url);
  if (!path) {
    response.writeHead(404).end("not found");
    return;
  }
  response.writeHead(200, { ...HEADERS, "content-type": `${TYPES[extname(path)]}; charset=utf-8` });
  createReadStream(path).on("error", () => response.destroy()).pipe(response);
});

/** A file of one of the folders and of a known type. Undefined for whatever else a request may name: it ends nothing. */
function fileFor(url) {
  try {
    const { pathname } = new URL(url, "http://localhost");
    const path = normalize(join(root, decodeURIComponent(pathname === "/" ? "/viewer/index.html" : pathname)));
    const inside = FOLDERS.some((folder) => path.startsWith(join(root, folder) + sep));
    return inside && extname(path) in TYPES && statSync(path).isFile() ? path : undefined;
  } catch {
    return undefined;
  }
}

server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/viewer/index.html`);
});
