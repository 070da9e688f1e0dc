// Signs in, adds this browser to the user's devices, and shows their sessions as they are written.

import { Reader, pair, register } from "levi-client";
import { load, save } from "./store.js";
import * as view from "./view.js";
import { Watch, failed } from "./watch.js";

const { $ } = view;
const PROJECT = "levi-project";

let supabase;
let end = new AbortController();

$("sign-in").addEventListener("submit", (event) => submitted(event, signIn));
$("add").addEventListener("submit", (event) => submitted(event, addThisBrowser));
$("sign-out").addEventListener("click", signOut);

const project = JSON.parse(localStorage.getItem(PROJECT) ?? "null");
if (project) supabase = globalThis.supabase.createClient(project.url, project.key);
await enter();

/** Runs what a form asks for, and says what went wrong. */
async function submitted(event, action) {
  event.preventDefault();
  const buttons = event.target.querySelectorAll("button");
  buttons.forEach((button) => (button.disabled = true));
  view.alarm();
  try {
    await action(Object.fromEntries(new FormData(event.target)), event.submitter);
  } catch (error) {
    view.alarm(error.message);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

async function signIn({ url, key, email, password }) {
  supabase = globalThis.supabase.createClient(url, key);
  const { error } = await supabase.auth.signInWithPassword({ email, password });
  if (error) throw error;
  localStorage.setItem(PROJECT, JSON.stringify({ url, key }));
  await enter();
}

/** Goes on with the sign-in that supabase-js has, if there is one. */
async function enter() {
  const { data } = (await supabase?.auth.getSession()) ?? {};
  if (!data?.session) return signedOut();
  const userId = data.session.user.id;
  const stored = await load(userId);
  if (stored) return read(userId, stored);
  view.state("Signed in");
  view.show("add");
}

async function addThisBrowser({ name, code }, button) {
  const { data } = await supabase.auth.getSession();
  const userId = data.session.user.id;
  const onRequested = (fingerprint) => {
    $("fingerprint").hidden = false;
    $("fingerprint").querySelector("strong").textContent = fingerprint;
  };
  const stored =
    button?.name === "without"
      ? await register({ supabase, userId, name })
      : await pair({ supabase, userId, name, code, onRequested });
  $("fingerprint").hidden = true;
  await save(userId, stored);
  await read(userId, stored);
}

async function signOut() {
  end.abort();
  localStorage.removeItem(PROJECT);
  await supabase.auth.signOut({ scope: "local" });
  signedOut();
}

function signedOut() {
  view.alarm();
  view.state("Signed out");
  view.show("sign-in");
}

/** The sessions, until somebody signs out. */
async function read(userId, { device, pin }) {
  end = new AbortController();
  const onPin = (pin) => save(userId, { device, pin });
  const reader = await Reader.open({ supabase, userId, device, pin, onPin });
  view.show("sessions");
  new Watch(reader, end.signal).run().catch(failed);
}
