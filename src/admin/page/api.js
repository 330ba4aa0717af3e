// Requests to the gateway. Paths are relative to the page, so it works below a proxy's path too.

const KEY = "mqtt-sn-gateway token";
const PATIENCE = 15_000;

/** The gateway said no, and why. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The gateway did not answer, or said that it cannot now. */
export class Away extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

let token = sessionStorage.getItem(KEY);
let locked = false;
let onLocked = () => {};
let skew = 0;

/** What happens when the token is missing or no longer right. */
export function whenLocked(run) {
  onLocked = run;
}

/** Tries a token, and keeps it for this tab if it is right. */
export async function unlock(candidate) {
  const before = token;
  token = candidate;
  locked = false;
  try {
    await request("GET", "api/v1/links");
    sessionStorage.setItem(KEY, candidate);
  } catch (error) {
    token = before;
    locked = true;
    throw error;
  }
}

let entered = false;

/** Asks alone, the first time: who has no token has ten tries a minute, and four requests at once are four. */
export async function enter(signal) {
  if (!entered) await request("GET", "api/v1/links", { signal });
  entered = true;
}

/** The gateway's time, in milliseconds: a Pi may have no clock, and the browser's may be wrong. */
export const now = () => Date.now() + skew;

export async function get(path, signal) {
  const answer = await request("GET", path, { signal });
  return answer.json();
}

/** The text of an answer that is no JSON. */
export async function getText(path, signal) {
  return (await request("GET", path, { signal })).text();
}

/** A whole file. */
export async function getFile(path) {
  return (await request("GET", path, { patience: 600_000 })).blob();
}

/** The body of an answer that does not end. */
export async function open(path, signal) {
  return (await request("GET", path, { signal, patience: null })).body;
}

/** Something that is not only looked at. */
export async function change(method, path) {
  return (await request(method, path, { patience: 30_000 })).json();
}

async function request(method, path, { signal, patience = PATIENCE } = {}) {
  // No try is wasted that can only be refused.
  if (locked) throw new Refused(401, "locked");
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (method !== "GET") headers["X-Requested-With"] = "mqtt-sn-gateway";
  const limits = [signal, patience && AbortSignal.timeout(patience)].filter(Boolean);
  let answer;
  try {
    answer = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.any(limits) });
  } catch {
    signal?.throwIfAborted();
    throw new Away("The gateway does not answer.");
  }
  compareClocks(answer.headers.get("date"));
  if (answer.ok) return answer;
  const message = await reason(answer);
  if (answer.status >= 502 && answer.status <= 504) throw new Away(message, answer.status);
  if (answer.status === 401) {
    locked = true;
    onLocked(token !== null);
  }
  throw new Refused(answer.status, message);
}

async function reason(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string") return error;
  } catch {
    // Not from the gateway: a proxy, or another program.
  }
  return `The answer was ${answer.status} ${answer.statusText}`.trim();
}

/** The header has whole seconds, and the way here takes some. */
function compareClocks(date) {
  const theirs = Date.parse(date ?? "");
  const found = theirs - Date.now();
  if (Number.isFinite(found)) skew = Math.abs(found) > 3_000 ? found : 0;
}
