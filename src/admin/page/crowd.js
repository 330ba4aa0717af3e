// The clients: all of them in the page while they are not too many, and a part of them as it was asked for beyond.

import * as api from "./api.js";
import { store } from "./store.js";

const PAGE = 1_000;
/** More than these are not held here; the gateway searches then. */
export const MOST = 20_000;

const ORDER = ["active", "awake", "asleep", "connecting", "gone"];
/** What a column is sorted by; what is not known comes last either way. */
const SORTS = {
  state: (client) => ORDER.indexOf(client.state),
  id: (client) => client.sort,
  link: (client) => (client.link === null ? null : `${client.link} ${client.address ?? ""}`),
  heard: (client) => -client.heard,
  rssi: (client) => client.rssi,
  sleeps: (client) => client.sleeps,
  waiting: (client) => client.waiting || null,
};

export class Crowd {
  /** They are all here, so search and filters need nobody. */
  whole = true;
  /** They are being asked for. */
  loading = false;
  #clients = new Map();
  /** Those of a search that is under way. */
  #coming = new Map();
  #next = null;
  #tooMany = false;
  #controller = null;

  /** How many are here. */
  get size() {
    return this.#clients.size;
  }

  /** There are more of those that were asked for. */
  get more() {
    return this.#next !== null;
  }

  /** Asks for them. What is here stays until the answer is; `progress` is called at each part. */
  async load(filter, progress) {
    this.#controller?.abort();
    const { signal } = (this.#controller = new AbortController());
    this.loading = true;
    this.whole = store.status ? store.status.clients.total <= MOST : !this.#tooMany;
    const first = this.#clients.size === 0;
    const found = (this.#coming = new Map());
    try {
      let next = 0;
      while (next !== null && found.size < (this.whole ? MOST : PAGE)) {
        next = await this.#page(next, this.whole ? {} : filter, found, signal);
        if (first) {
          this.#clients = found;
          progress();
        }
      }
      if (this.whole && next !== null) {
        // More have come than there were, or the gateway does not say how many there are.
        this.whole = false;
        this.#tooMany = true;
        const part = (this.#coming = new Map());
        next = await this.#page(0, filter, part, signal);
        this.#clients = part;
      } else {
        this.#clients = found;
      }
      this.#next = next;
    } finally {
      if (!signal.aborted) this.loading = false;
    }
    progress();
  }

  /** Asks for the next part of those that were asked for. */
  async loadMore(filter) {
    const { signal } = this.#controller;
    this.#next = await this.#page(this.#next, filter, this.#clients, signal);
  }

  async #page(cursor, { text, state, link }, into, signal) {
    const query = new URLSearchParams({ limit: PAGE, cursor });
    if (text) query.set("q", text);
    if (state) query.set("state", state);
    // It is taken as a pattern. A name with a star in it fits itself, and what else it fits is left out below.
    if (link) query.set("link", link);
    const { clients, next } = await api.get(`api/v1/clients?${query}`, signal);
    for (const client of clients) into.set(client.id, prepared(client));
    return next;
  }

  /** One of them has changed, or is new. */
  put(client) {
    for (const clients of [this.#clients, this.#coming]) {
      if (this.whole || clients.has(client.id)) clients.set(client.id, prepared(client));
    }
  }

  remove(id) {
    this.#clients.delete(id);
    this.#coming.delete(id);
  }

  stop() {
    this.#controller?.abort();
  }

  /** Those that are wanted, in order. `down` turns it round. */
  list({ text, state, link }, { by, down }) {
    const wanted = text.toLowerCase();
    const found = [...this.#clients.values()].filter(
      (client) =>
        (!wanted || client.lower.includes(wanted)) &&
        (!state || client.state === state) &&
        (!link || client.link === link),
    );
    const key = SORTS[by];
    const turn = down ? -1 : 1;
    return found.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === y) return a.sort < b.sort ? -1 : 1;
      if (x === null || y === null) return x === null ? 1 : -1;
      return x < y ? -turn : turn;
    });
  }
}

/** With what the list needs of it: moments as numbers, and a key that sorts `meter-9` before `meter-10`. */
function prepared(client) {
  const lower = client.id.toLowerCase();
  return {
    ...client,
    lower,
    sort: lower.replace(/\d+/g, (digits) => digits.padStart(12, "0")),
    heard: Date.parse(client.last_heard),
    sleeps: client.sleeps_until && Date.parse(client.sleeps_until),
  };
}
