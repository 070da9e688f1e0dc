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

export function show(screen) {
  for (const id of SCREENS) $(id).hidden = id !== screen;
  $("sign-out").hidden = screen === "sign-in";
  $(screen).querySelector("input, button")?.focus();
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

export function begin(session) {
  $("session-title").textContent = titleOf(session);
  $("messages").replaceChildren();
  note();
}

/** Says something about the session that is shown; no text takes it away. */
export function note(text = "") {
  $("note").textContent = text;
  $("note").hidden = text === "";
}

/** Puts a message in its place by number; one that is there is replaced. */
export function message({ sequenceNumber, content, problem }) {
  note();
  const row = document.createElement("li");
  row.dataset.number = sequenceNumber;
  const text = problem
    ? element("span", `Cannot be read: ${PROBLEMS[problem] ?? problem}`, "text unreadable")
    : element("span", content, "text");
  row.append(element("span", sequenceNumber, "number"), text);
  place(row, BigInt(sequenceNumber));
}

function place(row, number) {
  const list = $("messages");
  const follow = list.parentElement.scrollHeight - list.parentElement.scrollTop - list.parentElement.clientHeight < 80;
  let before = list.lastElementChild;
  while (before && BigInt(before.dataset.number) > number) before = before.previousElementSibling;
  if (before && BigInt(before.dataset.number) === number) before.replaceWith(row);
  else if (before) before.after(row);
  else list.prepend(row);
  if (follow) row.scrollIntoView({ block: "nearest" });
}
