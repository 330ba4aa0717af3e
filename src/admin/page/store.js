// The gateway as a whole: its status, its links with their rates, and counters that tell of trouble.

import * as api from "./api.js";

/** Points of a rate that are kept: five minutes. */
const POINTS = 60;
/** Counters are asked for at each so many pulses. */
const SELDOM = 3;
const COUNTERS = /^mqtt_sn_gateway_(limits_reached_total|denials_total|malformed_packets_total|dropped_packets_total|journal_failing)(?:\{\w+="(\w+)"\})? (\S+)$/gm;

export const store = {
  /** `GET /api/v1/status`; null if the gateway has none. */
  status: null,
  /** Links, each with `history`, `rate` and `lost`, see `Course`. */
  links: [],
  /** `limits_reached_total` and others: name → label → { total, lately }. */
  counters: {},
  /** When the last answer came. */
  seen: 0,
};

const watchers = new Set();
const courses = new Map();
const samples = new Map();
/** What an older gateway does not have. */
const absent = new Set();
let beats = 0;

/** Calls after each pulse; gives what ends that. */
export function watch(run) {
  watchers.add(run);
  return () => watchers.delete(run);
}

/** Asks for all of it. */
export async function pulse(signal) {
  const [status, links, metrics] = await Promise.all([
    optional("api/v1/status", signal),
    api.get("api/v1/links", signal),
    beats % SELDOM === 0 ? api.getText("metrics", signal) : null,
  ]);
  beats += 1;
  store.status = status;
  store.links = links.links.map(withCourse);
  for (const name of courses.keys()) if (!store.links.some((link) => link.name === name)) courses.delete(name);
  if (metrics) store.counters = counters(metrics);
  store.seen = Date.now();
  for (const run of watchers) run();
}

/** What was not there may be there now. */
export const forget = () => absent.clear();

async function optional(path, signal) {
  if (absent.has(path)) return null;
  try {
    return await api.get(path, signal);
  } catch (error) {
    if (error.status !== 404) throw error;
    absent.add(path);
    return null;
  }
}

function withCourse(link) {
  const course = courses.get(link.name) ?? new Course();
  courses.set(link.name, course);
  course.add(link, performance.now());
  return { ...link, rate: course.rate, history: course.history, lost: course.lost };
}

/** What went over a link, from pulse to pulse. */
class Course {
  /** Packets a second now; null if that is not known yet. */
  rate = { received: null, sent: null };
  /** The same, oldest first. */
  history = [];
  /** Packets dropped by reason: { total, lately }. */
  lost = {};
  #last = null;

  add(link, time) {
    const last = this.#last;
    const seconds = last && (time - last.time) / 1000;
    // Counters begin at 0 again when the gateway does.
    const goesOn = last && link.received.packets >= last.received && link.sent.packets >= last.sent;
    if (goesOn && seconds < 0.5) return;
    this.#last = { time, received: link.received.packets, sent: link.sent.packets };
    if (goesOn) {
      this.rate = {
        received: (link.received.packets - last.received) / seconds,
        sent: (link.sent.packets - last.sent) / seconds,
      };
      this.history = [...this.history, this.rate].slice(-POINTS);
    } else {
      this.rate = { received: null, sent: null };
    }
    this.lost = {};
    for (const [reason, total] of Object.entries(link.dropped)) {
      this.lost[reason] = { total, lately: lately(`${link.name} ${reason}`, total) };
    }
  }
}

/** How much a counter has grown within the last minutes, as far as this page has seen it. */
function lately(name, total) {
  const time = performance.now();
  const seen = (samples.get(name) ?? []).filter((sample) => time - sample.time < 300_000);
  if (seen.length > 0 && seen.at(-1).total > total) seen.length = 0;
  seen.push({ time, total });
  samples.set(name, seen);
  return total - seen[0].total;
}

function counters(text) {
  const found = {};
  for (const [, name, label = "", value] of text.matchAll(COUNTERS)) {
    const total = Number(value);
    (found[name] ??= {})[label] = { total, lately: lately(`${name} ${label}`, total) };
  }
  return found;
}
