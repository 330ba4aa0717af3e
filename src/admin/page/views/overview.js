// How the gateway is: what is wrong, the broker, the links, who is there, and what has just happened.

import * as api from "../api.js";
import { fill, h, heard, icon, keyed, setText, throttled } from "../dom.js";
import { STATES, bytes, clock, count, duration, plural, rate, since, visible } from "../format.js";
import { clientAddress } from "../router.js";
import { store, watch } from "../store.js";
import { troubles } from "../trouble.js";
import { linkRow } from "./links.js";

/** Lines of what has happened. */
const LINES = 12;

export function overview() {
  const verdict = h("p", { class: "verdict" });
  const list = h("ul", { class: "troubles", "aria-label": "What needs attention" });
  const figures = h("dl", { class: "figures" });
  const crowd = h("div", { class: "panel crowd" });
  const links = h("ul", { class: "links" });
  const notes = h("ol", { class: "notes", hidden: true });
  const quiet = h("p", { class: "nothing" }, "Nothing has happened since you came here.");
  const showTroubles = keyed(list, troubleRow);
  const showLinks = keyed(links, linkRow);
  const below = h(
    "div",
    { class: "below" },
    h("section", { "aria-labelledby": "links-title" }, h("h2", { id: "links-title" }, "Links"), h("div", { class: "panel" }, links)),
    h("section", { "aria-labelledby": "notes-title" }, h("h2", { id: "notes-title" }, "Just now"), h("div", { class: "panel" }, quiet, notes)),
  );
  let lines = [];

  const tell = throttled(200, () => {
    fill(notes, lines.map(noteRow));
    notes.hidden = false;
    quiet.hidden = true;
  });
  const paint = () => {
    const now = api.now();
    const found = troubles(store, now);
    const serious = found.filter((trouble) => trouble.level !== "info").length;
    const shape = found.some((trouble) => trouble.level === "bad") ? "bad" : serious ? "warn" : "good";
    const words = serious ? `${plural(serious, "thing")} ${serious === 1 ? "needs" : "need"} attention` : "All is well";
    if (store.seen && verdict.dataset.words !== words + shape) {
      verdict.dataset.words = words + shape;
      verdict.className = `verdict ${shape}`;
      fill(verdict, icon(shape), words);
    }
    showTroubles(found, (trouble) => trouble.level + trouble.title.replace(/\d[\d:,.]*/g, ""));
    list.hidden = found.length === 0;
    showFigures(figures, now);
    showCrowd(crowd);
    showLinks(store.links, (link) => link.name);
    below.hidden = store.seen === 0;
  };

  const element = h(
    "div",
    { class: "page" },
    h("header", { class: "title" }, h("h1", { tabindex: "-1" }, "Overview"), verdict),
    list,
    figures,
    crowd,
    below,
  );
  paint();
  const end = watch(paint);
  return {
    title: "Overview",
    element,
    follow: {
      kinds: "states",
      client: null,
      on: {
        note: (note) => {
          if (note.level === "debug") return;
          lines = [note, ...lines].slice(0, LINES);
          tell();
        },
      },
    },
    tick: paint,
    close: () => {
      end();
      tell.cancel();
    },
  };
}

function troubleRow() {
  const [title, advice] = [h("strong"), h("span")];
  const shape = h("span", { class: "shape" });
  const more = h("a", { class: "more", hidden: true }, "Look at them");
  const element = h("li", { class: "trouble" }, shape, h("div", null, title, advice, more));
  return {
    element,
    update(trouble) {
      if (element.dataset.level !== trouble.level) {
        element.dataset.level = trouble.level;
        const word = { bad: "Trouble", warn: "Warning", info: "For your information" }[trouble.level];
        fill(shape, icon(trouble.level, word));
      }
      setText(title, trouble.title);
      setText(advice, trouble.advice);
      more.hidden = !trouble.href;
      if (trouble.href) more.href = trouble.href;
    },
  };
}

function showFigures(list, now) {
  const { status } = store;
  if (!status) {
    list.hidden = true;
    return;
  }
  list.hidden = false;
  const started = Date.parse(status.started);
  const brokers = status.upstream;
  const away = brokers.filter((broker) => !broker.connected).length;
  const names = brokers.map((broker) => broker.broker).filter(Boolean);
  const broker = brokers.length === 0 ? "own connections" : away === 0 ? "connected" : away === brokers.length ? "away" : `${away} of ${brokers.length} away`;
  const rates = store.links.map((link) => link.rate).filter(({ received }) => received !== null);
  const sum = rates.length ? rates.reduce((sum, { received, sent }) => sum + received + sent, 0) : null;
  const { messages, bytes: size } = status.waiting;
  put(list, [
    ["Broker", broker, names[0] ?? "", away ? "bad" : "good"],
    ["Packets", rate(sum), "both ways, all links"],
    ["Waiting for devices", count(messages), messages ? `${messages === 1 ? "message" : "messages"}, ${bytes(size)}` : "nothing"],
    ["Waiting for the broker", bytes(status.spooled_bytes), status.spooled_bytes ? "kept on disk" : "nothing"],
    ["Running for", duration(now - started), `since ${since(started)}`],
  ]);
}

function put(list, rows) {
  if (list.children.length !== rows.length) {
    fill(list, rows.map(() => h("div", null, h("dt"), h("dd", { class: "value" }), h("dd", { class: "faint" }))));
  }
  rows.forEach(([name, value, more, shape], index) => {
    const [term, main, faint] = list.children[index].children;
    setText(term, name);
    if (main.dataset.value !== value) {
      main.dataset.value = value;
      fill(main, shape && icon(shape), value);
    }
    setText(faint, more);
    faint.title = more;
  });
}

/** Who is there, as a bar and in words. */
function showCrowd(panel) {
  const clients = store.status?.clients;
  panel.hidden = !clients;
  if (!clients) return;
  const { total, connected, asleep, connecting } = clients;
  const parts = [
    ["active", connected],
    ["asleep", asleep],
    ["connecting", connecting],
    ["gone", Math.max(0, total - connected - asleep - connecting)],
  ];
  const text = parts.join();
  if (panel.dataset.text === text) return;
  panel.dataset.text = text;
  const bar = h("div", { class: "bar", "aria-hidden": "true" });
  for (const [state, number] of parts) {
    if (number === 0) continue;
    const part = h("span", { class: `part ${state}` });
    part.style.flexGrow = String(number);
    bar.append(part);
  }
  fill(
    panel,
    h("p", { class: "total" }, h("a", { href: "#/clients" }, h("strong", null, count(total)), total === 1 ? " client" : " clients")),
    bar,
    h(
      "ul",
      { class: "legend" },
      parts.map(([state, number]) =>
        h("li", null, h("a", { href: `#/clients?state=${state}` }, icon(state), h("strong", null, count(number)), ` ${STATES[state][0]}`)),
      ),
    ),
  );
}

function noteRow(note) {
  return h(
    "li",
    { class: `note ${note.level}` },
    h("time", { datetime: note.time }, clock(Date.parse(note.time))),
    icon({ error: "bad", warn: "warn" }[note.level] ?? "event"),
    h("span", { class: "text" }, note.level !== "info" && heard("Attention: "), visible(note.text)),
    note.client && h("a", { class: "mono", href: clientAddress(note.client) }, visible(note.client)),
  );
}
