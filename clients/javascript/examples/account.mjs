// Signs in as a device of a user. Settings come from the environment, so that no secret appears in a process list.

import { createClient } from "@supabase/supabase-js";

export function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** Node 20 has no WebSocket of its own, and nothing here listens: supabase-js only wants to see one. */
class NoWebSocket {
  constructor() {
    throw new Error("this example does not use realtime");
  }
}

export async function signIn() {
  const supabase = createClient(setting("SUPABASE_URL"), setting("SUPABASE_PUBLISHABLE_KEY"), {
    auth: { persistSession: false },
    realtime: { transport: globalThis.WebSocket ?? NoWebSocket },
  });
  const { user } = rows(
    await supabase.auth.signInWithPassword({ email: setting("LEVI_EMAIL"), password: setting("LEVI_PASSWORD") }),
  );
  return { supabase, userId: user.id };
}

/** supabase-js returns errors; here they are thrown. */
export function rows({ data, error }) {
  if (error) throw new Error(`${error.code ?? error.status ?? ""} ${error.message}`.trim());
  return data;
}
