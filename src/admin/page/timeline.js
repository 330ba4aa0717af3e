// Packets and events in the order of time, newest first, and live: of one client, or of those who are nobody's.

import { fill, h, heard, icon, setText, throttled } from "./dom.js";
import { clockExact, count, day, plural, visible } from "./format.js";
import { clientAddress } from "./router.js";

/** Entries that are kept. */
const KEPT = 1_000;

const WAYS = { in: "from the device", out: "to the device" };
const LEVELS = { info: ["event", "Event"], warn: ["warn", "Warning"], error: ["bad", "Error"], debug: ["debug", "Detail"] };

export class Timeline {
  #entries = [];
  #paused = false;
  #missed = 0;
  #forgotten = 0;
  #names = () => null;
  #wants = { packet: true, event: true };
  #rows = h("ol", { class: "timeline", tabindex: "0", "aria-label": "Packets and events, newest first" });
  #nothing = h("p", { class: "nothing" });
  #foot = h("p", { class: "faint foot" });
  #tally = h("span", { class: "tally" });
  #pause = h("button", { type: "button", class: "button small", "aria-pressed": "false", onclick: () => this.#toggle() });
  /** Entries that are not in the rows yet. */
  #waiting = 0;
  #soon = throttled(120, () => this.#paint());

  /** `linked`: which link an entry came by is worth a column. */
  constructor({ linked }) {
    this.linked = linked;
    const box = (kind, word) => {
      const input = h("input", { type: "checkbox", checked: true, onchange: () => this.#want(kind, input.checked) });
      return h("label", { class: "check" }, input, word);
    };
    this.element = h(
      "div",
      { class: "log" },
      h("div", { class: "toolbar" }, box("packet", "Packets"), box("event", "Events"), this.#pause, this.#tally),
      h("div", { class: "panel" }, this.#nothing, this.#rows, this.#foot),
    );
    this.#paint();
  }

  /** Everything that the gateway remembers, oldest first. What has come meanwhile by `add` stays. */
  load(entries, forgotten) {
    const old = named(this.#entries);
    const all = named(entries);
    const last = entries.at(-1)?.time ?? "";
    const newer = [...old].filter(([name, entry]) => entry.time >= last && !all.has(name));
    // Those that are here already stay the same, and so do their rows.
    const kept = [...all].map(([name, entry]) => old.get(name) ?? entry);
    this.#entries = [...kept, ...newer.map(([, entry]) => entry)].slice(-KEPT);
    this.#forgotten = forgotten;
    if (!this.#paused) this.#soon();
  }

  add(entry) {
    this.#entries.push(entry);
    if (this.#entries.length > KEPT + 100) {
      this.#forgotten += this.#entries.length - KEPT;
      this.#entries = this.#entries.slice(-KEPT);
    }
    this.#waiting += 1;
    if (this.#paused) this.#bar();
    else this.#soon();
  }

  /** What gives the topic that an entry names by its id, or null. */
  name(names) {
    this.#names = names;
    for (const row of this.#rows.children) if (row.entry) this.#nameTopic(row);
  }

  #nameTopic(row) {
    const place = row.querySelector(".topic");
    if (place) setText(place, visible(this.#names(row.entry) ?? ""));
  }

  /** More has happened than the stream could say. */
  missed(number) {
    this.#missed += number;
    this.#soon();
  }

  stop() {
    this.#soon.cancel();
  }

  #want(kind, wanted) {
    this.#wants[kind] = wanted;
    this.#paint();
  }

  #toggle() {
    this.#paused = !this.#paused;
    if (this.#paused) {
      this.#waiting = 0;
      this.#bar();
    } else {
      this.#paint();
    }
  }

  #bar() {
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    const word = this.#paused ? "Go on" : "Pause";
    if (this.#pause.dataset.word !== word) {
      this.#pause.dataset.word = word;
      fill(this.#pause, icon(this.#paused ? "play" : "pause"), word);
    }
    setText(this.#tally, this.#paused ? (this.#waiting ? `Paused; ${count(this.#waiting)} new` : "Paused") : "");
  }

  /** Rows that are there already are kept: what a person selects or reads does not go away. */
  #paint() {
    this.#bar();
    const wanted = this.#entries.filter((entry) => this.#wants[entry.kind]);
    const old = new Map([...this.#rows.children].filter((row) => row.entry).map((row) => [row.entry, row]));
    const rows = [];
    let date = null;
    for (const entry of wanted.reverse()) {
      const of = day(Date.parse(entry.time));
      if (of !== date && (date !== null || of !== day(Date.now()))) rows.push(h("li", { class: "day" }, of));
      date = of;
      rows.push(old.get(entry) ?? this.#row(entry));
    }
    reconcile(this.#rows, rows);
    this.#rows.hidden = rows.length === 0;
    setText(this.#nothing, rows.length > 0 ? "" : this.#entries.length > 0 ? "Nothing of the kind that is ticked." : "Nothing yet. What comes and goes appears here.");
    const lost = [
      this.#forgotten > 0 && `${plural(this.#forgotten, "older entry", "older entries")} forgotten`,
      this.#missed > 0 && `${count(this.#missed)} left out because there was too much at once`,
    ].filter(Boolean);
    setText(this.#foot, lost.length ? `${lost.join("; ")}.` : "");
  }

  #row(entry) {
    const time = h("time", { datetime: entry.time }, clockExact(Date.parse(entry.time)));
    const who = this.linked && h("span", { class: "from" }, entry.client ? h("a", { href: clientAddress(entry.client) }, visible(entry.client)) : [entry.link, entry.address].filter(Boolean).join("  "));
    const row = entry.kind === "packet" ? packet(entry, time, who) : event(entry, time, who);
    row.entry = entry;
    this.#nameTopic(row);
    return row;
  }
}

/** Entries by what tells them apart, in their order: the same may be said twice in a millisecond. */
function named(entries) {
  const found = new Map();
  for (const entry of entries) {
    const name = `${entry.time} ${entry.kind} ${entry.direction ?? ""} ${entry.text}`;
    let number = 0;
    while (found.has(`${number} ${name}`)) number += 1;
    found.set(`${number} ${name}`, entry);
  }
  return found;
}

function packet(entry, time, who) {
  const rest = entry.text.startsWith(entry.packet) ? entry.text.slice(entry.packet.length).replace(/^[:,]? ?/, "") : entry.text;
  const place = [entry.link, entry.address].filter(Boolean).join(", ");
  return h(
    "li",
    { class: `entry packet ${entry.direction}`, title: place },
    time,
    icon(entry.direction, WAYS[entry.direction]),
    h("span", { class: "what" }, h("strong", null, entry.packet), " ", h("span", { class: "text" }, visible(rest)), " ", h("span", { class: "topic" }), who),
    h("span", { class: "octets" }, `${count(entry.octets)} B`, entry.cut && heard(", shortened here")),
  );
}

function event(entry, time, who) {
  return h(
    "li",
    { class: `entry event ${entry.level}` },
    time,
    icon(...(LEVELS[entry.level] ?? LEVELS.info)),
    h("span", { class: "what" }, h("span", { class: "text" }, visible(entry.text)), who),
  );
}

/** Makes these the children, and touches only those that are not in their places. */
function reconcile(parent, rows) {
  const wanted = new Set(rows);
  for (const row of [...parent.children]) if (!wanted.has(row)) row.remove();
  let place = parent.firstElementChild;
  for (const row of rows) {
    if (row === place) place = place.nextElementSibling;
    else parent.insertBefore(row, place);
  }
}
