// Signs in, adds this browser to the user's devices, and shows their sessions as they are written.

import { LeviError, Reader, deactivate, pair, register, resumePairing } from "levi-client";
import { SignIn } from "./sign-in.js";
import { Store } from "./store.js";
import * as page from "./view.js";
import { Watch } from "./watch.js";

const { $ } = page;
const PROJECT = "levi-project";
const OFFLINE_MS = 3_000;
/** How long the server has to hear of a sign-out. */
const PATIENCE_MS = 5_000;

/** Why it signs out by itself, for people. */
const ENDED = "The sign-in has ended. Sign in again.";

let supabase;
let signIn;
/** The visit of one user: whatever is begun in it ends with it, and writes on the page no more. */
let visit = new AbortController();
let view = page.until(visit.signal);
/** The form that is dealt with. */
let underWay = Promise.resolve();

on("sign-in", "submit", (event) => submitted(event, signedIn));
on("add", "submit", (event) => submitted(event, addThisBrowser));
on("sign-out", "click", signOut);
on("again", "click", addAgain);
on("back", "click", () => void enter());
// Another tab has signed out.
addEventListener("storage", ({ key }) => {
  if (supabase && (key === null || key === PROJECT) && !localStorage.getItem(PROJECT)) left("Signed out in another tab");
});

const project = JSON.parse(localStorage.getItem(PROJECT) ?? "null");
if (project) connect(project);
if (project) await enter();
else left("Signed out");

function on(id, name, action) {
  $(id).addEventListener(name, action);
}

function connect({ url, key }) {
  if (supabase) end(supabase);
  signIn = new SignIn();
  const client = globalThis.supabase.createClient(url, key, signIn.options);
  client.auth.onAuthStateChange((event) => {
    if (client === supabase && event === "SIGNED_OUT") left(ENDED);
  });
  supabase = client;
}

/** Another user may have signed in, in another tab: then nothing of this one is shown any more. */
function watchUser(userId) {
  const { data } = supabase.auth.onAuthStateChange((_, session) => {
    if (session && session.user.id !== userId) left("Another user has signed in");
  });
  visit.signal.addEventListener("abort", () => data.subscription.unsubscribe());
}

/** Runs what a form asks for, and says what went wrong. */
function submitted(event, action) {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(event.target));
  underWay = dealtWith(event.target, () => action(values, event.submitter));
}

async function dealtWith(form, action) {
  const { signal } = visit;
  const buttons = form.querySelectorAll("button:not(#back)");
  buttons.forEach((button) => (button.disabled = true));
  page.alarm();
  try {
    await action();
    form.reset(); // No password stays on the page.
  } catch (error) {
    if (!signal.aborted) page.alarm(error.message);
  } finally {
    buttons.forEach((button) => (button.disabled = false));
  }
}

async function signedIn({ url, key, email, password }) {
  connect({ url, key });
  const { error } = await supabase.auth.signInWithPassword({ email, password });
  if (error) throw error;
  localStorage.setItem(PROJECT, JSON.stringify({ url, key }));
  await enter();
}

/** Ends what the page does now, for the same user or another. */
function newVisit() {
  visit.abort();
  visit = new AbortController();
  view = page.until(visit.signal);
  page.clear();
}

/** Goes on with the sign-in that supabase-js has, if there is one. */
async function enter() {
  newVisit();
  const { signal } = visit;
  const { data } = await supabase.auth.getSession();
  if (signal.aborted) return;
  // A token has expired, and the server does not answer. supabase-js keeps what it may still renew.
  if (!data.session && signIn.isKept) return void again(signal);
  if (!data.session) return left("Signed out");
  const userId = data.session.user.id;
  watchUser(userId);
  const store = new Store(userId);
  const [stored, pending] = [await store.device(), await store.pending()];
  if (signal.aborted) return;
  if (pending) goOnWith(pending, userId, store);
  else if (stored) await read(userId, store, stored);
  else showAdd();
}

/** Tries again a little later, or when the network is back. */
function again(signal) {
  view.state("Offline", true);
  const timer = setTimeout(enter, OFFLINE_MS);
  addEventListener("online", () => void enter(), { signal, once: true });
  signal.addEventListener("abort", () => clearTimeout(timer));
}

function showAdd() {
  view.state("Signed in");
  view.show("add");
}

/** To replace a browser that was added without a code, or removed. Until it is added again, what it has stays. */
function addAgain() {
  newVisit();
  showAdd();
  $("back").hidden = false;
}

/** A pairing that was interrupted. */
function goOnWith(pending, userId, store) {
  showAdd();
  $("back").hidden = true;
  const { signal } = visit;
  const resumed = () => resumePairing({ supabase, userId, pending, ...progress(store, signal) });
  underWay = dealtWith($("add").querySelector("form"), () => added(resumed, userId, store));
}

async function addThisBrowser({ name, code }, button) {
  const { signal } = visit;
  const { data } = await supabase.auth.getSession();
  signal.throwIfAborted();
  const userId = data.session.user.id;
  const store = new Store(userId);
  const paired = () => pair({ supabase, userId, name, code, ...progress(store, signal) });
  const registered = () => register({ supabase, userId, name });
  await added(button?.name === "without" ? registered : paired, userId, store);
}

function progress(store, signal) {
  return { signal, onPending: store.keepPending, onRequested: view.fingerprint };
}

/** `add` gives the device. Its keys are stored before the user may have left the page. */
async function added(add, userId, store) {
  const { signal } = visit;
  try {
    const stored = await add();
    const before = await store.device();
    await store.keepDevice(stored);
    await store.keepPending(undefined);
    if (before) await deactivate({ supabase, userId, deviceId: before.device.id }).catch(() => {}); // It is replaced anyway.
  } catch (error) {
    const hasAnswer = (await store.pending())?.answer !== undefined;
    if (error instanceof LeviError || (signal.aborted && !hasAnswer)) await store.keepPending(undefined);
    throw error;
  } finally {
    view.fingerprint();
  }
  if (!signal.aborted) await enter();
}

async function signOut() {
  const [client, withdrawn] = [supabase, signIn];
  supabase = undefined;
  newVisit();
  view.state("Signing out");
  view.show();
  withdrawn.withdraw();
  const told = async () => {
    await underWay; // A pairing takes its request back.
    return client.auth.signOut({ scope: "local" });
  };
  const answer = await within(PATIENCE_MS, told());
  withdrawn.forget();
  end(client);
  const isTold = answer && !answer.error;
  left(isTold ? "Signed out" : "Signed out of this browser. The server did not answer, so it has not heard of it.");
}

/** Undefined if it takes longer, or fails. */
function within(ms, promise) {
  const late = new Promise((resolve) => setTimeout(resolve, ms));
  return Promise.race([promise.catch(() => undefined), late]);
}

/** Nobody is signed in on this page any more. */
function left(why) {
  const client = supabase;
  supabase = undefined;
  if (client) signIn.forget();
  if (client) end(client);
  newVisit();
  view.state(why);
  view.show("sign-in");
}

function end(client) {
  void client.auth.stopAutoRefresh();
  void client.removeAllChannels();
}

/** The sessions, until somebody signs out. */
async function read(userId, store, { device, pin }) {
  const { signal } = visit;
  const onPin = (pin) => store.keepPin(device, pin);
  const reader = await Reader.open({ supabase, userId, device, pin, onPin, epochStore: store.epochs });
  view.show("sessions");
  void new Watch(reader, view, signal).run();
}
