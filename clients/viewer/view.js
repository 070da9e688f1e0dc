// What is on the page. No text from outside becomes markup.

export const $ = (id) => document.getElementById(id);

const SCREENS = ["sign-in", "add", "sessions"];

/** Why a message cannot be read, for people. */
const PROBLEMS = {
  "no-envelope": "not shared with this browser yet",
  "no-epoch": "its key has not come yet",
  "not-on-list": "for the devices on your signed list; add this browser again, with a code",
  forged: "altered, or written by somebody else",
  "stale-epoch": "written in an older epoch; perhaps by a removed device",
  "unknown-sender": "shared by a device that is not on your list",
};

/** These functions, for what ends with a visit: when its signal is aborted, they change nothing any more. */
export function until(signal) {
  const bound = (action) => (...values) => (signal.aborted ? undefined : action(...values));
  const functions = { show, state, alarm, fingerprint, sessions, begin, ready, note, message };
  return Object.fromEntries(Object.entries(functions).map(([name, action]) => [name, bound(action)]));
}

/** Takes everything that a user has read or typed off the page. */
export function clear() {
  for (const form of document.forms) form.reset();
  for (const id of ["session-list", "messages"]) $(id).replaceChildren();
  $("session-title").textContent = "Choose a session";
  $("no-sessions").hidden = true;
  note();
  alarm();
  fingerprint();
}

/** No screen shows none. */
export function show(screen) {
  for (const id of SCREENS) $(id).hidden = id !== screen;
  $("sign-out").hidden = !screen || screen === "sign-in";
  $("again").hidden = screen !== "sessions";
  $("back").hidden = true;
  if (screen) $(screen).querySelector("input, button")?.focus();
}

/** What the person compares with the other device; no text takes it away. */
export function fingerprint(text = "") {
  $("fingerprint").querySelector("strong").textContent = text;
  $("fingerprint").hidden = text === "";
}

export function state(text, isOffline = false) {
  $("state").textContent = text;
  $("state").classList.toggle("offline", isOffline);
}

/** Says what is wrong until it is right; no text takes it away. */
export function alarm(text = "") {
  $("alert").textContent = text;
  $("alert").hidden = text === "";
}

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export const titleOf = (session) => session.title || session.working_directory || `Session ${session.id.slice(0, 8)}`;

export function sessions(list, chosenId, choose) {
  $("no-sessions").hidden = list.length > 0;
  const focused = document.activeElement?.dataset?.session;
  $("session-list").replaceChildren(...list.map((session) => item(session, session.id === chosenId, choose)));
  if (focused) document.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
}

function item(session, isChosen, choose) {
  const button = element("button", titleOf(session));
  button.type = "button";
  button.dataset.session = session.id;
  button.setAttribute("aria-current", String(isChosen));
  const time = new Date(session.last_heartbeat_at).toLocaleString();
  button.append(element("small", `${session.status}, ${time}`));
  button.addEventListener("click", () => choose(session));
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

/** What is there already is read without being announced; `ready` ends that. */
export function begin(session) {
  $("session-title").textContent = titleOf(session);
  $("messages").replaceChildren();
  $("messages").setAttribute("aria-live", "off");
  note();
  $("session-title").focus();
}

/** What comes from now on is new. */
export function ready() {
  $("messages").lastElementChild?.scrollIntoView({ block: "nearest" });
  $("messages").setAttribute("aria-live", "polite");
}

/** Says something about the session that is shown; no text takes it away. */
export function note(text = "") {
  $("note").textContent = text;
  $("note").hidden = text === "";
}

/** Puts a message in its place by number; one that is there is replaced. */
export function message({ sequenceNumber, content, problem }) {
  const row = document.createElement("li");
  row.dataset.number = sequenceNumber;
  const text = problem
    ? element("span", `Cannot be read: ${PROBLEMS[problem] ?? problem}`, "text unreadable")
    : element("span", content, "text");
  row.append(element("span", sequenceNumber, "number"), text);
  const isLive = $("messages").getAttribute("aria-live") === "polite";
  const follow = isLive && isAtEnd();
  place(row, BigInt(sequenceNumber));
  if (follow) row.scrollIntoView({ block: "nearest" });
}

function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = $("messages").parentElement;
  return scrollHeight - scrollTop - clientHeight < 80;
}

function place(row, number) {
  const list = $("messages");
  let before = list.lastElementChild;
  while (before && BigInt(before.dataset.number) > number) before = before.previousElementSibling;
  if (before && BigInt(before.dataset.number) === number) before.replaceWith(row);
  else if (before) before.after(row);
  else list.prepend(row);
}
