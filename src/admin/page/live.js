// What comes by itself: the event stream, and a pulse of short requests beside it. When the gateway goes away it
// is tried again until it is back; then everything that is shown is asked for anew.

import * as api from "./api.js";
import { events } from "./sse.js";
import { forget, pulse } from "./store.js";

const PULSE = 5_000;
/** The second one comes sooner: rates are seen between two. */
const SECOND_PULSE = 1_500;
/** The gateway says something at least every 15 seconds. */
const SILENCE = 40_000;
/** Pulses after which it is looked whether there are events now. */
const POLLS = 12;
const SOONEST = 500;
const LATEST = 15_000;

/** `name` is `starting`, `live`, `polling`, `away`, `refused` or `locked`. */
export const state = { name: "starting", detail: "", retryAt: 0, since: 0 };

const watchers = new Set();
let view = { kinds: null, client: null, on: {} };
let controller = null;
let tries = 0;
/** Where there are no events it is asked instead: an older gateway has none, and not everybody can watch at once. */
let streams = true;

/** Calls when the state changes. */
export function watch(run) {
  watchers.add(run);
  run(state);
}

/**
 * What the present view wants: `kinds` (`"states"`, `"packets"`, both with a comma) and `client` choose the events,
 * `on` has a function for each kind of them, and `fresh`, which asks for everything.
 */
export function follow(wanted) {
  view = wanted;
  if (!document.hidden) restart();
}

/** Tries again at once. */
export function restart() {
  stop();
  controller = new AbortController();
  keep(controller.signal);
}

/** Nothing is asked any more, until it is wanted again. */
export function stop() {
  controller?.abort();
}

function become(name, detail = "", retryAt = 0) {
  if (state.name !== name) state.since = Date.now();
  Object.assign(state, { name, detail, retryAt });
  for (const run of watchers) run(state);
}

async function keep(signal) {
  while (!signal.aborted) {
    try {
      await api.enter(signal);
      if (streams) await stream(signal);
      else await poll(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (streams && error.events) {
        streams = false;
        continue;
      }
      if (error.status === 401) {
        become("locked");
        return;
      }
      const wait = Math.min(LATEST, SOONEST * 2 ** tries) * (0.8 + 0.4 * Math.random());
      tries += 1;
      // It may be another version that comes back.
      streams = true;
      forget();
      become(error instanceof api.Refused ? "refused" : "away", error.message, Date.now() + wait);
      await sleep(wait, signal);
    }
  }
}

async function stream(signal) {
  // Its own end, so that whichever part fails takes the other with it.
  const both = new AbortController();
  const ended = AbortSignal.any([signal, both.signal]);
  // How many clients there are decides how views ask for them.
  await pulse(signal);
  try {
    await Promise.race([read(ended), beat(ended)]);
  } finally {
    both.abort();
  }
}

async function read(signal) {
  const query = new URLSearchParams();
  if (view.client !== null) query.set("client", view.client);
  query.set("kinds", view.kinds);
  const silent = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(), SILENCE);
  };
  try {
    alive();
    const either = AbortSignal.any([signal, silent.signal]);
    for await (const { event, data } of events(await open(query, either), alive)) {
      if (signal.aborted) return;
      if (event === "hello") {
        become("live");
        // Without it the view shows nothing, or what was: all of it is tried again.
        freshen().catch(() => silent.abort());
      } else {
        view.on[event]?.(data);
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof api.Refused || error.events ? error : new api.Away("The gateway does not answer.");
  } finally {
    clearTimeout(timer);
  }
  throw new api.Away("The gateway has ended the connection.");
}

/** The body of the stream; that there is none for us is marked. */
async function open(query, signal) {
  try {
    return await api.open(`api/v1/events?${query}`, signal);
  } catch (error) {
    error.events = error.status === 404 || error.status === 503;
    throw error;
  }
}

/** What has no events is asked for now and then; that the gateway hangs is seen by it too. */
async function beat(signal) {
  await sleep(SECOND_PULSE, signal);
  for (;;) {
    await pulse(signal);
    await sleep(PULSE, signal);
  }
}

async function poll(signal) {
  for (let polls = 0; polls < POLLS; polls += 1) {
    await pulse(signal);
    become("polling");
    await freshen();
    await sleep(PULSE, signal);
  }
  streams = true;
}

/** Has the view ask for everything; it may have given way to another, or asked again, meanwhile. */
async function freshen() {
  try {
    await view.on.fresh?.();
    tries = 0;
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", end, { once: true });
  });
}

// A tab that nobody sees costs the gateway nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop();
  else restart();
});
